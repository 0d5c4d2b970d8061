//! Which descriptors a process that this one starts gets.
#![allow(unsafe_code, reason = "leaf module: code between fork and execve")]

use std::{
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
};

/// Makes `command` pass on no descriptors but the standard three and `kept`, whether or not those
/// that opened the others thought of O_CLOEXEC (close_range(2)). The kept ones keep their numbers;
/// they must be open when the command is spawned.
pub fn inherit_only<'a>(command: &'a mut Command, kept: &[BorrowedFd<'_>]) -> &'a mut Command {
    let kept: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    let prepare = move || {
        // SAFETY: the call touches no memory, and closes nothing before the execve.
        let closed = unsafe {
            libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
        };
        if closed != 0 {
            return Err(io::Error::last_os_error());
        }
        for &descriptor in &kept {
            // SAFETY: the call touches no memory.
            if unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and execve and makes system calls only, which are
    // async-signal-safe; it neither allocates nor locks.
    unsafe { command.pre_exec(prepare) }
}

/// Takes over a descriptor that the process was started with, once; `None` if `number` names none
/// above the standard three.
pub fn take_inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl fails for what is no open descriptor.
    let is_open =
        number > 2 && unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
    // SAFETY: it is open, and only the code that parses the arguments, once, knows it.
    is_open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes the terminal on standard input the controlling one of this process, which leads a session
/// without one (ioctl_tty(2), TIOCSCTTY).
///
/// # Errors
/// `EPERM` if it controls another session.
pub fn take_controlling_terminal() -> io::Result<()> {
    // SAFETY: the call touches no memory.
    if unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Moves this process into the network namespace behind `namespace` (setns(2)), or into a new one.
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN.
pub fn enter_network(namespace: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let result = match namespace {
        // SAFETY: the call touches no memory.
        Some(namespace) => unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) },
        // SAFETY: as above.
        None => unsafe { libc::unshare(libc::CLONE_NEWNET) },
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
