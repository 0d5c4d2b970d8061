//! exit(2), exit_group(2), wait4(2), waitid(2).

use alloc::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    errno::{Errno, Result},
    kernel::{ChildEvent, Current, WaitOptions, WaitStatus, WaitTarget},
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult, process::pid_fd::process_of, time::ResourceUsage},
    vfs::OpenFlags,
};

/// exit(2): ends the calling thread.
pub fn exit(current: &mut Current, status: u32) -> SyscallResult {
    current.ending = Some(WaitStatus::exited(status));
    Ok(0)
}

/// exit_group(2): ends the process.
pub fn exit_group(current: &mut Current, status: u32) -> SyscallResult {
    current.process().end(WaitStatus::exited(status));
    current.ending = Some(WaitStatus::exited(status));
    Ok(0)
}

/// wait4(2).
pub async fn wait4(
    current: &mut Current,
    pid: i32,
    status: UserAddress,
    options: u32,
    usage: UserAddress,
) -> SyscallResult {
    let allowed = WaitOptions::NO_HANG
        | WaitOptions::STOPPED
        | WaitOptions::CONTINUED
        | WaitOptions::NO_THREAD
        | WaitOptions::CLONE
        | WaitOptions::ALL;
    let options = WaitOptions::from_bits(options).ok_or(Errno::EINVAL)?;
    if !allowed.contains(options) {
        return Err(Errno::EINVAL);
    }
    let target = match pid {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => WaitTarget::Any,
        0 => WaitTarget::Group(current.process().group().id()),
        pid if pid < 0 => WaitTarget::Group(pid.unsigned_abs()),
        pid => WaitTarget::Process(pid.unsigned_abs()),
    };
    let event = current.wait_for_child(&target, options | WaitOptions::EXITED).await?;
    let Some(event) = event else { return Ok(0) };
    if !status.is_null() {
        current.mm.write(status, &event.status).await?;
    }
    write_usage(current, usage, &event).await?;
    Ok(u64::from(event.pid))
}

async fn write_usage(current: &Current, usage: UserAddress, event: &ChildEvent) -> Result<()> {
    if usage.is_null() {
        return Ok(());
    }
    current.mm.write(usage, &ResourceUsage::from(&event.usage)).await
}

/// The part of a siginfo that waitid(2) writes when there is no news.
#[derive(Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct NoNews {
    signal: u32,
    errno: u32,
    code: u32,
    padding: u32,
    pid: u32,
    uid: u32,
    status: u32,
}

/// The id of the process that the descriptor `id` is (P_PIDFD), and whether waiting for it must
/// not take time (PIDFD_NONBLOCK).
fn child_behind(current: &Current, id: u32) -> Result<(u32, bool)> {
    let descriptor = FileDescriptor(i32::try_from(id).map_err(|_| Errno::EINVAL)?);
    let process = process_of(current, descriptor)?;
    let flags = current.files.get(descriptor)?.flags();
    // Its id may be another's after it was reaped.
    let known = process.table().process(process.pid());
    known.filter(|known| Arc::ptr_eq(known, &process)).ok_or(Errno::ECHILD)?;
    Ok((process.pid(), flags.contains(OpenFlags::NON_BLOCKING)))
}

/// waitid(2).
pub async fn waitid(
    current: &mut Current,
    kind: u32,
    id: u32,
    info: UserAddress,
    options: u32,
    usage: UserAddress,
) -> SyscallResult {
    let mut options = WaitOptions::from_bits(options).ok_or(Errno::EINVAL)?;
    let wanted = WaitOptions::EXITED | WaitOptions::STOPPED | WaitOptions::CONTINUED;
    if !options.intersects(wanted) {
        return Err(Errno::EINVAL);
    }
    let mut would_block = false;
    let target = match kind {
        0 => WaitTarget::Any,
        1 if id > 0 => WaitTarget::Process(id),
        2 if id == 0 => WaitTarget::Group(current.process().group().id()),
        2 => WaitTarget::Group(id),
        3 => {
            let (pid, non_blocking) = child_behind(current, id)?;
            would_block = non_blocking && !options.contains(WaitOptions::NO_HANG);
            WaitTarget::Process(pid)
        }
        _ => return Err(Errno::EINVAL),
    };
    options.set(WaitOptions::NO_HANG, would_block || options.contains(WaitOptions::NO_HANG));
    let event = current.wait_for_child(&target, options).await?;
    if event.is_none() && would_block {
        return Err(Errno::EAGAIN);
    }
    if let Some(event) = &event {
        write_usage(current, usage, event).await?;
    }
    if !info.is_null() {
        match event {
            Some(event) => {
                let seen = event.info.seen_by(&current.credentials());
                current.mm.copy_out(info, &seen.to_user()).await?;
            }
            None => current.mm.write(info, &NoNews::default()).await?,
        }
    }
    Ok(0)
}
