//! System calls: one table, and thin handlers by area that decode, call a subsystem, and encode.

mod arguments;
pub mod fs;
pub mod futex;
pub mod identity;
pub mod mm;
pub mod process;
pub mod scheduling;
pub mod signal;
pub mod system;
pub mod time;
mod table;

pub use arguments::{FileDescriptor, FromArgument};
pub use table::{SYSCALLS, Support, Syscall, dispatch};

use crate::errno::Result;

/// What a handler answers: the value of the result register, or an errno.
pub type SyscallResult = Result<u64>;
