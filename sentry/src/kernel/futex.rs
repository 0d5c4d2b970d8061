//! Futexes (futex(2)): waiting for a word of user memory to change.
//!
//! A waiter queues itself under the bucket's lock after reading the word, and who changes the word
//! takes the same lock to wake; so no wake-up is lost. A word is named by [`FutexKey`]: its place
//! in an address space, or, if other processes may share it, its place in the mapped object.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};
use core::{
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
    task::{Poll, Waker},
};

use rustc_hash::FxBuildHasher;
use spin::mutex::SpinMutex;

use super::{Current, Deadline, Interruption, WaitReason};
use crate::{
    errno::{Errno, Result},
    mm::{FutexKey, UserAddress},
};

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

    /// Waits until it is out of its queue.
    async fn woken(&self) {
        core::future::poll_fn(|context| {
            *self.waker.lock() = Some(context.waker().clone());
            if self.place.lock().is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Leaves the queue when a wait ends early.
struct Queued<'a> {
    table: &'a FutexTable,
    waiter: &'a Arc<Waiter>,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.table.remove(self.waiter);
    }
}

/// What FUTEX_WAKE_OP does to the second word, and then compares with.
#[derive(Clone, Copy, Debug)]
pub struct WakeOperation {
    operation: u32,
    operand: u32,
    comparison: u32,
    compared: u32,
}

impl WakeOperation {
    /// From the encoded argument (futex(2), FUTEX_WAKE_OP).
    pub const fn decode(encoded: u32) -> Self {
        const SHIFT_OPERAND: u32 = 8;
        let operation = (encoded >> 28) & 0xf;
        let operand = sign_extend_12(encoded >> 12);
        let shift = operation & SHIFT_OPERAND != 0;
        Self {
            operation: operation & 7,
            operand: if shift { 1 << (operand & 31) } else { operand },
            comparison: (encoded >> 24) & 0xf,
            compared: sign_extend_12(encoded),
        }
    }

    /// The new value of a word that holds `old`.
    ///
    /// # Errors
    /// ENOSYS for an unknown operation.
    pub const fn apply(self, old: u32) -> Result<u32> {
        Ok(match self.operation {
            0 => self.operand,
            1 => old.wrapping_add(self.operand),
            2 => old | self.operand,
            3 => old & !self.operand,
            4 => old ^ self.operand,
            _ => return Err(Errno::ENOSYS),
        })
    }

    /// Whether the second word's waiters are to be woken, given its `old` value.
    ///
    /// # Errors
    /// ENOSYS for an unknown comparison.
    pub const fn compare(self, old: u32) -> Result<bool> {
        let (old, compared) = (old.cast_signed(), self.compared.cast_signed());
        Ok(match self.comparison {
            0 => old == compared,
            1 => old != compared,
            2 => old < compared,
            3 => old <= compared,
            4 => old > compared,
            5 => old >= compared,
            _ => return Err(Errno::ENOSYS),
        })
    }
}

const fn sign_extend_12(value: u32) -> u32 {
    ((value << 20).cast_signed() >> 20).cast_unsigned()
}

impl Current {
    /// Waits until the word at `address`, which must hold `expected`, is woken with a mask that
    /// intersects `mask`.
    ///
    /// # Errors
    /// EAGAIN if the word holds another value, EFAULT; ETIMEDOUT; ERESTARTSYS after a signal.
    pub async fn futex_wait(
        &mut self,
        address: UserAddress,
        private: bool,
        expected: u32,
        mask: u32,
        deadline: Option<Deadline>,
    ) -> Result<()> {
        let kernel = self.kernel.clone();
        let waiter = loop {
            let key = self.mm.futex_key(address, private).await?;
            let waiter = Waiter::new(key, mask);
            let mm = &self.mm;
            let mut absent = false;
            let added = kernel.futexes.add(key, &waiter, || match mm.try_load_u32(address) {
                Ok(value) if value == expected => Ok(()),
                Ok(_) => Err(Errno::EAGAIN),
                Err(_) => {
                    absent = true;
                    Err(Errno::EFAULT)
                }
            });
            match added {
                Ok(()) => break waiter,
                // The page went away after the key was found: bring it back and try again.
                Err(_) if absent => drop(self.mm.read::<u32>(address).await?),
                Err(errno) => return Err(errno),
            }
        };
        let queued = Queued { table: &kernel.futexes, waiter: &waiter };
        let outcome = self.wait(WaitReason::Futex, deadline, waiter.woken()).await;
        let woken = !kernel.futexes.remove(queued.waiter);
        match outcome {
            Err(Interruption::TimedOut) if !woken => Err(Errno::ETIMEDOUT),
            Err(Interruption::Signal) if !woken => Err(Errno::ERESTARTSYS),
            _ => Ok(()),
        }
    }
}

impl Current {
    /// Wakes up to `wake` waiters of the first word and moves up to `requeue` others to the second,
    /// if the first holds `expected`; answers how many were woken or moved.
    ///
    /// # Errors
    /// EAGAIN if it holds another value, EFAULT.
    pub async fn futex_requeue(
        &self,
        (address, address2): (UserAddress, UserAddress),
        private: bool,
        (wake, requeue): (usize, usize),
        expected: Option<u32>,
    ) -> Result<u64> {
        if address2.0 % 4 != 0 {
            return Err(Errno::EINVAL);
        }
        let from = self.mm.futex_key(address, private).await?;
        let to = self.mm.futex_key(address2, private).await?;
        loop {
            let mut absent = false;
            let check = || match expected {
                None => Ok(()),
                Some(expected) => match self.mm.try_load_u32(address) {
                    Ok(value) if value == expected => Ok(()),
                    Ok(_) => Err(Errno::EAGAIN),
                    Err(_) => {
                        absent = true;
                        Err(Errno::EFAULT)
                    }
                },
            };
            let outcome = self.kernel.futexes.requeue((&from, &to), (wake, requeue), check);
            match outcome {
                Err(_) if absent => drop(self.mm.read::<u32>(address).await?),
                Err(errno) => return Err(errno),
                // REQUEUE alone answers the woken ones only (futex(2)).
                Ok((woken, _)) if expected.is_none() => return Ok(woken as u64),
                Ok((woken, moved)) => return Ok((woken + moved) as u64),
            }
        }
    }

    /// Changes the second word by `operation`, wakes up to `wake` waiters of the first, and, if the
    /// second's old value compares so, up to `wake2` of the second; answers how many.
    ///
    /// # Errors
    /// EFAULT, ENOSYS for an unknown operation.
    pub async fn futex_wake_op(
        &self,
        (address, address2): (UserAddress, UserAddress),
        private: bool,
        (wake, wake2): (usize, usize),
        operation: WakeOperation,
    ) -> Result<u64> {
        if address2.0 % 4 != 0 {
            return Err(Errno::EINVAL);
        }
        let first = self.mm.futex_key(address, private).await?;
        let second = self.mm.futex_key(address2, private).await?;
        let old = loop {
            let old: u32 = self.mm.read(address2).await?;
            let new = operation.apply(old)?;
            if self.mm.compare_exchange_u32(address2, old, new).await? == old {
                break old;
            }
        };
        let futexes = &self.kernel.futexes;
        let mut woken = futexes.wake(&first, wake, MATCH_ANY);
        if operation.compare(old)? {
            woken += futexes.wake(&second, wake2, MATCH_ANY);
        }
        Ok(woken as u64)
    }
}
