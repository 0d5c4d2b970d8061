//! Processes as files (pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2)).

use alloc::sync::Arc;

use crate::{
    errno::{Errno, Result},
    fs::pid_fd::PidFd,
    kernel::{Current, Process},
    mm::UserAddress,
    syscalls::{
        FileDescriptor, SyscallResult,
        ipc::{NewDescriptor, answer},
        signal::send_info,
    },
    vfs::OpenFlags,
};

/// PIDFD_NONBLOCK.
const NON_BLOCKING: u32 = OpenFlags::NON_BLOCKING.bits();

/// pidfd_open(2).
///
/// # Errors
/// As pidfd_open(2); EINVAL for PIDFD_THREAD.
pub fn pidfd_open(current: &mut Current, pid: i32, flags: u32) -> SyscallResult {
    if flags & !NON_BLOCKING != 0 {
        return Err(Errno::EINVAL);
    }
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or(Errno::EINVAL)?;
    let processes = current.processes();
    let process = processes.process(pid).ok_or_else(|| match processes.task(pid) {
        Some(_) => Errno::EINVAL,
        None => Errno::ESRCH,
    })?;
    let new = NewDescriptor::new(flags | OpenFlags::CLOSE_ON_EXEC.bits(), 0)?;
    answer(new.install(current, PidFd::new(process))?)
}

/// The process that `descriptor` is.
///
/// # Errors
/// EBADF if it is none.
pub fn process_of(current: &Current, descriptor: FileDescriptor) -> Result<Arc<Process>> {
    let open = current.files.get(descriptor)?;
    open.downcast::<PidFd>().map(|file| file.process().clone()).ok_or(Errno::EBADF)
}

/// The same, if it has not been reaped.
fn live_process(current: &Current, descriptor: FileDescriptor) -> Result<Arc<Process>> {
    let process = process_of(current, descriptor)?;
    let known = process.table().process(process.pid());
    if known.is_some_and(|known| Arc::ptr_eq(&known, &process)) {
        Ok(process)
    } else {
        Err(Errno::ESRCH)
    }
}

/// pidfd_send_signal(2).
///
/// # Errors
/// As pidfd_send_signal(2); EBADF for a directory of /proc.
pub async fn pidfd_send_signal(
    current: &mut Current,
    descriptor: FileDescriptor,
    signal: i32,
    info: UserAddress,
    flags: u32,
) -> SyscallResult {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let process = live_process(current, descriptor)?;
    send_info(current, &process, signal, info).await
}

/// pidfd_getfd(2).
///
/// # Errors
/// As pidfd_getfd(2).
pub fn pidfd_getfd(
    current: &mut Current,
    descriptor: FileDescriptor,
    target: FileDescriptor,
    flags: u32,
) -> SyscallResult {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let process = live_process(current, descriptor)?;
    if !process.may_be_inspected(current) {
        return Err(Errno::EPERM);
    }
    let files = process.first_thread().and_then(|task| task.files()).ok_or(Errno::ESRCH)?;
    let open = files.get_any(target)?;
    let limit = current.process().limit(crate::kernel::Resource::OpenFiles).soft;
    answer(current.files.install(open, true, limit)?)
}
