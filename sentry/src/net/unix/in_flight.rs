//! Descriptors in flight: sent over a socket and not received.

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::mutex::SpinMutex;

use crate::{
    errno::{Errno, Result},
    vfs::OpenFile,
};

/// Counts and closes descriptors in flight.
#[derive(Default)]
pub struct InFlight {
    count: AtomicU64,
    /// Files of messages that nobody will receive. The lock is a leaf.
    abandoned: SpinMutex<Vec<Arc<OpenFile>>>,
    closing: AtomicBool,
}

impl InFlight {
    /// Counts `added` more descriptors.
    ///
    /// # Errors
    /// ETOOMANYREFS if that makes more than `limit`.
    pub fn add(&self, added: usize, limit: u64) -> Result<()> {
        let added = u64::try_from(added).map_err(|_| Errno::ETOOMANYREFS)?;
        if added == 0 {
            return Ok(());
        }
        let more = |count: u64| count.checked_add(added).filter(|sum| *sum <= limit);
        let result = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        result.map(drop).map_err(|_| Errno::ETOOMANYREFS)
    }

    /// `count` descriptors were received, or abandoned.
    pub fn remove(&self, count: usize) {
        self.count.fetch_sub(count as u64, Ordering::Relaxed);
    }

    /// Closes files that were in flight. Closing a socket may abandon more files; those are closed
    /// here, one after another, not on a stack as deep as the chain.
    pub fn abandon(&self, files: Vec<Arc<OpenFile>>) {
        if files.is_empty() {
            return;
        }
        self.remove(files.len());
        self.abandoned.lock().extend(files);
        while !self.abandoned.lock().is_empty() && !self.closing.swap(true, Ordering::AcqRel) {
            loop {
                let file = self.abandoned.lock().pop();
                let Some(file) = file else { break };
                drop(file);
            }
            self.closing.store(false, Ordering::Release);
        }
    }
}
