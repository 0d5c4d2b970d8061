//! Typed arguments: how six registers become what a handler takes.

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
