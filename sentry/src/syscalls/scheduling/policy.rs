//! Policies and static priorities (sched_setscheduler(2), sched_setattr(2)).

use alloc::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{check_may_change, task_or_own};
use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Current, Resource, Task},
    mm::UserAddress,
    syscalls::{SyscallResult, time::Timespec},
};

const OTHER: u32 = 0;
const FIFO: u32 = 1;
const ROUND_ROBIN: u32 = 2;
const BATCH: u32 = 3;
const IDLE: u32 = 5;
const RESET_ON_FORK: u32 = 0x4000_0000;
const MAX_PRIORITY: u32 = 99;

/// `struct sched_attr`, first version.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

const fn is_real_time(policy: u32) -> bool {
    matches!(policy, FIFO | ROUND_ROBIN)
}

/// Checks that `priority` goes with `policy`.
const fn check(policy: u32, priority: u32) -> Result<()> {
    let valid = match policy {
        FIFO | ROUND_ROBIN => 1 <= priority && priority <= MAX_PRIORITY,
        OTHER | BATCH | IDLE => priority == 0,
        _ => false,
    };
    if valid { Ok(()) } else { Err(Errno::EINVAL) }
}

fn change(current: &Current, task: &Arc<Task>, policy: u32, priority: u32) -> Result<()> {
    let reset_on_fork = policy & RESET_ON_FORK != 0;
    let policy = policy & !RESET_ON_FORK;
    check(policy, priority)?;
    check_may_change(current, task)?;
    let limit = task.process.limit(Resource::RealTimePriority).soft;
    let privileged = current.credentials().has(Capabilities::SYS_NICE);
    if is_real_time(policy) && u64::from(priority) > limit && !privileged {
        return Err(Errno::EPERM);
    }
    let mut scheduling = task.scheduling.lock();
    scheduling.policy = policy;
    scheduling.priority = priority;
    scheduling.reset_on_fork = reset_on_fork;
    Ok(())
}

/// sched_setscheduler(2).
pub async fn sched_setscheduler(
    current: &mut Current,
    tid: i32,
    policy: u32,
    parameters: UserAddress,
) -> SyscallResult {
    let priority: u32 = current.mm.read(parameters).await?;
    let task = task_or_own(current, tid)?;
    change(current, &task, policy, priority)?;
    Ok(0)
}

/// sched_getscheduler(2).
pub fn sched_getscheduler(current: &mut Current, tid: i32) -> SyscallResult {
    let task = task_or_own(current, tid)?;
    let scheduling = task.scheduling.lock();
    let flag = if scheduling.reset_on_fork { RESET_ON_FORK } else { 0 };
    Ok(u64::from(scheduling.policy | flag))
}

/// sched_setparam(2).
pub async fn sched_setparam(
    current: &mut Current,
    tid: i32,
    parameters: UserAddress,
) -> SyscallResult {
    let priority: u32 = current.mm.read(parameters).await?;
    let task = task_or_own(current, tid)?;
    let policy = task.scheduling.lock().policy;
    change(current, &task, policy, priority)?;
    Ok(0)
}

/// sched_getparam(2).
pub async fn sched_getparam(
    current: &mut Current,
    tid: i32,
    parameters: UserAddress,
) -> SyscallResult {
    let task = task_or_own(current, tid)?;
    let priority = task.scheduling.lock().priority;
    current.mm.write(parameters, &priority).await?;
    Ok(0)
}

/// sched_setattr(2).
pub async fn sched_setattr(
    current: &mut Current,
    tid: i32,
    attributes: UserAddress,
    flags: u32,
) -> SyscallResult {
    let attributes: Attributes = current.mm.read(attributes).await?;
    if flags != 0 || (attributes.size as usize) < size_of::<Attributes>() {
        return Err(Errno::EINVAL);
    }
    let task = task_or_own(current, tid)?;
    let reset = if attributes.flags & 1 != 0 { RESET_ON_FORK } else { 0 };
    change(current, &task, attributes.policy | reset, attributes.priority)?;
    if !is_real_time(attributes.policy) {
        task.scheduling.lock().nice = attributes.nice.clamp(-20, 19);
    }
    Ok(0)
}

/// sched_getattr(2).
pub async fn sched_getattr(
    current: &mut Current,
    tid: i32,
    attributes: UserAddress,
    size: u32,
    flags: u32,
) -> SyscallResult {
    let expected = size_of::<Attributes>();
    if flags != 0 || (size as usize) < expected {
        return Err(Errno::EINVAL);
    }
    let task = task_or_own(current, tid)?;
    let answer = {
        let scheduling = task.scheduling.lock();
        Attributes {
            size: u32::try_from(expected).unwrap_or(0),
            policy: scheduling.policy,
            flags: u64::from(scheduling.reset_on_fork),
            nice: scheduling.nice,
            priority: scheduling.priority,
            ..Attributes::default()
        }
    };
    current.mm.write(attributes, &answer).await?;
    Ok(0)
}

/// sched_get_priority_max(2).
pub fn sched_get_priority_max(_current: &mut Current, policy: u32) -> SyscallResult {
    match policy {
        FIFO | ROUND_ROBIN => Ok(u64::from(MAX_PRIORITY)),
        OTHER | BATCH | IDLE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_get_priority_min(2).
pub fn sched_get_priority_min(current: &mut Current, policy: u32) -> SyscallResult {
    sched_get_priority_max(current, policy).map(|maximum| maximum.min(1))
}

/// sched_rr_get_interval(2).
pub async fn sched_rr_get_interval(
    current: &mut Current,
    tid: i32,
    interval: UserAddress,
) -> SyscallResult {
    const SLICE: u64 = 100_000_000;
    let task = task_or_own(current, tid)?;
    let policy = task.scheduling.lock().policy;
    let slice = if policy == ROUND_ROBIN { SLICE } else { 0 };
    current.mm.write(interval, &Timespec::from_nanoseconds(slice)).await?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_go_with_policies() {
        assert_eq!(size_of::<Attributes>(), 48);
        assert!(check(FIFO, 1).is_ok() && check(FIFO, 0).is_err() && check(FIFO, 100).is_err());
        assert!(check(OTHER, 0).is_ok() && check(OTHER, 1).is_err() && check(99, 0).is_err());
    }
}
