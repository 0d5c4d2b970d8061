//! The line discipline: what each byte from the line does (N_TTY; termios(3)).

use alloc::vec::Vec;

use super::{
    input::InputQueue,
    output::Output,
    termios::{Control, InputFlags, LocalFlags, Termios},
};
use crate::kernel::signal::Signal;

/// Input, output and settings of one terminal.
#[derive(Default)]
pub struct LineDiscipline {
    termios: Termios,
    /// Unread input.
    pub input: InputQueue,
    /// Output that the line has not taken.
    pub output: Output,
    /// Output waits (the stop character, or tcflow(3)).
    pub stopped: bool,
    /// The next byte is taken literally.
    literal_next: bool,
    /// Column where the unfinished line begins on the screen, to erase tabs rightly.
    line_column: usize,
}

impl LineDiscipline {
    /// The settings.
    pub const fn termios(&self) -> &Termios {
        &self.termios
    }

    /// Whether input is read by lines.
    pub const fn is_canonical(&self) -> bool {
        self.termios.local().contains(LocalFlags::ICANON)
    }

    /// Changes the settings.
    pub fn set_termios(&mut self, termios: Termios) {
        let was_canonical = self.is_canonical();
        self.termios = termios;
        self.literal_next = false;
        match (was_canonical, self.is_canonical()) {
            (false, true) => self.input.make_line(),
            (true, false) => self.input.forget_lines(),
            _ => {}
        }
        if !termios.input().contains(InputFlags::IXON) {
            self.stopped = false;
        }
    }

    /// Bytes the line may send now. In canonical mode it may always send: what does not fit is
    /// lost, since without a line end nobody can read what is there.
    pub fn input_room(&self) -> usize {
        match self.input.room() {
            0 if self.is_canonical() && !self.input.has_line() => 1,
            room => room,
        }
    }

    /// Takes one byte from the line; the signal for the foreground job that it means, if any.
    pub fn receive(&mut self, byte: u8) -> Option<Signal> {
        let local = self.termios.local();
        let flags = self.termios.input();
        let mut byte = if flags.contains(InputFlags::ISTRIP) { byte & 0x7f } else { byte };
        if core::mem::take(&mut self.literal_next) {
            self.add(byte);
            return None;
        }
        if flags.contains(InputFlags::IXON) && self.flow_control(byte, flags) {
            return None;
        }
        if local.contains(LocalFlags::ISIG)
            && let Some(signal) = self.signal(byte)
        {
            return Some(signal);
        }
        match byte {
            b'\r' if flags.contains(InputFlags::IGNCR) => return None,
            b'\r' if flags.contains(InputFlags::ICRNL) => byte = b'\n',
            b'\n' if flags.contains(InputFlags::INLCR) => byte = b'\r',
            _ => {}
        }
        if !(local.contains(LocalFlags::ICANON) && self.edit(byte)) {
            self.add(byte);
        }
        None
    }

    /// Handles the start and stop characters; whether `byte` was one.
    fn flow_control(&mut self, byte: u8, flags: InputFlags) -> bool {
        let start = self.termios.is(byte, Control::Start);
        let stop = self.termios.is(byte, Control::Stop);
        if start || (flags.contains(InputFlags::IXANY) && !stop) {
            self.stopped = false;
        } else if stop {
            self.stopped = true;
        }
        start || stop
    }

    fn signal(&mut self, byte: u8) -> Option<Signal> {
        let signal = [
            (Control::Interrupt, Signal::INT),
            (Control::Quit, Signal::QUIT),
            (Control::Suspend, Signal::TSTP),
        ]
        .into_iter()
        .find_map(|(control, signal)| self.termios.is(byte, control).then_some(signal))?;
        if !self.termios.local().contains(LocalFlags::NOFLSH) {
            self.input.clear();
            self.output.ring.discard(usize::MAX);
        }
        self.stopped = false;
        self.echo(byte);
        Some(signal)
    }

    /// Line editing; whether `byte` was handled.
    fn edit(&mut self, byte: u8) -> bool {
        let extended = self.termios.local().contains(LocalFlags::IEXTEN);
        let is = |control| self.termios.is(byte, control);
        if is(Control::Erase) {
            self.erase_character();
        } else if is(Control::Kill) {
            self.kill_line(byte);
        } else if extended && is(Control::WordErase) {
            self.erase_word();
        } else if extended && is(Control::LiteralNext) {
            self.literal_next = true;
            self.echo_bytes(b"^\x08");
        } else if extended && is(Control::Reprint) {
            self.reprint(byte);
        } else if is(Control::EndOfFile) {
            self.input.end_line();
        } else if byte == b'\n' || is(Control::EndOfLine) || (extended && is(Control::EndOfLine2)) {
            self.finish_line(byte);
        } else {
            return false;
        }
        true
    }

    fn finish_line(&mut self, byte: u8) {
        let local = self.termios.local();
        if !self.input.push(byte) {
            self.bell();
            return;
        }
        self.input.end_line();
        if byte == b'\n' && local.intersects(LocalFlags::ECHO | LocalFlags::ECHONL) {
            self.output.write(b"\n", &self.termios);
        } else {
            self.echo(byte);
        }
    }

    /// Adds a byte that means nothing special.
    fn add(&mut self, byte: u8) {
        // The last place is for the end of the line.
        let full = self.is_canonical() && self.input.room() <= 1;
        if full || !self.input.push(byte) {
            self.bell();
            return;
        }
        if self.is_canonical() && self.input.unfinished().count() == 1 {
            self.line_column = self.output.column;
        }
        self.echo(byte);
    }

    fn bell(&mut self) {
        if self.termios.input().contains(InputFlags::IMAXBEL) {
            self.output.write(b"\x07", &self.termios);
        }
    }

    fn echo_bytes(&mut self, bytes: &[u8]) {
        if self.termios.local().contains(LocalFlags::ECHO) {
            self.output.write(bytes, &self.termios);
        }
    }

    fn echo(&mut self, byte: u8) {
        if self.shows_as_two(byte) {
            self.echo_bytes(&[b'^', byte ^ 0x40]);
        } else {
            self.echo_bytes(&[byte]);
        }
    }

    /// Whether a control character is echoed as ^X.
    fn shows_as_two(&self, byte: u8) -> bool {
        let control = (byte < 0x20 && byte != b'\t' && byte != b'\n') || byte == 0x7f;
        control && self.termios.local().contains(LocalFlags::ECHOCTL)
    }

    /// Removes the last character of the unfinished line, and from the screen.
    fn erase_character(&mut self) -> bool {
        let Some(mut byte) = self.input.pop_unfinished() else { return false };
        if self.termios.input().contains(InputFlags::IUTF8) {
            while byte & 0xc0 == 0x80
                && let Some(earlier) = self.input.pop_unfinished()
            {
                byte = earlier;
            }
        }
        let local = self.termios.local();
        if local.contains(LocalFlags::ECHOE) {
            (0..self.width(byte)).for_each(|_| self.echo_bytes(b"\x08 \x08"));
        } else {
            self.echo(self.termios.character(Control::Erase));
        }
        true
    }

    /// Columns that `byte`, just taken from the end of the unfinished line, occupies.
    fn width(&self, byte: u8) -> usize {
        match byte {
            b'\t' => {
                let before: Vec<u8> = self.input.unfinished().collect();
                let column = before.iter().fold(self.line_column, |column, byte| match byte {
                    b'\t' => (column / 8 + 1) * 8,
                    byte if self.shows_as_two(*byte) => column + 2,
                    byte if byte & 0xc0 == 0x80 => column,
                    _ => column + 1,
                });
                8 - column % 8
            }
            byte if self.shows_as_two(byte) => 2,
            byte if byte < 0x20 => 0,
            _ => 1,
        }
    }

    fn erase_word(&mut self) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        while self.input.unfinished().next_back().is_some_and(|byte| !is_word(byte)) {
            self.erase_character();
        }
        while self.input.unfinished().next_back().is_some_and(is_word) {
            self.erase_character();
        }
    }

    fn kill_line(&mut self, byte: u8) {
        let local = self.termios.local();
        if local.contains(LocalFlags::ECHOKE | LocalFlags::ECHOE) {
            while self.erase_character() {}
            return;
        }
        while self.input.pop_unfinished().is_some() {}
        self.echo(byte);
        if local.contains(LocalFlags::ECHOK) {
            self.echo_bytes(b"\n");
        }
    }

    fn reprint(&mut self, byte: u8) {
        self.echo(byte);
        self.echo_bytes(b"\n");
        let line: Vec<u8> = self.input.unfinished().collect();
        line.iter().for_each(|byte| self.echo(*byte));
    }
}

#[cfg(test)]
#[path = "line_discipline_tests.rs"]
mod tests;
