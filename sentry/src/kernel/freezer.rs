//! Pausing a container: while it is frozen, no task enters user code.
//!
//! A task that waits in a system call goes on waiting, and what it waits for may happen meanwhile;
//! it stops before its next user instruction. That is what the host can see of cgroup freezing too.

use core::sync::atomic::{AtomicBool, Ordering};

use super::{Container, Kernel, PollEvents, WaitQueue};

/// Whether user code may run.
#[derive(Default)]
pub struct Freezer {
    frozen: AtomicBool,
    waiting: WaitQueue,
}

impl Freezer {
    /// Whether it may not.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    /// Lets user code run again.
    pub fn thaw(&self) {
        self.frozen.store(false, Ordering::SeqCst);
        self.waiting.wake(PollEvents::IN);
    }

    /// Waits until user code may run; at once if it may now.
    pub async fn thawed(&self) {
        if self.is_frozen() {
            let may_run = || (!self.is_frozen()).then_some(());
            self.waiting.wait_until(PollEvents::IN, may_run).await;
        }
    }
}

impl Kernel {
    /// Lets no task of `container` enter user code any more, and makes those that run it leave.
    pub fn freeze(&self, container: &Container) {
        container.freezer.frozen.store(true, Ordering::SeqCst);
        self.scheduler.interrupt_all();
    }
}
