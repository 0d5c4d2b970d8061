//! Unread input of a terminal: bytes, and where lines end.

use alloc::{collections::VecDeque, vec::Vec};

/// The most bytes kept unread (N_TTY_BUF_SIZE).
pub const INPUT_CAPACITY: usize = 4096;

/// Unread input. Positions count all bytes ever received.
#[derive(Default)]
pub struct InputQueue {
    bytes: VecDeque<u8>,
    /// Position of the first unread byte.
    start: u64,
    /// Positions after each complete line. A line that ended by the end-of-file character may be
    /// empty: the reader then sees end of file.
    line_ends: VecDeque<u64>,
}

impl InputQueue {
    /// Bytes it still takes.
    pub fn room(&self) -> usize {
        INPUT_CAPACITY.saturating_sub(self.bytes.len())
    }

    /// Unread bytes, the unfinished line included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is a complete line.
    pub fn has_line(&self) -> bool {
        !self.line_ends.is_empty()
    }

    /// Bytes of complete lines.
    pub fn complete_len(&self) -> usize {
        self.line_ends.back().map_or(0, |end| self.offset(*end))
    }

    /// The unfinished line, which editing may change.
    pub fn unfinished(&self) -> impl DoubleEndedIterator<Item = u8> {
        self.bytes.range(self.complete_len()..).copied()
    }

    /// Adds a byte; false if it is full.
    pub fn push(&mut self, byte: u8) -> bool {
        let fits = self.room() > 0;
        if fits {
            self.bytes.push_back(byte);
        }
        fits
    }

    /// Ends the line here.
    pub fn end_line(&mut self) {
        self.line_ends.push_back(self.start + self.bytes.len() as u64);
    }

    /// Removes and returns the last byte of the unfinished line.
    pub fn pop_unfinished(&mut self) -> Option<u8> {
        if self.bytes.len() > self.complete_len() { self.bytes.pop_back() } else { None }
    }

    /// The next up to `limit` bytes: of one line if `by_line`, else of everything.
    pub fn peek(&self, limit: usize, by_line: bool) -> Vec<u8> {
        let end = match self.line_ends.front() {
            Some(end) if by_line => self.offset(*end),
            None if by_line => 0,
            _ => self.bytes.len(),
        };
        self.bytes.range(..end.min(limit)).copied().collect()
    }

    /// Drops the first `count` bytes, and the ends of the lines that they finish.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.bytes.drain(..count);
        self.start += count as u64;
        // Of several ends at one place each but the first is an end of file of its own.
        let passed = |end: &u64| *end < self.start;
        while self.line_ends.front().is_some_and(passed) {
            self.line_ends.pop_front();
        }
        if self.line_ends.front() == Some(&self.start) {
            self.line_ends.pop_front();
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.start += self.bytes.len() as u64;
        self.bytes.clear();
        self.line_ends.clear();
    }

    /// Canonical mode was switched on: what is there becomes a line.
    pub fn make_line(&mut self) {
        self.line_ends.clear();
        if !self.bytes.is_empty() {
            self.end_line();
        }
    }

    /// Canonical mode was switched off: lines mean nothing any more.
    pub fn forget_lines(&mut self) {
        self.line_ends.clear();
    }

    fn offset(&self, position: u64) -> usize {
        usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX)
    }
}
