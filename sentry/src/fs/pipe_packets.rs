//! Which of a pipe's bytes are packets (pipe2(2), O_DIRECT).

use alloc::collections::VecDeque;
use core::ops::Range;

/// The packets in a pipe, by positions that count all bytes ever written.
#[derive(Debug, Default)]
pub struct Packets {
    /// Position of the next byte to read.
    start: u64,
    /// Position of the next byte to write.
    end: u64,
    queue: VecDeque<Range<u64>>,
}

impl Packets {
    /// The most bytes that one read may take: a packet, or what lies before the next one.
    pub fn readable(&self) -> usize {
        let limit = match self.queue.front() {
            Some(packet) if packet.start == self.start => packet.end - self.start,
            Some(packet) => packet.start - self.start,
            None => return usize::MAX,
        };
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// Notes that `count` bytes were read; returns how many more go with them, because the reader
    /// had no room for all of a packet.
    pub fn read(&mut self, count: usize) -> usize {
        let in_packet = self.queue.front().filter(|packet| packet.start == self.start).cloned();
        self.start += count as u64;
        let Some(packet) = in_packet else { return 0 };
        self.queue.pop_front();
        let rest = packet.end.saturating_sub(self.start);
        self.start += rest;
        usize::try_from(rest).unwrap_or(usize::MAX)
    }

    /// Notes that `count` bytes were written, as a packet or not. One whose bytes were not all at
    /// hand when it was written (a page fault) is two.
    pub fn written(&mut self, count: usize, as_packet: bool) {
        let end = self.end + count as u64;
        if as_packet && count > 0 {
            self.queue.push_back(self.end..end);
        }
        self.end = end;
    }
}
