//! Typed arguments: how six registers become what a handler takes.

use alloc::{format, string::String, vec::Vec};

use crate::mm::UserAddress;

/// A file descriptor as user code gave it; it may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileDescriptor(pub i32);

/// A type that a register can be read as. Linux looks only at the low half of a register for an
/// `int`, so narrowing truncates; it is the handler that judges the value.
pub trait FromArgument {
    /// What strace and the documentation call it.
    const KIND: ArgumentKind;

    /// Reads it.
    fn from_argument(register: u64) -> Self;
}

/// How an argument is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// A signed number.
    Signed,
    /// An unsigned number.
    Unsigned,
    /// An address.
    Address,
    /// A file descriptor.
    FileDescriptor,
    /// The address of a string that ends with NUL.
    Text,
    /// Permission bits.
    Octal,
    /// A signal.
    Signal,
    /// A number, or bits, that have names.
    Named(&'static Names),
}

/// Names of the values of an argument.
#[derive(Debug, PartialEq, Eq)]
pub struct Names {
    /// Bits that together choose one of `choices`.
    pub choice_mask: u32,
    /// Names of the values of these bits; also of a value that is zero altogether.
    pub choices: &'static [(u32, &'static str)],
    /// Names of single bits, and of combinations before their parts.
    pub flags: &'static [(u32, &'static str)],
}

impl Names {
    /// `value` in words; what has no name stays a number.
    pub fn describe(&self, value: u32) -> String {
        let choice = value & self.choice_mask;
        let named = |(number, _): &&(u32, &str)| *number == choice;
        let is_choice = self.choice_mask != 0 || value == 0;
        let chosen = self.choices.iter().find(named).filter(|_| is_choice);
        let mut words: Vec<String> = chosen.map(|(_, name)| (*name).into()).into_iter().collect();
        let mut rest = if chosen.is_some() { value - choice } else { value };
        for (bits, name) in self.flags {
            if rest & bits == *bits {
                words.push((*name).into());
                rest -= bits;
            }
        }
        if words.is_empty() && rest == 0 {
            words.push("0".into());
        } else if rest != 0 {
            words.push(format!("{rest:#x}"));
        }
        words.join("|")
    }
}

macro_rules! number {
    ($($type:ty, $via:ty, $kind:ident;)*) => {$(
        impl FromArgument for $type {
            const KIND: ArgumentKind = ArgumentKind::$kind;

            fn from_argument(register: u64) -> Self {
                register as $via as Self
            }
        }
    )*};
}

number! {
    i32, u32, Signed;
    u32, u32, Unsigned;
    i64, u64, Signed;
    u64, u64, Unsigned;
    usize, u64, Unsigned;
}

impl FromArgument for UserAddress {
    const KIND: ArgumentKind = ArgumentKind::Address;

    fn from_argument(register: u64) -> Self {
        Self(register)
    }
}

impl FromArgument for FileDescriptor {
    const KIND: ArgumentKind = ArgumentKind::FileDescriptor;

    fn from_argument(register: u64) -> Self {
        Self(i32::from_argument(register))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::shown_as, *};

    fn describe(kind: ArgumentKind, value: u32) -> String {
        let ArgumentKind::Named(names) = kind else { panic!("{kind:?} has no names") };
        names.describe(value)
    }

    #[test]
    fn choices_flags_and_unknown_bits_are_told_apart() {
        assert_eq!(describe(shown_as::OPEN_FLAGS, 0o2_000_000), "O_RDONLY|O_CLOEXEC");
        assert_eq!(describe(shown_as::OPEN_FLAGS, 0o4_010_002), "O_RDWR|O_SYNC");
        assert_eq!(describe(shown_as::MAP_FLAGS, 0x22), "MAP_PRIVATE|MAP_ANONYMOUS");
        assert_eq!(describe(shown_as::MAP_FLAGS, 0x28), "MAP_ANONYMOUS|0x8");
        assert_eq!(describe(shown_as::PROTECTION, 0), "PROT_NONE");
        assert_eq!(describe(shown_as::PROTECTION, 5), "PROT_READ|PROT_EXEC");
        assert_eq!(describe(shown_as::FUTEX_OPERATION, 129), "FUTEX_WAKE|FUTEX_PRIVATE_FLAG");
        assert_eq!(describe(shown_as::WHENCE, 77), "0x4d");
        assert_eq!(describe(shown_as::AT_FLAGS, 0), "0");
    }
}
