//! The loop of an executor: timers, completions, one runnable, or sleep.

use alloc::sync::Arc;

use super::{Activity, Kernel};
use crate::platform::ExecutorId;

/// Runnables between two looks at the devices. Each look touches pages of every device, which costs a
/// quick switch of tasks more than all else; an executor out of work looks at once, and one in user
/// mode is interrupted for them.
const RUNNABLES_PER_POLL: u32 = 8;

/// Runs `executor` until the kernel halts. Called once by each of the platform's threads.
#[inline(never)] // Far from the start-up code of its one caller: this loop is hot.
pub fn run_executor(kernel: &Arc<Kernel>, executor: ExecutorId) {
    let mut ran = 0_u32;
    while !kernel.is_halted() {
        expire_timers(kernel);
        if kernel.scheduler.run_one(executor) {
            ran = ran.wrapping_add(1);
            if ran.is_multiple_of(RUNNABLES_PER_POLL) {
                poll_drivers(kernel);
            }
            continue;
        }
        poll_drivers(kernel);
        if !kernel.scheduler.has_work(executor) && !kernel.frames.trim() {
            sleep(kernel, executor);
        }
    }
}

/// Fires due timers and lets drivers take completions.
pub(super) fn poll_events(kernel: &Kernel) {
    expire_timers(kernel);
    poll_drivers(kernel);
}

fn expire_timers(kernel: &Kernel) {
    if kernel.timers.next_deadline().is_some() {
        kernel.timers.expire(kernel.platform.monotonic_nanoseconds());
    }
}

fn poll_drivers(kernel: &Kernel) {
    kernel.drivers.read().iter().for_each(|driver| driver.poll());
}

fn sleep(kernel: &Kernel, executor: ExecutorId) {
    kernel.scheduler.set_activity(executor, Activity::Idle);
    // Who queued work before the line above saw an active executor and did not interrupt it.
    if !kernel.scheduler.has_work(executor) && !kernel.is_halted() {
        kernel.platform.leave_address_space(executor);
        kernel.loaded_spaces.forget(executor);
        kernel.platform.idle(executor, kernel.timers.next_deadline());
    }
    kernel.scheduler.set_activity(executor, Activity::Kernel);
}
