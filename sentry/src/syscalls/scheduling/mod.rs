//! Scheduling calls (sched(7)). What they ask for is stored and told; executors serve all tasks
//! alike.

mod affinity;
mod barrier;
mod policy;
mod priority;

pub use affinity::{getcpu, sched_getaffinity, sched_setaffinity};
pub use barrier::membarrier;
pub use policy::{
    sched_get_priority_max, sched_get_priority_min, sched_getattr, sched_getparam,
    sched_getscheduler, sched_rr_get_interval, sched_setattr, sched_setparam, sched_setscheduler,
};
pub use priority::{getpriority, ioprio_get, ioprio_set, setpriority};

use alloc::sync::Arc;

use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Current, Task, yield_now},
    syscalls::SyscallResult,
};

/// sched_yield(2).
pub async fn sched_yield(_current: &mut Current) -> SyscallResult {
    yield_now().await;
    Ok(0)
}

/// The task with this id; the caller if that is 0.
fn task_or_own(current: &Current, tid: i32) -> Result<Arc<Task>> {
    match u32::try_from(tid) {
        Ok(0) => Ok(current.task.clone()),
        Ok(tid) => current.processes().task(tid).ok_or(Errno::ESRCH),
        Err(_) => Err(Errno::EINVAL),
    }
}

/// Checks that the caller may change how `task` is scheduled.
fn check_may_change(current: &Current, task: &Task) -> Result<()> {
    let (caller, target) = (current.credentials(), task.credentials());
    let same = [target.uid, target.effective_uid].contains(&caller.effective_uid);
    if same || caller.has_over(&target, Capabilities::SYS_NICE) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}
