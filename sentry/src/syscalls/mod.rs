//! System calls: one table, and thin handlers by area that decode, call a subsystem, and encode.

mod arguments;
pub mod fs;
pub mod futex;
pub mod identity;
pub mod ipc;
mod linux_calls;
pub mod mm;
pub mod net;
pub mod poll;
pub mod process;
pub mod scheduling;
pub mod shown_as;
pub mod signal;
pub mod system;
pub mod sysv;
mod table;
pub mod time;

pub use arguments::{ArgumentKind, FileDescriptor, FromArgument, Names};
pub use linux_calls::{LINUX_CALLS, name_of};
pub use table::{SYSCALLS, Support, Syscall, dispatch, try_dispatch};

use crate::errno::Result;

/// What a handler answers: the value of the result register, or an errno.
pub type SyscallResult = Result<u64>;
