//! The address space of a process.
//!
//! Areas (`Vma`) say what every address is meant to be; the page table says what is there now; the
//! platform is told of every change. Faults, and nothing else, bring pages in.
//!
//! Lock order: `Mm::state`, then a page cache's state, then the frame allocator. Two address spaces
//! are locked together only by fork, where nobody else knows the new one.

mod advise;
mod announce;
mod brk;
mod cache_events;
mod fault;
mod fault_window;
mod fork;
mod layout;
mod lock;
mod map;
mod protect;
mod remap;
mod residency;
mod statistics;
mod unmap;

pub use advise::Advice;
pub use fault::{Fault, TryFault};
pub use layout::Layout;
pub use map::{MapRequest, MapSource, Placement};
pub use remap::RemapTarget;
pub use residency::FilePart;
pub use statistics::{Limits, Mapping, Statistics};

use alloc::sync::{Arc, Weak};
use core::ops::Range;

use spin::RwLock;

use self::fault_window::FaultWindows;
use super::{
    page_table::{Entry, PageTable},
    vma::{Vma, VmaFlags, VmaMap, VmaSource},
};
use crate::{
    errno::{Errno, Result},
    memory::{FrameAllocator, PAGE_SIZE},
    platform::{AddressSpaceId, PlatformRef, Protection, USER_ADDRESS_START},
};

const PAGE: u64 = PAGE_SIZE as u64;

/// Lowest address that may be mapped (vm.mmap_min_addr of Linux).
const LOWEST_ADDRESS: u64 = USER_ADDRESS_START;

/// Most areas of an address space (vm.max_map_count of Linux).
const MAX_AREAS: usize = 65_530;

/// The address space of a process.
pub struct Mm {
    itself: Weak<Self>,
    platform: PlatformRef,
    frames: Arc<FrameAllocator>,
    space: AddressSpaceId,
    address_limit: u64,
    pub(super) state: RwLock<State>,
}

/// What the lock of an address space guards.
pub(super) struct State {
    pub(super) vmas: VmaMap,
    pub(super) table: PageTable,
    layout: Layout,
    limits: Limits,
    windows: FaultWindows,
    /// New areas are locked (mlockall(2), MCL_FUTURE).
    lock_future: bool,
}

impl Mm {
    /// An empty address space whose layout is chosen by `random`.
    ///
    /// # Errors
    /// ENOMEM, EAGAIN.
    pub fn new(
        platform: PlatformRef,
        frames: Arc<FrameAllocator>,
        random: u64,
    ) -> Result<Arc<Self>> {
        let layout = Layout::new(platform.user_address_limit(), random);
        Self::with_layout(platform, frames, layout, Limits::default())
    }

    fn with_layout(
        platform: PlatformRef,
        frames: Arc<FrameAllocator>,
        layout: Layout,
        limits: Limits,
    ) -> Result<Arc<Self>> {
        let table = PageTable::new(&frames)?;
        let space = platform.create_address_space(table.root())?;
        let vmas = VmaMap::default();
        Ok(Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            address_limit: platform.user_address_limit(),
            platform,
            frames,
            space,
            state: RwLock::new(State {
                vmas,
                table,
                layout,
                limits,
                windows: FaultWindows::default(),
                lock_future: false,
            }),
        }))
    }

    /// Its name for the platform.
    pub const fn space(&self) -> AddressSpaceId {
        self.space
    }

    /// The frames it is made of.
    pub const fn frames(&self) -> &Arc<FrameAllocator> {
        &self.frames
    }

    /// First address that user code may not map.
    pub const fn address_limit(&self) -> u64 {
        self.address_limit
    }

    /// Where things are placed.
    pub fn layout(&self) -> Layout {
        self.state.read().layout
    }

    /// The pages of `length` bytes from `address`, which must be page aligned.
    fn user_range(&self, address: u64, length: u64) -> Option<Range<u64>> {
        let end = address.checked_add(page_align(length)?)?;
        (address.is_multiple_of(PAGE) && end <= self.address_limit()).then_some(address..end)
    }
}

impl Drop for Mm {
    fn drop(&mut self) {
        self.platform.destroy_address_space(self.space);
        for vma in self.state.get_mut().vmas.iter() {
            if let VmaSource::Cache { cache, .. } = &vma.source {
                cache.remove_mapper(self.space);
            }
        }
    }
}

/// `length` rounded up to whole pages.
fn page_align(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(PAGE)
}

/// Number of pages in a range of addresses.
fn page_count(range: &Range<u64>) -> usize {
    usize::try_from((range.end - range.start) / PAGE).unwrap_or(usize::MAX)
}

/// What a page of `vma` may be mapped with before its first write is noticed.
fn clean_protection(vma: &Vma) -> Protection {
    let writes_tracked = match &vma.source {
        VmaSource::Cache { cache, .. } => vma.is_private() || cache.tracks_writes(),
        VmaSource::Anonymous | VmaSource::Frames { .. } => true,
    };
    if writes_tracked { vma.protection - Protection::WRITE } else { vma.protection }
}

#[cfg(test)]
mod tests;
