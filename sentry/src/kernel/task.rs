//! Tasks: what Linux calls threads.

use alloc::sync::Arc;

use spin::mutex::SpinMutex;

use super::{Credentials, Kernel, Runnable, WaitReason};
use crate::{mm::Mm, platform::UserContext};

/// A task as others see it.
pub struct Task {
    /// Its schedulable future.
    pub runnable: Arc<Runnable>,
    credentials: SpinMutex<Arc<Credentials>>,
    wait_reason: SpinMutex<WaitReason>,
}

/// A task as its own future sees it: what no other task may touch needs no lock.
pub struct Current {
    /// The shared part.
    pub task: Arc<Task>,
    /// The kernel.
    pub kernel: Arc<Kernel>,
    /// Its address space.
    pub mm: Arc<Mm>,
    /// Its processor state.
    pub context: UserContext,
}

impl Task {
    /// Its credentials.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.lock().clone()
    }

    /// Notes what it waits for.
    pub fn set_wait_reason(&self, reason: WaitReason) {
        *self.wait_reason.lock() = reason;
    }

    /// Whether a signal waits that the task does not block.
    pub fn has_deliverable_signal(&self) -> bool {
        false
    }
}
