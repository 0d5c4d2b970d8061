//! Signal numbers and sets of them.

use crate::errno::{Errno, Result};

/// A signal number, 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// What happens when a signal has no handler (signal(7), "Standard signals").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// The process ends.
    Terminate,
    /// The process ends, and its status says that a core might have been dumped.
    Core,
    /// Nothing.
    Ignore,
    /// The process stops.
    Stop,
    /// The process goes on, if stopped.
    Continue,
}

macro_rules! signals {
    ($($name:ident = $number:literal, $default:ident;)*) => {
        #[allow(missing_docs, reason = "the names are those of signal(7)")]
        impl Signal {
            $(pub const $name: Self = Self($number);)*
        }

        const STANDARD: &[(&str, DefaultAction)] = &[
            $((concat!("SIG", stringify!($name)), DefaultAction::$default),)*
        ];
    };
}

// In order of their numbers, without a gap: `STANDARD` is indexed by number - 1.
signals! {
    HUP = 1, Terminate;
    INT = 2, Terminate;
    QUIT = 3, Core;
    ILL = 4, Core;
    TRAP = 5, Core;
    ABRT = 6, Core;
    BUS = 7, Core;
    FPE = 8, Core;
    KILL = 9, Terminate;
    USR1 = 10, Terminate;
    SEGV = 11, Core;
    USR2 = 12, Terminate;
    PIPE = 13, Terminate;
    ALRM = 14, Terminate;
    TERM = 15, Terminate;
    STKFLT = 16, Terminate;
    CHLD = 17, Ignore;
    CONT = 18, Continue;
    STOP = 19, Stop;
    TSTP = 20, Stop;
    TTIN = 21, Stop;
    TTOU = 22, Stop;
    URG = 23, Ignore;
    XCPU = 24, Core;
    XFSZ = 25, Core;
    VTALRM = 26, Terminate;
    PROF = 27, Terminate;
    WINCH = 28, Ignore;
    IO = 29, Terminate;
    PWR = 30, Terminate;
    SYS = 31, Core;
}

impl Signal {
    /// The first real-time signal, as the kernel counts (signal(7), "Real-time signals").
    pub const REAL_TIME_MIN: u8 = 32;
    /// The last signal.
    pub const MAX: u8 = 64;

    /// The signal with this number.
    ///
    /// # Errors
    /// EINVAL if there is none.
    pub fn from_number(number: i32) -> Result<Self> {
        match u8::try_from(number) {
            Ok(number @ 1..=Self::MAX) => Ok(Self(number)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its place in tables of 64.
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Whether it is queued as often as it is sent.
    pub const fn is_real_time(self) -> bool {
        self.0 >= Self::REAL_TIME_MIN
    }

    /// What happens without a handler.
    pub fn default_action(self) -> DefaultAction {
        STANDARD.get(self.index()).map_or(DefaultAction::Terminate, |(_, action)| *action)
    }

    /// Its name; real-time signals share one.
    pub fn name(self) -> &'static str {
        STANDARD.get(self.index()).map_or("SIGRT", |(name, _)| name)
    }
}

/// A set of signals, in the bits of the kernel's `sigset_t`: bit N-1 is signal N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// SIGKILL and SIGSTOP, which cannot be caught, blocked or ignored.
    pub const UNBLOCKABLE: Self = Self::of(&[Signal::KILL, Signal::STOP]);
    /// The signals that stop a process by default.
    pub const STOP: Self = Self::of(&[Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU]);
    /// Signals that an instruction of the task itself caused; delivered before others.
    pub const SYNCHRONOUS: Self =
        Self::of(&[Signal::SEGV, Signal::BUS, Signal::ILL, Signal::TRAP, Signal::FPE, Signal::SYS]);

    /// The set of `signals`.
    pub const fn of(signals: &[Signal]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < signals.len() {
            bits |= 1 << signals[index].index();
            index += 1;
        }
        Self(bits)
    }

    /// Whether `signal` is in it.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & (1 << signal.index()) != 0
    }

    /// Whether no signal is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds `signal`.
    pub const fn insert(&mut self, signal: Signal) {
        self.0 |= 1 << signal.index();
    }

    /// Removes `signal`.
    pub const fn remove(&mut self, signal: Signal) {
        self.0 &= !(1 << signal.index());
    }

    /// The signals in both.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The signals in either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The signals in this and not in `other`.
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The signal to deliver first: a synchronous one, else the lowest number.
    pub fn first(self) -> Option<Signal> {
        let synchronous = self.intersection(Self::SYNCHRONOUS);
        let set = if synchronous.is_empty() { self } else { synchronous };
        let number = set.0.trailing_zeros() + 1;
        i32::try_from(number).ok().and_then(|number| Signal::from_number(number).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_no_gap() {
        assert_eq!(STANDARD.len(), 31);
        assert_eq!(Signal::SYS.name(), "SIGSYS");
        assert_eq!(Signal::CONT.default_action(), DefaultAction::Continue);
    }

    #[test]
    fn numbers_are_checked() {
        assert_eq!(Signal::from_number(0), Err(Errno::EINVAL));
        assert_eq!(Signal::from_number(65), Err(Errno::EINVAL));
        assert_eq!(Signal::from_number(-9), Err(Errno::EINVAL));
        assert_eq!(Signal::from_number(9), Ok(Signal::KILL));
    }

    #[test]
    fn synchronous_signals_come_first() {
        let set = SignalSet::of(&[Signal::HUP, Signal::SEGV, Signal::USR1]);
        assert_eq!(set.first(), Some(Signal::SEGV));
        assert_eq!(SignalSet::of(&[Signal::USR1, Signal::HUP]).first(), Some(Signal::HUP));
        assert_eq!(SignalSet::EMPTY.first(), None);
    }
}
