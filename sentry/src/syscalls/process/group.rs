//! Process groups and sessions (setpgid(2), setsid(2), getpid(2) and kin).

use core::sync::atomic::Ordering;

use alloc::sync::Arc;

use crate::{
    errno::{Errno, Result},
    kernel::{Current, Process},
    syscalls::SyscallResult,
};

/// getpid(2).
pub fn getpid(current: &mut Current) -> SyscallResult {
    Ok(u64::from(current.task.process.pid()))
}

/// gettid(2).
pub fn gettid(current: &mut Current) -> SyscallResult {
    Ok(u64::from(current.task.tid()))
}

/// getppid(2).
pub fn getppid(current: &mut Current) -> SyscallResult {
    Ok(u64::from(current.process().parent_pid()))
}

/// The process `pid`; the caller's if that is 0.
fn process_or_own(current: &Current, pid: i32) -> Result<Arc<Process>> {
    match u32::try_from(pid) {
        Ok(0) => Ok(current.process().clone()),
        Ok(pid) => current.processes().process(pid).ok_or(Errno::ESRCH),
        Err(_) => Err(Errno::ESRCH),
    }
}

/// getpgid(2).
pub fn getpgid(current: &mut Current, pid: i32) -> SyscallResult {
    Ok(u64::from(process_or_own(current, pid)?.group().id()))
}

/// getpgrp(2).
pub fn getpgrp(current: &mut Current) -> SyscallResult {
    getpgid(current, 0)
}

/// getsid(2).
pub fn getsid(current: &mut Current, pid: i32) -> SyscallResult {
    Ok(u64::from(process_or_own(current, pid)?.session().id()))
}

/// setpgid(2).
pub fn setpgid(current: &mut Current, pid: i32, group: i32) -> SyscallResult {
    let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
    current.set_process_group(&process_or_own(current, pid)?, group)?;
    Ok(0)
}

/// setsid(2).
pub fn setsid(current: &mut Current) -> SyscallResult {
    current.create_session().map(u64::from)
}

/// set_tid_address(2).
pub fn set_tid_address(current: &mut Current, address: u64) -> SyscallResult {
    current.clear_child_tid = address;
    gettid(current)
}

/// set_robust_list(2).
pub fn set_robust_list(current: &mut Current, head: u64, size: usize) -> SyscallResult {
    if size != crate::kernel::ROBUST_HEAD_SIZE {
        return Err(Errno::EINVAL);
    }
    current.task.robust_list.store(head, Ordering::Relaxed);
    Ok(0)
}

/// get_robust_list(2).
pub async fn get_robust_list(
    current: &mut Current,
    tid: i32,
    head: crate::mm::UserAddress,
    size: crate::mm::UserAddress,
) -> SyscallResult {
    let task = match u32::try_from(tid).map_err(|_| Errno::ESRCH)? {
        0 => current.task.clone(),
        tid => current.processes().task(tid).ok_or(Errno::ESRCH)?,
    };
    let value = task.robust_list.load(Ordering::Relaxed);
    current.mm.write(size, &(crate::kernel::ROBUST_HEAD_SIZE as u64)).await?;
    current.mm.write(head, &value).await?;
    Ok(0)
}
