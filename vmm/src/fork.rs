//! A process that is a copy of this one.
#![allow(unsafe_code, reason = "leaf module: fork(2)")]

use std::io;

use rustix::process::Pid;

/// Makes a copy of this process, which must have one thread: of others the copy would have what they
/// locked, and not them. Answers the copy's id, or in the copy none.
///
/// # Errors
/// `EAGAIN` at the limit of processes (fork(2)).
pub fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the process has one thread, so nothing in the copy's memory is in the middle of a change.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}
