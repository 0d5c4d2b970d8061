//! The system-call table: the one place that says which calls exist, who serves them, and how well.
//!
//! Dispatch, the trace (`--strace`) and docs/compatibility.md come from it. A line reads
//!
//! ```text
//! NUMBER NAME(argument: Type, ...) => KIND path::to::handler, Support, "note";
//! ```
//!
//! where KIND is `sync` (never waits), `async`, or `boxed` (waits, and is rare or large: its future
//! is put on the heap, so that it does not make every task's future larger). Handlers take
//! `&mut Current` and the typed arguments. Numbers: arch/x86/entry/syscalls/syscall_64.tbl.

use alloc::boxed::Box;

use super::{
    SyscallResult,
    arguments::{ArgumentKind, FromArgument},
};
use crate::{errno::Errno, kernel::Current};

/// How much of a call works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// All that programs use.
    Full,
    /// Some flags or cases are missing; the note says which.
    Partial,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Syscall {
    /// Number on x86-64.
    pub number: u32,
    /// Name.
    pub name: &'static str,
    /// Names and kinds of its arguments.
    pub arguments: &'static [(&'static str, ArgumentKind)],
    /// How much works.
    pub support: Support,
    /// What does not.
    pub note: &'static str,
}

macro_rules! call {
    (sync, $handler:path, $current:ident $(, $argument:expr)*) => {
        $handler($current $(, $argument)*)
    };
    (async, $handler:path, $current:ident $(, $argument:expr)*) => {
        $handler($current $(, $argument)*).await
    };
    (boxed, $handler:path, $current:ident $(, $argument:expr)*) => {
        Box::pin($handler($current $(, $argument)*)).await
    };
}

macro_rules! syscall_table {
    ($(
        $number:literal $name:ident ( $($argument:ident : $type:ty),* )
            => $kind:ident $handler:path, $support:ident, $note:literal;
    )*) => {
        /// The table, by number.
        pub const SYSCALLS: &[Syscall] = &[$(
            Syscall {
                number: $number,
                name: stringify!($name),
                arguments: &[$((stringify!($argument), <$type as FromArgument>::KIND)),*],
                support: Support::$support,
                note: $note,
            },
        )*];

        /// Serves the system call that `current` trapped with.
        ///
        /// # Errors
        /// ENOSYS if the table has no such call; else what its handler answers.
        pub async fn dispatch(current: &mut Current) -> SyscallResult {
            let registers = &current.context.registers;
            let number = registers.original_rax;
            let mut arguments = registers.syscall_arguments().into_iter();
            #[allow(unused_mut, unused_variables, reason = "some calls take no argument")]
            let mut next = move || arguments.next().unwrap_or_default();
            match number {
                $($number => {
                    $(let $argument = <$type as FromArgument>::from_argument(next());)*
                    call!($kind, $handler, current $(, $argument)*)
                })*
                _ => Err(Errno::ENOSYS),
            }
        }
    };
}

use crate::{
    mm::UserAddress,
    syscalls::{FileDescriptor, *},
};

syscall_table! {}
