//! Something that happens once and that tasks wait for.

use core::sync::atomic::{AtomicBool, Ordering};

use super::{PollEvents, WaitQueue};

/// An event that happens at most once.
#[derive(Default)]
pub struct Completion {
    done: AtomicBool,
    queue: WaitQueue,
}

impl Completion {
    /// It has happened.
    pub fn complete(&self) {
        self.done.store(true, Ordering::SeqCst);
        self.queue.wake_all();
    }

    /// Waits until it has happened.
    pub async fn wait(&self) {
        self.queue
            .wait_until(PollEvents::IN, || self.done.load(Ordering::SeqCst).then_some(()))
            .await;
    }
}
