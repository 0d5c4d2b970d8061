//! The system calls that no crate wraps safely.
#![allow(unsafe_code, reason = "leaf module: direct system calls")]

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::process::CommandExt,
    },
    process::Command,
};

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

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// `MOUNT_ATTR_RDONLY` of `linux/mount.h`.
pub const MOUNT_READ_ONLY: u64 = 1;
/// `MOUNT_ATTR_NOSUID`, `MOUNT_ATTR_NODEV` and `MOUNT_ATTR_NOEXEC`.
pub const MOUNT_DATA_ONLY: u64 = 2 | 4 | 8;

/// Sets `attributes` (`MOUNT_ATTR_*`) on the mount tree whose root `tree` is (mount_setattr(2)).
///
/// # Errors
/// Those of mount_setattr(2).
pub fn set_mount_attributes(tree: impl AsFd, attributes: u64) -> io::Result<()> {
    let request = MountAttributes { set: attributes, clear: 0, propagation: 0, user_namespace: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is a valid C string, and `request` is valid for its size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const request,
            size_of::<MountAttributes>(),
        )
    };
    check(result)
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
