//! The address space that each executor may still have loaded.
//!
//! A processor goes on using a page table in sentry code, after the task that it belongs to has
//! gone. So every executor keeps the space it last ran in alive until it runs in another one, or
//! idles: this is what makes `Platform::destroy_address_space` safe on any executor.

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

use spin::mutex::SpinMutex;

use crate::{
    mm::Mm,
    platform::{AddressSpaceId, ExecutorId},
};

/// One slot an executor, which alone changes it.
pub struct LoadedSpaces(Vec<Slot>);

struct Slot {
    /// Name of the space in `mm`; spares the lock where nothing changes.
    name: AtomicU64,
    mm: SpinMutex<Option<Arc<Mm>>>,
}

/// No space has this name: names are addresses of frames, or counted.
const NONE: u64 = u64::MAX;

impl LoadedSpaces {
    /// Nothing is loaded on any of `executors` executors.
    pub fn new(executors: u16) -> Self {
        let empty = |_| Slot { name: AtomicU64::new(NONE), mm: SpinMutex::new(None) };
        Self((0..executors).map(empty).collect())
    }

    /// `executor` has just run user code in `mm`, and no longer has another space loaded.
    pub fn note(&self, executor: ExecutorId, mm: &Arc<Mm>) {
        let AddressSpaceId(name) = mm.space();
        let Some(slot) = self.slot(executor) else { return };
        if slot.name.load(Ordering::Relaxed) != name {
            slot.replace(name, Some(mm.clone()));
        }
    }

    /// `executor` has left the space it last ran in.
    pub fn forget(&self, executor: ExecutorId) {
        let Some(slot) = self.slot(executor) else { return };
        if slot.name.load(Ordering::Relaxed) != NONE {
            slot.replace(NONE, None);
        }
    }

    fn slot(&self, executor: ExecutorId) -> Option<&Slot> {
        self.0.get(usize::from(executor.0))
    }
}

impl Slot {
    /// The old space may end here; its drop takes locks of its own, so not under this one.
    fn replace(&self, name: u64, mm: Option<Arc<Mm>>) {
        self.name.store(name, Ordering::Relaxed);
        let old = core::mem::replace(&mut *self.mm.lock(), mm);
        drop(old);
    }
}
