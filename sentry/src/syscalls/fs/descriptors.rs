//! dup(2), fcntl(2) and their relatives.

use alloc::sync::Arc;

use super::{descriptor_limit, install, locks};
use crate::{
    errno::{Errno, Result},
    fs::{
        pipe::PipeEnd,
        tmpfs::{RegularFile, Seals},
    },
    kernel::{Capabilities, Current},
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{OpenFile, OpenFlags, permission},
};

const F_DUPFD: u32 = 0;
const F_GETFD: u32 = 1;
const F_SETFD: u32 = 2;
const F_GETFL: u32 = 3;
const F_SETFL: u32 = 4;
const F_GETLK: u32 = 5;
const F_SETLK: u32 = 6;
const F_SETLKW: u32 = 7;
const F_OFD_GETLK: u32 = 36;
const F_OFD_SETLK: u32 = 37;
const F_OFD_SETLKW: u32 = 38;
const F_DUPFD_CLOEXEC: u32 = 1030;
const F_SETPIPE_SZ: u32 = 1031;
const F_GETPIPE_SZ: u32 = 1032;
const F_ADD_SEALS: u32 = 1033;
const F_GET_SEALS: u32 = 1034;

const FD_CLOEXEC: u64 = 1;

/// Largest pipe of an unprivileged process (/proc/sys/fs/pipe-max-size).
const PIPE_MAX_SIZE: usize = 1 << 20;

/// dup(2).
///
/// # Errors
/// As dup(2).
pub fn dup(current: &mut Current, descriptor: FileDescriptor) -> SyscallResult {
    let open = current.files.get_any(descriptor)?;
    install(current, open, false)
}

/// dup2(2).
///
/// # Errors
/// As dup2(2).
pub fn dup2(current: &mut Current, old: FileDescriptor, new: FileDescriptor) -> SyscallResult {
    if old == new {
        current.files.get_any(old)?;
        return Ok(u64::from(new.0.unsigned_abs()));
    }
    duplicate_at(current, old, new, false)
}

/// dup3(2).
///
/// # Errors
/// As dup3(2).
pub fn dup3(
    current: &mut Current,
    old: FileDescriptor,
    new: FileDescriptor,
    flags: u32,
) -> SyscallResult {
    let close_on_exec = OpenFlags::CLOSE_ON_EXEC.bits();
    super::check_flags(flags, close_on_exec)?;
    if old == new {
        return Err(Errno::EINVAL);
    }
    duplicate_at(current, old, new, flags & close_on_exec != 0)
}

fn duplicate_at(
    current: &Current,
    old: FileDescriptor,
    new: FileDescriptor,
    close_on_exec: bool,
) -> SyscallResult {
    let open = current.files.get_any(old)?;
    let limit = descriptor_limit(current);
    drop(current.files.install_at(new, open, close_on_exec, limit)?);
    Ok(u64::from(new.0.unsigned_abs()))
}

/// fcntl(2).
///
/// # Errors
/// As fcntl(2); EINVAL for a command that is not known.
pub async fn fcntl(
    current: &mut Current,
    descriptor: FileDescriptor,
    command: u32,
    argument: u64,
) -> SyscallResult {
    match command {
        F_DUPFD => return duplicate_from(current, descriptor, argument, false),
        F_DUPFD_CLOEXEC => return duplicate_from(current, descriptor, argument, true),
        F_GETFD => return current.files.is_close_on_exec(descriptor).map(u64::from),
        F_SETFD => {
            let close_on_exec = argument & FD_CLOEXEC != 0;
            return current.files.set_close_on_exec(descriptor, close_on_exec).map(|()| 0);
        }
        F_GETFL => {
            let open = current.files.get_any(descriptor)?;
            return Ok(u64::from(open.flags().bits()));
        }
        _ => {}
    }
    let open = current.files.get(descriptor)?;
    match command {
        F_SETFL => set_status_flags(current, &open, argument).await,
        F_GETLK | F_OFD_GETLK => {
            let owned = command == F_OFD_GETLK;
            locks::query(current, &open, owned, UserAddress(argument)).await
        }
        F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => {
            let owned = command >= F_OFD_GETLK;
            let wait = command == F_SETLKW || command == F_OFD_SETLKW;
            locks::set(current, &open, owned, wait, UserAddress(argument)).await
        }
        F_SETPIPE_SZ => set_pipe_size(current, &open, argument),
        F_GETPIPE_SZ => Ok(pipe(&open)?.capacity() as u64),
        F_ADD_SEALS => add_seals(&open, argument),
        F_GET_SEALS => Ok(u64::from(memory_file(&open)?.seals()?.bits())),
        _ => Err(Errno::EINVAL),
    }
}

fn duplicate_from(
    current: &Current,
    descriptor: FileDescriptor,
    minimum: u64,
    close_on_exec: bool,
) -> SyscallResult {
    let open = current.files.get_any(descriptor)?;
    let minimum = i32::try_from(minimum).map_err(|_| Errno::EINVAL)?;
    let limit = descriptor_limit(current);
    let new = current.files.install_from(FileDescriptor(minimum), open, close_on_exec, limit)?;
    Ok(u64::from(new.0.unsigned_abs()))
}

async fn set_status_flags(current: &Current, open: &Arc<OpenFile>, argument: u64) -> SyscallResult {
    let flags = OpenFlags::from_bits_truncate((argument & 0xffff_ffff) as u32);
    let wants_no_access_time = (flags - open.flags()).contains(OpenFlags::NO_ACCESS_TIME);
    if wants_no_access_time && let Some(path) = &open.path {
        let attributes = path.inode().attributes().await?;
        if !permission::is_owner(&current.credentials(), &attributes) {
            return Err(Errno::EPERM);
        }
    }
    open.set_status_flags(flags);
    Ok(0)
}

fn pipe(open: &OpenFile) -> Result<&PipeEnd> {
    open.downcast().ok_or(Errno::EBADF)
}

fn set_pipe_size(current: &Current, open: &OpenFile, argument: u64) -> SyscallResult {
    let size = usize::try_from(argument).map_err(|_| Errno::EINVAL)?;
    let pipe = pipe(open)?;
    let privileged = current.credentials().has(Capabilities::SYS_RESOURCE);
    if size > PIPE_MAX_SIZE && !privileged {
        return Err(Errno::EPERM);
    }
    Ok(pipe.set_capacity(size)? as u64)
}

fn memory_file(open: &OpenFile) -> Result<&RegularFile> {
    open.downcast().ok_or(Errno::EINVAL)
}

fn add_seals(open: &OpenFile, argument: u64) -> SyscallResult {
    let seals = u32::try_from(argument).ok().and_then(Seals::from_bits).ok_or(Errno::EINVAL)?;
    let file = memory_file(open)?;
    if !open.flags().writable() {
        return Err(Errno::EPERM);
    }
    file.add_seals(seals)?;
    Ok(0)
}
