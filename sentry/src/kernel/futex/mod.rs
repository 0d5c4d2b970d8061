//! Futexes (futex(2)): waiting for a word of user memory to change.
//!
//! A waiter queues itself under the bucket's lock after reading the word, and who changes the word
//! takes the same lock to wake; so no wake-up is lost. A word is named by [`FutexKey`]: its place
//! in an address space, or, if other processes may share it, its place in the mapped object.

mod operation;
mod wait;

pub use operation::WakeOperation;
pub use wait::FutexWait;

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};
use core::{
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
};

use rustc_hash::FxBuildHasher;
use spin::mutex::SpinMutex;

use crate::{errno::Result, mm::FutexKey};

const BUCKETS: usize = 256;

/// All waiters of the kernel. A bucket's lock comes before the page-table locks of an `Mm`; two
/// buckets are locked in the order of their index.
pub struct FutexTable {
    buckets: Vec<Bucket>,
}

#[derive(Default)]
struct Bucket {
    waiters: SpinMutex<VecDeque<Arc<Waiter>>>,
    /// Number of waiters, so that waking nobody takes no lock.
    count: AtomicU64,
}

/// One waiting task. `place` is its key while it waits, and `None` once it was woken; it changes
/// under the lock of the bucket that the key is in.
struct Waiter {
    place: SpinMutex<Option<FutexKey>>,
    mask: u32,
    waker: SpinMutex<Option<Waker>>,
}

/// Matches every waiter (FUTEX_BITSET_MATCH_ANY).
pub const MATCH_ANY: u32 = u32::MAX;

impl Default for FutexTable {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Bucket::default()).collect() }
    }
}

impl FutexTable {
    fn index(&self, key: &FutexKey) -> usize {
        let hash = FxBuildHasher.hash_one(key);
        usize::try_from(hash >> 32).unwrap_or(0) % self.buckets.len()
    }

    /// Wakes up to `count` waiters of `key` whose mask intersects `mask`; answers how many.
    pub fn wake(&self, key: &FutexKey, count: usize, mask: u32) -> usize {
        let bucket = &self.buckets[self.index(key)];
        // Pairs with the fence in `add`: a waiter that is not seen here sees the changed word.
        core::sync::atomic::fence(Ordering::SeqCst);
        if bucket.count.load(Ordering::SeqCst) == 0 {
            return 0;
        }
        let mut woken = Vec::new();
        {
            let mut waiters = bucket.waiters.lock();
            bucket.take(&mut waiters, key, count, mask, &mut woken);
        }
        woken.iter().for_each(|waiter| waiter.wake());
        woken.len()
    }

    /// Wakes up to `wake` waiters of `from` and moves up to `requeue` others to `to`, if `check`
    /// agrees under the locks; answers (woken, moved).
    fn requeue(
        &self,
        (from, to): (&FutexKey, &FutexKey),
        (wake, requeue): (usize, usize),
        check: impl FnOnce() -> Result<()>,
    ) -> Result<(usize, usize)> {
        let (source, target) = (self.index(from), self.index(to));
        let mut woken = Vec::new();
        let mut moved = Vec::new();
        {
            let mut low = self.buckets[source.min(target)].waiters.lock();
            let mut high =
                (source != target).then(|| self.buckets[source.max(target)].waiters.lock());
            check()?;
            let from_waiters = match &mut high {
                Some(high) if source > target => &mut **high,
                _ => &mut *low,
            };
            let bucket = &self.buckets[source];
            bucket.take(from_waiters, from, wake, MATCH_ANY, &mut woken);
            bucket.take(from_waiters, from, requeue, MATCH_ANY, &mut moved);
            let to_waiters = match &mut high {
                Some(high) if target > source => &mut **high,
                _ => &mut *low,
            };
            for waiter in &moved {
                *waiter.place.lock() = Some(*to);
                to_waiters.push_back(waiter.clone());
                self.buckets[target].count.fetch_add(1, Ordering::SeqCst);
            }
        }
        woken.iter().for_each(|waiter| waiter.wake());
        Ok((woken.len(), moved.len()))
    }

    /// Queues `waiter` for `key`, if `check` agrees under the lock.
    fn add(
        &self,
        key: FutexKey,
        waiter: &Arc<Waiter>,
        check: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let bucket = &self.buckets[self.index(&key)];
        let mut waiters = bucket.waiters.lock();
        bucket.count.fetch_add(1, Ordering::SeqCst);
        core::sync::atomic::fence(Ordering::SeqCst);
        if let Err(errno) = check() {
            bucket.count.fetch_sub(1, Ordering::SeqCst);
            return Err(errno);
        }
        waiters.push_back(waiter.clone());
        Ok(())
    }

    /// Takes `waiter` out of its queue; false if it was woken already.
    fn remove(&self, waiter: &Arc<Waiter>) -> bool {
        loop {
            let Some(key) = *waiter.place.lock() else { return false };
            let bucket = &self.buckets[self.index(&key)];
            let mut waiters = bucket.waiters.lock();
            // It may have been moved between the two locks.
            if *waiter.place.lock() != Some(key) {
                continue;
            }
            waiters.retain(|other| !Arc::ptr_eq(other, waiter));
            bucket.count.fetch_sub(1, Ordering::SeqCst);
            *waiter.place.lock() = None;
            return true;
        }
    }
}

impl Bucket {
    /// Moves up to `count` matching waiters from the queue to `taken`; they wait no longer.
    fn take(
        &self,
        waiters: &mut VecDeque<Arc<Waiter>>,
        key: &FutexKey,
        count: usize,
        mask: u32,
        taken: &mut Vec<Arc<Waiter>>,
    ) {
        let limit = taken.len().saturating_add(count);
        waiters.retain(|waiter| {
            let mut place = waiter.place.lock();
            let matches = *place == Some(*key) && waiter.mask & mask != 0;
            if taken.len() == limit || !matches {
                return true;
            }
            *place = None;
            self.count.fetch_sub(1, Ordering::SeqCst);
            taken.push(waiter.clone());
            false
        });
    }
}

impl Waiter {
    fn new(key: FutexKey, mask: u32) -> Arc<Self> {
        Arc::new(Self { place: SpinMutex::new(Some(key)), mask, waker: SpinMutex::new(None) })
    }

    fn wake(&self) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it is out of its queue; if not, `context` is woken when it is.
    fn poll_woken(&self, context: &Context<'_>) -> Poll<()> {
        *self.waker.lock() = Some(context.waker().clone());
        if self.place.lock().is_none() { Poll::Ready(()) } else { Poll::Pending }
    }
}
