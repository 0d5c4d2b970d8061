//! Timers: what is to happen when CLOCK_MONOTONIC reaches a time.

use alloc::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::{
    sync::atomic::{AtomicU64, Ordering},
    task::Waker,
};

use spin::mutex::SpinMutex;

/// Called when its time has come.
pub trait TimerHandler: Send + Sync {
    /// The timer expired; `now` is CLOCK_MONOTONIC in nanoseconds. Must not block.
    fn expired(&self, now: u64);
}

/// All pending timers of the kernel, by deadline. The lock is a leaf.
pub struct Timers {
    pending: SpinMutex<BTreeMap<TimerId, Action>>,
    next_sequence: AtomicU64,
    /// Deadline of the earliest timer; `u64::MAX` if there is none.
    earliest: AtomicU64,
}

/// Names a timer; ordered by deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    deadline: u64,
    sequence: u64,
}

enum Action {
    Wake(Waker),
    Call(Weak<dyn TimerHandler>),
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            pending: SpinMutex::new(BTreeMap::new()),
            next_sequence: AtomicU64::new(0),
            earliest: AtomicU64::new(u64::MAX),
        }
    }
}

impl Timers {
    /// Wakes `waker` at `deadline` (CLOCK_MONOTONIC, nanoseconds).
    pub fn add_waker(&self, deadline: u64, waker: Waker) -> TimerId {
        self.add(deadline, Action::Wake(waker))
    }

    /// Calls `handler`, if it still exists, at `deadline` (CLOCK_MONOTONIC, nanoseconds).
    pub fn add_handler(&self, deadline: u64, handler: Weak<dyn TimerHandler>) -> TimerId {
        self.add(deadline, Action::Call(handler))
    }

    /// Removes a timer; does nothing if it has expired.
    pub fn cancel(&self, id: TimerId) {
        let mut pending = self.pending.lock();
        pending.remove(&id);
        self.note_earliest(&pending);
    }

    /// Deadline of the earliest timer.
    pub fn next_deadline(&self) -> Option<u64> {
        let earliest = self.earliest.load(Ordering::Acquire);
        (earliest != u64::MAX).then_some(earliest)
    }

    /// Fires all timers with a deadline up to `now`.
    pub fn expire(&self, now: u64) {
        if self.earliest.load(Ordering::Acquire) > now {
            return;
        }
        for action in self.take_expired(now) {
            match action {
                Action::Wake(waker) => waker.wake(),
                Action::Call(handler) => {
                    let handler: Option<Arc<dyn TimerHandler>> = handler.upgrade();
                    if let Some(handler) = handler {
                        handler.expired(now);
                    }
                }
            }
        }
    }

    fn add(&self, deadline: u64, action: Action) -> TimerId {
        let sequence = self.next_sequence.fetch_add(1, Ordering::Relaxed);
        let id = TimerId { deadline, sequence };
        let mut pending = self.pending.lock();
        pending.insert(id, action);
        self.note_earliest(&pending);
        id
    }

    fn take_expired(&self, now: u64) -> Vec<Action> {
        let mut pending = self.pending.lock();
        let mut expired = Vec::new();
        while let Some(entry) = pending.first_entry()
            && entry.key().deadline <= now
        {
            expired.push(entry.remove());
        }
        self.note_earliest(&pending);
        expired
    }

    fn note_earliest(&self, pending: &BTreeMap<TimerId, Action>) {
        let earliest = pending.first_key_value().map_or(u64::MAX, |(id, _)| id.deadline);
        self.earliest.store(earliest, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Last(AtomicU64);

    impl TimerHandler for Last {
        fn expired(&self, now: u64) {
            self.0.store(now, Ordering::Relaxed);
        }
    }

    #[test]
    fn fires_at_the_deadline_and_not_before() {
        let timers = Timers::default();
        let last = Arc::new(Last(AtomicU64::new(0)));
        let handler: Arc<dyn TimerHandler> = last.clone();
        timers.add_handler(50, Arc::downgrade(&handler));
        let cancelled = timers.add_handler(20, Arc::downgrade(&handler));
        timers.cancel(cancelled);
        assert_eq!(timers.next_deadline(), Some(50));
        timers.expire(49);
        assert_eq!(last.0.load(Ordering::Relaxed), 0);
        timers.expire(60);
        assert_eq!(last.0.load(Ordering::Relaxed), 60);
        assert_eq!(timers.next_deadline(), None);
    }
}
