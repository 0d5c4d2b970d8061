//! The system calls that no crate wraps safely.
#![allow(unsafe_code, reason = "leaf module: direct system calls")]

use std::{io, os::unix::process::CommandExt, process::Command};

/// Makes `command` pass on no descriptor but the standard three, whether or not those that opened
/// the others thought of O_CLOEXEC (close_range(2)).
pub fn inherit_nothing(command: &mut Command) -> &mut Command {
    let close = || {
        let flags = libc::CLOSE_RANGE_CLOEXEC;
        // SAFETY: the call touches no memory, and closes nothing before the execve.
        check(unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, flags) })
    };
    // SAFETY: the closure runs between fork and execve and makes one system call, which is
    // async-signal-safe; it neither allocates nor locks.
    unsafe { command.pre_exec(close) }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
