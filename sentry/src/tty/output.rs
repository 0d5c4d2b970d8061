//! What happens to output on its way to the line (termios(3), `c_oflag`).

use super::termios::{OutputFlags, Termios};
use crate::fs::ByteRing;

/// Bytes that wait for the line to take them; small, so that ^C takes effect soon.
pub const OUTPUT_CAPACITY: usize = 16 << 10;

/// The most bytes that one byte of output becomes: a tab.
pub const EXPANSION: usize = 8;

/// Processed output, and where the cursor is.
pub struct Output {
    /// What the line is to take.
    pub ring: ByteRing,
    /// Column of the cursor, from 0.
    pub column: usize,
}

impl Default for Output {
    fn default() -> Self {
        Self { ring: ByteRing::new(OUTPUT_CAPACITY), column: 0 }
    }
}

impl Output {
    /// Whether `count` bytes fit, whatever they are.
    pub const fn fits(&self, count: usize) -> bool {
        self.ring.free() >= count.saturating_mul(EXPANSION)
    }

    /// Adds `bytes` as the settings say; what does not fit is lost.
    pub fn write(&mut self, bytes: &[u8], termios: &Termios) {
        let flags = termios.output();
        if flags.contains(OutputFlags::OPOST) {
            bytes.iter().for_each(|byte| self.process(*byte, flags));
        } else {
            bytes.iter().for_each(|byte| self.put(*byte));
        }
    }

    fn put(&mut self, byte: u8) {
        self.ring.push(byte);
    }

    fn process(&mut self, byte: u8, flags: OutputFlags) {
        match byte {
            b'\n' => {
                if flags.contains(OutputFlags::ONLCR) {
                    self.put(b'\r');
                }
                if flags.intersects(OutputFlags::ONLCR | OutputFlags::ONLRET) {
                    self.column = 0;
                }
                self.put(b'\n');
            }
            b'\r' if flags.contains(OutputFlags::ONOCR) && self.column == 0 => {}
            b'\r' if flags.contains(OutputFlags::OCRNL) => {
                if flags.contains(OutputFlags::ONLRET) {
                    self.column = 0;
                }
                self.put(b'\n');
            }
            b'\r' => {
                self.column = 0;
                self.put(b'\r');
            }
            b'\t' => self.tab(flags.contains(OutputFlags::XTABS)),
            0x08 => {
                self.column = self.column.saturating_sub(1);
                self.put(byte);
            }
            _ => {
                // Neither control characters nor the later bytes of a UTF-8 character move it.
                if byte >= 0x20 && byte != 0x7f && byte & 0xc0 != 0x80 {
                    self.column += 1;
                }
                self.put(byte);
            }
        }
    }

    fn tab(&mut self, as_spaces: bool) {
        let width = 8 - self.column % 8;
        self.column += width;
        if as_spaces {
            (0..width).for_each(|_| self.put(b' '));
        } else {
            self.put(b'\t');
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::fs::testing::Sink;

    fn written(bytes: &[u8]) -> Vec<u8> {
        let mut output = Output::default();
        output.write(bytes, &Termios::default());
        let mut sink = Sink::new(100);
        output.ring.drain_into(&mut sink, 100).unwrap();
        sink.bytes
    }

    #[test]
    fn new_lines_return_the_carriage() {
        assert_eq!(written(b"a\nb\n"), b"a\r\nb\r\n");
    }

    #[test]
    fn the_column_counts_characters() {
        let mut output = Output::default();
        output.write("aé\tb\x08".as_bytes(), &Termios::default());
        assert_eq!(output.column, 8);
    }
}
