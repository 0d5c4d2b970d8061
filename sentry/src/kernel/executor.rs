//! The loop of an executor: timers, completions, one runnable, or sleep.

use alloc::sync::Arc;

use super::{Activity, Kernel};
use crate::platform::ExecutorId;

/// Runs `executor` until the kernel halts. Called once by each of the platform's threads.
pub fn run_executor(kernel: &Arc<Kernel>, executor: ExecutorId) {
    while !kernel.is_halted() {
        poll_events(kernel);
        if !kernel.scheduler.run_one(executor) && !kernel.frames.trim() {
            sleep(kernel, executor);
        }
    }
}

/// Fires due timers and lets drivers take completions.
pub(super) fn poll_events(kernel: &Kernel) {
    if kernel.timers.next_deadline().is_some() {
        kernel.timers.expire(kernel.platform.monotonic_nanoseconds());
    }
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
