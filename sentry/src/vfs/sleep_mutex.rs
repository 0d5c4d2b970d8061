//! A mutex that is held across awaits: whoever must wait for it sleeps.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::kernel::{PollEvents, WaitQueue};

/// Serialises slow operations, such as changes of one directory. It guards no data of its own.
#[derive(Default)]
pub struct SleepMutex {
    locked: AtomicBool,
    waiting: AtomicU32,
    queue: WaitQueue,
}

/// Releases the mutex when dropped.
pub struct SleepGuard<'a>(&'a SleepMutex);

impl SleepMutex {
    /// An unlocked mutex.
    pub const fn new() -> Self {
        Self { locked: AtomicBool::new(false), waiting: AtomicU32::new(0), queue: WaitQueue::new() }
    }

    /// Takes it if it is free.
    pub fn try_lock(&self) -> Option<SleepGuard<'_>> {
        // No guard may exist before the lock is ours: dropping it would release the other's.
        if self.locked.swap(true, Ordering::SeqCst) { None } else { Some(SleepGuard(self)) }
    }

    /// Takes it, sleeping until it is free. The wait ends by no signal: holders are brief.
    pub async fn lock(&self) -> SleepGuard<'_> {
        if let Some(guard) = self.try_lock() {
            return guard;
        }
        let _waiting = Waiting::new(&self.waiting);
        self.queue.wait_until(PollEvents::OUT, || self.try_lock()).await
    }
}

impl Drop for SleepGuard<'_> {
    fn drop(&mut self) {
        self.0.locked.store(false, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) != 0 {
            self.0.queue.wake_all();
        }
    }
}

/// Counts one waiter while it exists.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use core::{
        future::Future,
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[test]
    fn second_taker_waits_for_the_first() {
        let mutex = SleepMutex::new();
        let mut context = Context::from_waker(Waker::noop());
        let guard = mutex.try_lock().unwrap();
        let mut second = pin!(mutex.lock());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(guard);
        assert!(second.as_mut().poll(&mut context).is_ready());
    }
}
