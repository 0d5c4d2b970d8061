//! The page cache of one file: shared by read, write and mmap.
//!
//! A cache with a *backing* (a file of the gofer) holds copies: pages are fetched when missed,
//! written back when flushed, and dropped under pressure while clean. A cache without one (tmpfs,
//! shared anonymous memory) *is* the file: a missing page is a hole and reads as zeros.
//!
//! Lock order: `writing_back`, then `writing`, then `Mm`'s state, then `state`, then the frame
//! allocator. User memory is never touched with `state` held; what is copied is kept alive by its
//! reference count.

mod fetch;
mod flush;
mod io;
mod mapping;
mod pages;
mod resize;

pub use mapping::PageMiss;

use alloc::{
    boxed::Box,
    collections::BTreeMap,
    sync::{Arc, Weak},
};
use core::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use self::{fetch::Readahead, pages::Pages};
use super::Mm;
use crate::{
    errno::Result,
    kernel::WaitQueue,
    memory::{Frame, FrameAllocator, FrameRef, PAGE_SIZE, Reclaim},
    platform::AddressSpaceId,
    vfs::SleepMutex,
};

const PAGE: u64 = PAGE_SIZE as u64;

/// Where the pages of a cached file are kept.
#[async_trait]
pub trait PageBacking: Send + Sync {
    /// Reads pages `index..index + frames.len()` into `frames`, which are zeroed; what lies past
    /// the end of the file stays zero.
    ///
    /// # Errors
    /// EIO and what else reading the file answers.
    async fn read_pages(&self, index: u64, frames: &[FrameRef]) -> Result<()>;

    /// Writes the first `length` bytes of `frames` as the pages from `index` on.
    ///
    /// # Errors
    /// EIO, ENOSPC and what else writing the file answers.
    async fn write_pages(&self, index: u64, frames: &[FrameRef], length: usize) -> Result<()>;

    /// Whether pages can be written at all. If not, what was written stays in the cache for good
    /// and a flush has nothing to do.
    fn is_writable(&self) -> bool {
        true
    }
}

/// The cached pages of one file.
pub struct PageCache {
    itself: Weak<Self>,
    frames: Arc<FrameAllocator>,
    backing: Option<Arc<dyn PageBacking>>,
    /// Size of the file in bytes; changed with `writing` and `state` held.
    size: AtomicU64,
    /// Held by whoever changes contents by write(2) or the size; makes them atomic to each other.
    writing: SpinMutex<()>,
    state: SpinMutex<State>,
    /// Held by whoever writes dirty pages, or changes the size of the file that they are kept in.
    pub writing_back: SleepMutex,
    /// Woken when pages have been read.
    fetched: WaitQueue,
}

struct State {
    pages: Pages,
    /// Counts the events that make what is being read stale.
    generation: u64,
    readahead: Readahead,
    /// The address spaces that map or mapped the file.
    mappers: BTreeMap<u64, Weak<Mm>>,
    is_reclaimer: bool,
    /// Where the search for pages to give up goes on, so that all are looked at in turn.
    reclaim_from: u64,
}

impl PageCache {
    /// The cache of a file of `size` bytes, with no page resident yet.
    pub fn new(
        frames: Arc<FrameAllocator>,
        size: u64,
        backing: Option<Arc<dyn PageBacking>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            frames,
            backing,
            size: AtomicU64::new(size),
            writing: SpinMutex::new(()),
            state: SpinMutex::new(State {
                pages: Pages::default(),
                generation: 0,
                readahead: Readahead::default(),
                mappers: BTreeMap::new(),
                is_reclaimer: false,
                reclaim_from: 0,
            }),
            writing_back: SleepMutex::new(),
            fetched: WaitQueue::new(),
        })
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Number of pages in the cache; of a file without backing, those that are no holes.
    pub fn resident_pages(&self) -> u64 {
        self.state.lock().pages.resident()
    }

    /// Whether page `index` is in the cache.
    pub fn is_resident(&self, index: u64) -> bool {
        self.state.lock().pages.get(index).is_some()
    }

    /// The first offset from `offset` on that is data (`data`) or in a hole, as lseek(2)
    /// SEEK_DATA and SEEK_HOLE of a file without backing; `None` past the end of the file or of
    /// its data.
    pub fn seek_data(&self, offset: u64, data: bool) -> Option<u64> {
        let size = self.size();
        let pages = offset / PAGE..size.div_ceil(PAGE);
        if offset >= size {
            return None;
        }
        let state = self.state.lock();
        let index = if data {
            state.pages.next_resident(&pages)?
        } else {
            pages.clone().find(|&index| state.pages.get(index).is_none()).unwrap_or(pages.end)
        };
        Some((index * PAGE).clamp(offset, size))
    }

    /// Adds a page unless it is resident already; returns the resident one.
    fn insert(&self, state: &mut State, index: u64, frame: FrameRef) -> FrameRef {
        if let Some(resident) = self.reference(state, index) {
            return resident;
        }
        state.pages.insert(index, frame.clone().into_frame());
        if self.backing.is_some() && !state.is_reclaimer {
            state.is_reclaimer = true;
            self.frames.add_reclaimer(self.itself.clone());
        }
        frame
    }

    /// A reference to page `index`, if it is resident.
    fn reference(&self, state: &State, index: u64) -> Option<FrameRef> {
        state.pages.get(index).map(|frame| {
            self.frames.retain(frame);
            self.frames.adopt(frame)
        })
    }

    fn has_backing(&self) -> bool {
        self.backing.is_some()
    }
}

#[async_trait]
impl Reclaim for PageCache {
    fn reclaim(&self, count: usize) -> usize {
        let Some(mut state) = self.state.try_lock() else { return 0 };
        let start = state.reclaim_from;
        let evict = |frame, dirty: bool| {
            let unused = !dirty && self.frames.count(frame) == 1;
            if unused {
                self.frames.release(frame);
            }
            unused
        };
        let (mut reclaimed, mut stop) = state.pages.evict(&(start..u64::MAX), count, evict);
        if reclaimed < count {
            let (more, end) = state.pages.evict(&(0..start), count - reclaimed, evict);
            (reclaimed, stop) = (reclaimed + more, end);
        }
        state.reclaim_from = stop;
        reclaimed
    }

    async fn make_reclaimable(&self) {
        self.for_each_mapper(|mm| mm.unmap_cache(self, &(0..u64::MAX / PAGE), false));
        let _writing_back = self.writing_back.lock().await;
        // What cannot be written stays dirty; the next sync tries again and says why.
        let _ = self.flush(0..u64::MAX).await;
    }

    fn frames(&self) -> usize {
        usize::try_from(self.resident_pages()).unwrap_or(usize::MAX)
    }
}

impl Drop for PageCache {
    fn drop(&mut self) {
        let frames = &self.frames;
        self.state.get_mut().pages.remove(&(0..u64::MAX), |_, frame, _| {
            frames.release(frame);
            true
        });
    }
}

#[cfg(test)]
mod tests;
