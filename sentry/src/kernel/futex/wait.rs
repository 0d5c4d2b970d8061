//! Futex calls of a task: waiting on words, waking and moving waiters.

use alloc::{sync::Arc, vec::Vec};
use core::task::Poll;

use super::{FutexTable, MATCH_ANY, Waiter, WakeOperation};
use crate::{
    errno::{Errno, Result},
    kernel::{Current, Deadline, Interruption, WaitReason},
    mm::UserAddress,
};

/// One word to wait on.
#[derive(Clone, Copy, Debug)]
pub struct FutexWait {
    /// Where it is.
    pub address: UserAddress,
    /// No other address space is to find it.
    pub private: bool,
    /// What it must hold.
    pub expected: u32,
    /// It is woken by those whose mask intersects this one.
    pub mask: u32,
}

/// Waiters in their queues; they leave them when the wait ends.
struct Queued<'a> {
    table: &'a FutexTable,
    waiters: Vec<Arc<Waiter>>,
}

impl Queued<'_> {
    /// Takes all out of their queues; the index of the first that was woken before.
    fn leave(&mut self) -> Option<usize> {
        let waiters = core::mem::take(&mut self.waiters);
        let still_queued: Vec<bool> =
            waiters.iter().map(|waiter| self.table.remove(waiter)).collect();
        still_queued.iter().position(|queued| !queued)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Current {
    /// Waits until one of `words`, each of which must hold what is expected, is woken; answers its
    /// index.
    ///
    /// # Errors
    /// EAGAIN if one holds another value, EFAULT; ETIMEDOUT; ERESTARTSYS after a signal.
    pub async fn futex_wait(
        &mut self,
        words: &[FutexWait],
        deadline: Option<Deadline>,
    ) -> Result<usize> {
        let kernel = self.kernel.clone();
        let mut queued = Queued { table: &kernel.futexes, waiters: Vec::new() };
        for word in words {
            match self.futex_queue(word).await {
                Ok(waiter) => queued.waiters.push(waiter),
                // A wake-up of a word before it must not be lost (futex_waitv(2)).
                Err(errno) => return queued.leave().ok_or(errno),
            }
        }
        let woken = core::future::poll_fn(|context| {
            let is_woken = |waiter: &Arc<Waiter>| waiter.poll_woken(context).is_ready();
            // Each has to know whom to wake, so none is left out.
            let woken = queued.waiters.iter().filter(|waiter| is_woken(waiter)).count();
            if woken > 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        let outcome = self.wait(WaitReason::Futex, deadline, woken).await;
        match (queued.leave(), outcome) {
            (Some(index), _) => Ok(index),
            (None, Err(Interruption::TimedOut)) => Err(Errno::ETIMEDOUT),
            (None, _) => Err(Errno::ERESTARTSYS),
        }
    }

    /// Queues for a word.
    async fn futex_queue(&self, word: &FutexWait) -> Result<Arc<Waiter>> {
        loop {
            let key = self.mm.futex_key(word.address, word.private).await?;
            let waiter = Waiter::new(key, word.mask);
            let mut absent = false;
            let added = self.kernel.futexes.add(key, &waiter, || {
                match self.mm.try_load_u32(word.address) {
                    Ok(value) if value == word.expected => Ok(()),
                    Ok(_) => Err(Errno::EAGAIN),
                    Err(_) => {
                        absent = true;
                        Err(Errno::EFAULT)
                    }
                }
            });
            match added {
                Ok(()) => return Ok(waiter),
                // The page went away after the key was found: bring it back and try again.
                Err(_) if absent => drop(self.mm.read::<u32>(word.address).await?),
                Err(errno) => return Err(errno),
            }
        }
    }

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
