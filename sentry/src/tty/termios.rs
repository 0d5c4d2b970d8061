//! Terminal settings (termios(3), `<asm-generic/termbits.h>`).
#![allow(missing_docs, reason = "flags keep the names of their man pages")]

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags! {
    /// `c_iflag`: how input is changed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the names are those of termios(3)")]
    pub struct InputFlags: u32 {
        const ISTRIP = 0x20;
        const INLCR = 0x40;
        const IGNCR = 0x80;
        const ICRNL = 0x100;
        const IXON = 0x400;
        const IXANY = 0x800;
        const IMAXBEL = 0x2000;
        const IUTF8 = 0x4000;
        const _ = !0;
    }

    /// `c_oflag`: how output is changed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the names are those of termios(3)")]
    pub struct OutputFlags: u32 {
        const OPOST = 0x1;
        const ONLCR = 0x4;
        const OCRNL = 0x8;
        const ONOCR = 0x10;
        const ONLRET = 0x20;
        const XTABS = 0x1800;
        const _ = !0;
    }

    /// `c_lflag`: what the line discipline does.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the names are those of termios(3)")]
    pub struct LocalFlags: u32 {
        const ISIG = 0x1;
        const ICANON = 0x2;
        const ECHO = 0x8;
        const ECHOE = 0x10;
        const ECHOK = 0x20;
        const ECHONL = 0x40;
        const NOFLSH = 0x80;
        const TOSTOP = 0x100;
        const ECHOCTL = 0x200;
        const ECHOPRT = 0x400;
        const ECHOKE = 0x800;
        const IEXTEN = 0x8000;
        const EXTPROC = 0x1_0000;
        const _ = !0;
    }
}

/// Number of control characters in the kernel's structure (NCCS).
const CONTROL_CHARACTERS: usize = 19;

/// A special character, by its index in `c_cc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of termios(3), without the V")]
pub enum Control {
    Interrupt = 0,
    Quit = 1,
    Erase = 2,
    Kill = 3,
    EndOfFile = 4,
    Time = 5,
    Minimum = 6,
    Start = 8,
    Stop = 9,
    Suspend = 10,
    EndOfLine = 11,
    Reprint = 12,
    WordErase = 14,
    LiteralNext = 15,
    EndOfLine2 = 16,
}

/// `struct termios` of TCGETS and TCSETS; not that of the C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Termios {
    input: u32,
    output: u32,
    /// `c_cflag`: line speed and framing, which a virtual line only remembers.
    pub control: u32,
    local: u32,
    /// `c_line`: the line discipline; 0 is N_TTY.
    pub discipline: u8,
    characters: [u8; CONTROL_CHARACTERS],
}

/// `struct termios2` of TCGETS2 and TCSETS2: with the speeds as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Termios2 {
    /// All but the speeds.
    pub termios: Termios,
    /// Input speed in bits a second.
    pub input_speed: u32,
    /// Output speed in bits a second.
    pub output_speed: u32,
}

/// `struct winsize` of TIOCGWINSZ.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct WindowSize {
    /// Rows of characters.
    pub rows: u16,
    /// Columns of characters.
    pub columns: u16,
    /// Width in pixels; not used.
    pub width: u16,
    /// Height in pixels; not used.
    pub height: u16,
}

impl Default for Termios {
    /// The settings a new terminal has (`tty_std_termios`): 38400 baud, 8 bits, cooked.
    fn default() -> Self {
        const B38400: u32 = 0xf;
        const CS8: u32 = 0x30;
        const CREAD: u32 = 0x80;
        Self {
            input: (InputFlags::ICRNL | InputFlags::IXON).bits(),
            output: (OutputFlags::OPOST | OutputFlags::ONLCR).bits(),
            control: B38400 | CS8 | CREAD,
            local: (LocalFlags::ISIG
                | LocalFlags::ICANON
                | LocalFlags::ECHO
                | LocalFlags::ECHOE
                | LocalFlags::ECHOK
                | LocalFlags::ECHOCTL
                | LocalFlags::ECHOKE
                | LocalFlags::IEXTEN)
                .bits(),
            discipline: 0,
            characters: [
                0x03, 0x1c, 0x7f, 0x15, 0x04, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16,
                0, 0, 0,
            ],
        }
    }
}

impl Termios {
    /// Input flags.
    pub const fn input(&self) -> InputFlags {
        InputFlags::from_bits_retain(self.input)
    }

    /// Output flags.
    pub const fn output(&self) -> OutputFlags {
        OutputFlags::from_bits_retain(self.output)
    }

    /// Local flags.
    pub const fn local(&self) -> LocalFlags {
        LocalFlags::from_bits_retain(self.local)
    }

    /// The character or number for `control`.
    pub fn character(&self, control: Control) -> u8 {
        self.characters.get(control as usize).copied().unwrap_or(0)
    }

    /// Whether `byte` is the special character `control`. NUL disables one (_POSIX_VDISABLE).
    pub fn is(&self, byte: u8, control: Control) -> bool {
        byte != 0 && self.character(control) == byte
    }

    /// The same with these local flags.
    #[must_use]
    pub const fn with_local(mut self, local: LocalFlags) -> Self {
        self.local = local.bits();
        self
    }

    /// The same with `value` for `control`.
    #[must_use]
    pub fn with_character(mut self, control: Control, value: u8) -> Self {
        if let Some(place) = self.characters.get_mut(control as usize) {
            *place = value;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_kernels() {
        assert_eq!(size_of::<Termios>(), 36);
        assert_eq!(size_of::<Termios2>(), 44);
        assert_eq!(size_of::<WindowSize>(), 8);
    }

    #[test]
    fn a_disabled_character_matches_nothing() {
        let termios = Termios::default();
        assert!(termios.is(3, Control::Interrupt));
        assert!(!termios.is(0, Control::EndOfLine));
    }
}
