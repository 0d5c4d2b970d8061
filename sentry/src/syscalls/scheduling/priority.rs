//! Niceness and I/O priority (getpriority(2), ioprio_set(2)).

use alloc::{sync::Arc, vec::Vec};

use super::check_may_change;
use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Current, Resource, Task},
    syscalls::SyscallResult,
};

/// The tasks that `which` and `who` of getpriority(2) mean; `base` is the number of "process".
fn targets(current: &Current, which: i32, who: i32, base: i32) -> Result<Vec<Arc<Task>>> {
    let processes = current.processes();
    let who = u32::try_from(who).map_err(|_| Errno::ESRCH)?;
    let own = current.process();
    let all_threads = |list: Vec<Arc<crate::kernel::Process>>| -> Vec<Arc<Task>> {
        list.iter().flat_map(|process| process.threads()).collect()
    };
    let tasks = match which - base {
        0 if who == 0 => alloc::vec![current.task.clone()],
        0 => processes.task(who).into_iter().collect(),
        1 if who == 0 => all_threads(own.group().members()),
        1 => all_threads(processes.group(who).map(|group| group.members()).unwrap_or_default()),
        2 => {
            let own = current.credentials();
            let named = own.named_user(who).map_err(|_| Errno::ESRCH)?;
            let uid = if who == 0 { own.uid } else { named };
            let mut list = processes.processes();
            list.retain(|process| process.real_uid() == uid);
            all_threads(list)
        }
        _ => return Err(Errno::EINVAL),
    };
    if tasks.is_empty() { Err(Errno::ESRCH) } else { Ok(tasks) }
}

/// getpriority(2): the kernel answers 20 minus the niceness, so that it is never negative.
pub fn getpriority(current: &mut Current, which: i32, who: i32) -> SyscallResult {
    let tasks = targets(current, which, who, 0)?;
    let lowest = tasks.iter().map(|task| task.scheduling.lock().nice).min().unwrap_or(0);
    u64::try_from(20 - lowest).map_err(|_| Errno::ESRCH)
}

/// setpriority(2).
pub fn setpriority(current: &mut Current, which: i32, who: i32, nice: i32) -> SyscallResult {
    let nice = nice.clamp(-20, 19);
    let privileged = current.credentials().has(Capabilities::SYS_NICE);
    for task in targets(current, which, who, 0)? {
        check_may_change(current, &task)?;
        // RLIMIT_NICE is 20 minus the lowest niceness allowed.
        let limit = task.process.limit(Resource::Nice).soft;
        let raises = nice < task.scheduling.lock().nice;
        let within = u64::try_from(20 - nice).is_ok_and(|rank| rank <= limit);
        if raises && !within && !privileged {
            return Err(Errno::EACCES);
        }
        task.scheduling.lock().nice = nice;
    }
    Ok(0)
}

/// ioprio_get(2).
pub fn ioprio_get(current: &mut Current, which: i32, who: i32) -> SyscallResult {
    let tasks = targets(current, which, who, 1)?;
    let highest = tasks.iter().map(|task| task.scheduling.lock().io_priority).min();
    Ok(u64::from(highest.unwrap_or(0)))
}

/// ioprio_set(2).
pub fn ioprio_set(current: &mut Current, which: i32, who: i32, priority: u32) -> SyscallResult {
    const CLASS_SHIFT: u32 = 13;
    const CLASSES: u32 = 7;
    const CLASS_NONE: u32 = 0;
    let class = priority >> CLASS_SHIFT & CLASSES;
    let level = priority & ((1 << CLASS_SHIFT) - 1);
    if class > 3 || level > 7 || (class == CLASS_NONE && level != 0) {
        return Err(Errno::EINVAL);
    }
    let real_time = class == 1;
    if real_time && !current.credentials().has(Capabilities::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    for task in targets(current, which, who, 1)? {
        check_may_change(current, &task)?;
        task.scheduling.lock().io_priority = priority;
    }
    Ok(0)
}
