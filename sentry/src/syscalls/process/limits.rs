//! Resource limits (prlimit(2), getrlimit(2), setrlimit(2)).

use alloc::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Current, Limit, Process, Resource},
    mm::UserAddress,
    syscalls::SyscallResult,
    vfs::MAX_DESCRIPTORS,
};

/// `struct rlimit64`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct UserLimit {
    soft: u64,
    hard: u64,
}

/// prlimit64(2).
pub async fn prlimit64(
    current: &mut Current,
    pid: i32,
    resource: u32,
    new: UserAddress,
    old: UserAddress,
) -> SyscallResult {
    let resource = Resource::from_number(resource)?;
    let process = target(current, pid)?;
    let new: Option<UserLimit> =
        if new.is_null() { None } else { Some(current.mm.read(new).await?) };
    let before = process.limit(resource);
    if let Some(new) = new {
        let limit = Limit { soft: new.soft, hard: new.hard };
        change(current, &process, resource, limit)?;
    }
    if !old.is_null() {
        let answer = UserLimit { soft: before.soft, hard: before.hard };
        current.mm.write(old, &answer).await?;
    }
    Ok(0)
}

/// The process to look at: another's limits need the same user ids, or CAP_SYS_RESOURCE.
fn target(current: &Current, pid: i32) -> Result<Arc<Process>> {
    let own = current.process();
    let pid = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    if pid == 0 || pid == own.pid() {
        return Ok(own.clone());
    }
    let task = current.processes().task(pid).ok_or(Errno::ESRCH)?;
    let (caller, other) = (current.credentials(), task.credentials());
    let same_user =
        [other.uid, other.effective_uid, other.saved_uid].iter().all(|id| *id == caller.uid);
    let same_group =
        [other.gid, other.effective_gid, other.saved_gid].iter().all(|id| *id == caller.gid);
    if (same_user && same_group) || caller.has_over(&other, Capabilities::SYS_RESOURCE) {
        return Ok(task.process.clone());
    }
    Err(Errno::EPERM)
}

fn change(current: &Current, process: &Process, resource: Resource, new: Limit) -> Result<()> {
    if new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    let privileged = current.credentials().has(Capabilities::SYS_RESOURCE);
    let too_many = resource == Resource::OpenFiles && new.hard > MAX_DESCRIPTORS;
    if too_many || (new.hard > process.limit(resource).hard && !privileged) {
        return Err(Errno::EPERM);
    }
    process.set_limit(resource, new);
    Ok(())
}

/// getrlimit(2).
pub async fn getrlimit(current: &mut Current, resource: u32, limit: UserAddress) -> SyscallResult {
    prlimit64(current, 0, resource, UserAddress(0), limit).await
}

/// setrlimit(2).
pub async fn setrlimit(current: &mut Current, resource: u32, limit: UserAddress) -> SyscallResult {
    if limit.is_null() {
        return Err(Errno::EFAULT);
    }
    prlimit64(current, 0, resource, limit, UserAddress(0)).await
}
