//! Processor affinity (sched_setaffinity(2), getcpu(2)).

use super::{check_may_change, task_or_own};
use crate::{errno::Errno, kernel::Current, mm::UserAddress, syscalls::SyscallResult};

/// All executors, bit by bit.
fn all_executors(current: &Current) -> u64 {
    let count = u32::from(current.kernel.platform.executor_count()).min(64);
    u64::MAX.checked_shr(64 - count).unwrap_or(0)
}

/// sched_getaffinity(2): answers the size of the kernel's mask.
pub async fn sched_getaffinity(
    current: &mut Current,
    tid: i32,
    size: usize,
    mask: UserAddress,
) -> SyscallResult {
    const MASK_SIZE: usize = size_of::<u64>();
    if size < MASK_SIZE || !size.is_multiple_of(MASK_SIZE) {
        return Err(Errno::EINVAL);
    }
    let task = task_or_own(current, tid)?;
    let affinity = task.scheduling.lock().affinity & all_executors(current);
    current.mm.write(mask, &affinity).await?;
    Ok(MASK_SIZE as u64)
}

/// sched_setaffinity(2).
pub async fn sched_setaffinity(
    current: &mut Current,
    tid: i32,
    size: usize,
    mask: UserAddress,
) -> SyscallResult {
    let mut bytes = [0; size_of::<u64>()];
    let known = size.min(bytes.len());
    current.mm.copy_in(mask, bytes.get_mut(..known).unwrap_or_default()).await?;
    let task = task_or_own(current, tid)?;
    check_may_change(current, &task)?;
    let affinity = u64::from_le_bytes(bytes) & all_executors(current);
    if affinity == 0 {
        return Err(Errno::EINVAL);
    }
    task.scheduling.lock().affinity = affinity;
    Ok(0)
}

/// getcpu(2).
pub async fn getcpu(
    current: &mut Current,
    processor: UserAddress,
    node: UserAddress,
) -> SyscallResult {
    let executor = current.task.runnable.executor();
    if !processor.is_null() {
        current.mm.write(processor, &u32::from(executor.0)).await?;
    }
    if !node.is_null() {
        current.mm.write(node, &0_u32).await?;
    }
    Ok(0)
}
