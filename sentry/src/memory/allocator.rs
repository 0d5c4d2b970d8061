//! The frame allocator: hands out zeroed frames and counts who refers to them.
//!
//! Locks: `relieving` is taken first, with no other lock held. `buddy` and `reclaimers` are leaves;
//! neither is held while memory is zeroed, released to the host, or reclaimed.

use alloc::{
    boxed::Box,
    collections::VecDeque,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use async_trait::async_trait;
use spin::mutex::SpinMutex;
use zerocopy::FromZeros;

use super::{Frame, FrameRef, FrameRun, PAGE_SIZE, PhysicalMemory, buddy::Buddy};
use crate::{
    errno::{Errno, Result},
    platform::PlatformRef,
    vfs::SleepMutex,
};

pub use super::buddy::MAX_ORDER;

/// Set in a frame's state when its contents may differ from zero. The other bits count references;
/// a free frame counts none.
const USED: u32 = 1 << 31;

/// Blocks smaller than this (64 KiB) are not worth a call to give back to the host.
const SMALLEST_RELEASED_ORDER: u8 = 4;

/// Free frames that stay backed by the host for quick reuse: 64 MiB, or 1/8 of small memories.
const KEPT_FRAMES: usize = 16 << 10;

/// Frames that caches are asked for at once. More than are needed, so that not each allocation has
/// to ask; few enough that a short shortage leaves the caches almost as they were.
const RECLAIM_BATCH: usize = 64;

/// Part of memory that is made free when caches must write or unmap pages first: few such stops,
/// and most of what is in use stays.
const RELIEF_DIVISOR: usize = 16;

/// Gives frames back when they run out: a cache of what can be read again.
#[async_trait]
pub trait Reclaim: Send + Sync {
    /// Drops up to `count` frames that nobody else uses; returns how many. Called with locks of
    /// the memory manager held, so it must not wait for a lock.
    fn reclaim(&self, count: usize) -> usize;

    /// Makes all it holds such that [`Self::reclaim`] can drop it, as far as it can: what is dirty
    /// is written, what is mapped is unmapped.
    async fn make_reclaimable(&self);

    /// Number of frames it holds.
    fn frames(&self) -> usize;
}

/// All frames of sandbox memory.
pub struct FrameAllocator {
    platform: PlatformRef,
    /// The platform's, within reach of every page walk.
    memory: PhysicalMemory,
    /// Per frame: number of references, and [`USED`].
    states: Vec<AtomicU32>,
    buddy: SpinMutex<Buddy>,
    /// Free frames the host still backs with memory, roughly.
    used_free: AtomicUsize,
    /// Value of `used_free` up to which looking for blocks to release is in vain.
    unreleasable: AtomicUsize,
    reclaimers: SpinMutex<VecDeque<Weak<dyn Reclaim>>>,
    /// Held while caches are made reclaimable.
    relieving: SleepMutex,
}

/// States of `total` frames without references. As zero bytes, so that the host backs only what is
/// written.
fn zeroed_states(total: u32) -> Vec<AtomicU32> {
    AtomicU32::new_vec_zeroed(total as usize)
        .unwrap_or_else(|_| (0..total).map(|_| AtomicU32::new(0)).collect())
}

fn limit_frames(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX) / PAGE_SIZE
}

impl FrameAllocator {
    /// An allocator of all sandbox memory from `first` on, which the host has zeroed.
    pub fn new(platform: PlatformRef, first: Frame) -> Arc<Self> {
        Self::with_limit(platform, first, u64::MAX)
    }

    /// The same with a limit, see [`Self::set_limit`].
    pub fn with_limit(platform: PlatformRef, first: Frame, bytes: u64) -> Arc<Self> {
        let total = platform.memory().ram_size() / PAGE_SIZE;
        let total = u32::try_from(total).unwrap_or(u32::MAX - 1);
        Arc::new(Self {
            states: zeroed_states(total),
            buddy: SpinMutex::new(Buddy::new(first.0.min(total), total, limit_frames(bytes))),
            used_free: AtomicUsize::new(0),
            unreleasable: AtomicUsize::new(0),
            reclaimers: SpinMutex::new(VecDeque::new()),
            relieving: SleepMutex::new(),
            memory: platform.memory().clone(),
            platform,
        })
    }

    /// The memory the frames are in.
    #[inline]
    pub const fn memory(&self) -> &PhysicalMemory {
        &self.memory
    }

    /// Number of frames in all, free or not.
    pub fn total_frames(&self) -> usize {
        self.buddy.lock().limit()
    }

    /// The same in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total_frames() as u64 * PAGE_SIZE as u64
    }

    /// Hands out no more than `bytes` bytes from now on, as far as there is memory; what is handed
    /// out stays.
    pub fn set_limit(&self, bytes: u64) {
        self.buddy.lock().set_limit(limit_frames(bytes));
    }

    /// Number of free frames.
    pub fn free_frames(&self) -> usize {
        self.buddy.lock().free_frames()
    }

    /// Takes `2^order` contiguous zeroed frames, aligned to their size. Under pressure, caches are
    /// asked to shrink.
    ///
    /// # Errors
    /// ENOMEM if there are none.
    pub fn allocate(self: &Arc<Self>, order: u8) -> Result<FrameRun> {
        Ok(self.hand_out(self.take_block(order)?, order, |frame| self.zero(frame)))
    }

    /// The same, but only as far as memory is free: for what would be nice to have, which is not
    /// worth what caches hold.
    ///
    /// # Errors
    /// As [`Self::allocate`].
    pub fn allocate_free(self: &Arc<Self>, order: u8) -> Result<FrameRun> {
        let block = self.buddy.lock().allocate(order.min(MAX_ORDER)).ok_or(Errno::ENOMEM)?;
        Ok(self.hand_out(block, order.min(MAX_ORDER), |frame| self.zero(frame)))
    }

    /// The same with arbitrary contents, which may be another process's: the caller overwrites
    /// all of it before anyone else can see it.
    ///
    /// # Errors
    /// As [`Self::allocate`].
    pub fn allocate_for_overwrite(self: &Arc<Self>, order: u8) -> Result<FrameRun> {
        Ok(self.hand_out(self.take_block(order)?, order, |_| {}))
    }

    /// Takes one zeroed frame.
    ///
    /// # Errors
    /// As [`Self::allocate`].
    pub fn allocate_one(self: &Arc<Self>) -> Result<FrameRef> {
        self.allocate(0).map(FrameRun::into_first)
    }

    /// Registers a cache that can shrink; it is forgotten when it is gone.
    pub fn add_reclaimer(&self, reclaimer: Weak<dyn Reclaim>) {
        self.reclaimers.lock().push_back(reclaimer);
    }

    /// After ENOMEM: lets caches write and unmap pages and takes them, from the largest cache
    /// first. Whether trying again is worth while; without a batch of frames, memory has run out.
    /// To be called with no lock held.
    pub async fn relieve(&self) -> bool {
        let _relieving = self.relieving.lock().await;
        if self.free_frames() >= RECLAIM_BATCH {
            return true;
        }
        let mut caches = self.caches();
        caches.sort_by_key(|cache| core::cmp::Reverse(cache.frames()));
        let wanted = (self.total_frames() / RELIEF_DIVISOR).max(RECLAIM_BATCH);
        for cache in caches {
            cache.make_reclaimable().await;
            // More than what is missing if more is in use than a limit that was lowered.
            while self.free_frames() < wanted && cache.reclaim(wanted) > 0 {}
            if self.free_frames() >= wanted {
                break;
            }
        }
        self.free_frames() >= RECLAIM_BATCH
    }

    fn caches(&self) -> Vec<Arc<dyn Reclaim>> {
        self.reclaimers.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Number of frames that caches hold.
    pub fn reclaimable_frames(&self) -> usize {
        let caches = self.caches();
        caches.iter().map(|cache| cache.frames()).sum()
    }

    /// Adds a reference to a frame that somebody holds one of, for a holder that keeps only the
    /// number (a page-table entry); see [`Self::adopt`].
    pub fn retain(&self, frame: Frame) {
        if let Some(state) = self.state(frame) {
            state.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Drops one reference that [`Self::retain`] or [`FrameRef::into_frame`] left without owner.
    pub fn release(&self, frame: Frame) {
        let Some(state) = self.state(frame) else {
            return;
        };
        if state.fetch_sub(1, Ordering::Release) == USED | 1 {
            core::sync::atomic::fence(Ordering::Acquire);
            self.buddy.lock().free(frame.0, 0);
            self.used_free.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes an owner of a reference that has none.
    pub fn adopt(self: &Arc<Self>, frame: Frame) -> FrameRef {
        FrameRef::new(self.clone(), frame)
    }

    /// Number of references to `frame`.
    pub fn count(&self, frame: Frame) -> u32 {
        self.state(frame).map_or(0, |state| state.load(Ordering::Acquire) & !USED)
    }

    /// Gives free memory that has been used back to the host; it costs a call per block, and a
    /// host page fault when the memory is used again. Returns the number of frames.
    pub fn release_free_memory(&self) -> usize {
        core::iter::from_fn(|| self.release_block()).sum()
    }

    /// Does a bounded part (at most 4 MiB) of that if much free memory has been used; to be
    /// called when there is nothing else to do. False if nothing was done.
    pub fn trim(&self) -> bool {
        let used = self.used_free.load(Ordering::Relaxed);
        let kept = KEPT_FRAMES.min(self.total_frames() / 8);
        if used <= kept.max(self.unreleasable.load(Ordering::Relaxed)) {
            return false;
        }
        let released = self.release_block().is_some();
        // What is scattered in small blocks is not looked at again before more is freed.
        let unreleasable = if released { 0 } else { used + kept / 8 };
        self.unreleasable.store(unreleasable, Ordering::Relaxed);
        released
    }

    /// Gives one of the largest free blocks with used frames back to the host.
    fn release_block(&self) -> Option<usize> {
        let mut largest_first = (SMALLEST_RELEASED_ORDER..=MAX_ORDER).rev();
        let find = |order| self.take_used_block(order).map(|block| (block, order));
        let (block, order) = largest_first.find_map(find)?;
        let count = 1 << order;
        self.platform.release_frames(Frame(block), count);
        let frames = (block..).take(count).filter_map(|frame| self.state(Frame(frame)));
        let used = frames.filter(|state| state.swap(0, Ordering::Relaxed) & USED != 0).count();
        self.buddy.lock().free(block, order);
        self.forget_used(used);
        Some(used)
    }

    /// Number of free frames that [`Self::release_free_memory`] might give back.
    pub fn releasable_frames(&self) -> usize {
        self.used_free.load(Ordering::Relaxed)
    }

    fn state(&self, frame: Frame) -> Option<&AtomicU32> {
        self.states.get(frame.0 as usize)
    }

    fn zero(&self, frame: Frame) {
        // A frame that is not memory cannot come out of the buddy system.
        let _ = self.memory().zero(frame.address(), PAGE_SIZE);
    }

    /// Gives each frame of a block one reference, and calls `clean` on those whose contents are
    /// not known to be zero.
    fn hand_out(self: &Arc<Self>, block: u32, order: u8, clean: impl Fn(Frame)) -> FrameRun {
        let first = Frame(block);
        let mut used = 0;
        for frame in (0..1 << order).map(|index| first.offset(index)) {
            let Some(state) = self.state(frame) else {
                continue;
            };
            if state.swap(USED | 1, Ordering::Relaxed) & USED != 0 {
                clean(frame);
                used += 1;
            }
        }
        self.forget_used(used);
        FrameRun::new(self.clone(), first, 1 << order)
    }

    fn take_block(&self, order: u8) -> Result<u32> {
        if order > MAX_ORDER {
            return Err(Errno::ENOMEM);
        }
        loop {
            // The guard must be gone before the caches free frames.
            let block = self.buddy.lock().allocate(order);
            if let Some(block) = block {
                return Ok(block);
            }
            if self.reclaim(RECLAIM_BATCH.max(1 << order)) == 0 {
                return Err(Errno::ENOMEM);
            }
        }
    }

    /// Asks caches, least recently asked first, for `count` frames; returns how many they gave.
    fn reclaim(&self, count: usize) -> usize {
        let mut given = 0;
        let candidates = self.reclaimers.lock().len();
        for _ in 0..candidates {
            let Some(weak) = self.reclaimers.lock().pop_front() else {
                break;
            };
            let Some(cache) = weak.upgrade() else {
                continue;
            };
            given += cache.reclaim(count - given);
            self.reclaimers.lock().push_back(weak);
            if given >= count {
                break;
            }
        }
        given
    }

    /// Takes a free block of `order` in which frames have been used, judged by a sample.
    fn take_used_block(&self, order: u8) -> Option<u32> {
        let mut buddy = self.buddy.lock();
        let is_used = |state: &AtomicU32| state.load(Ordering::Relaxed) & USED != 0;
        let used = |block: &u32| {
            let mut sample = (*block..block + (1 << order)).step_by(1 << SMALLEST_RELEASED_ORDER);
            sample.any(|frame| self.state(Frame(frame)).is_some_and(is_used))
        };
        let block = buddy.blocks(order).find(used)?;
        buddy.take(block, order);
        Some(block)
    }

    fn forget_used(&self, count: usize) {
        if count == 0 {
            return;
        }
        let less = |used: usize| Some(used.saturating_sub(count));
        let _ = self.used_free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{
        Platform,
        mock::{Call, MockPlatform},
    };

    fn allocator(pages: usize) -> (Arc<MockPlatform>, Arc<FrameAllocator>) {
        let platform = MockPlatform::new(pages);
        let frames = FrameAllocator::new(platform.clone(), Frame(1));
        (platform, frames)
    }

    #[test]
    fn frames_are_counted_and_zeroed() {
        let (platform, frames) = allocator(8);
        let frame = frames.allocate_one().unwrap();
        platform.memory().write(frame.address(), b"secret").unwrap();
        let other = frame.clone();
        assert_eq!(frames.count(frame.frame()), 2);
        drop(frame);
        assert_eq!(frames.free_frames(), 6);
        drop(other);
        assert_eq!(frames.free_frames(), 7);
        for again in frames.allocate(2).unwrap().chain(frames.allocate(1).unwrap()) {
            let mut bytes = [0; 6];
            platform.memory().read(again.address(), &mut bytes).unwrap();
            assert_eq!(bytes, [0; 6]);
        }
    }

    #[test]
    fn running_out_is_an_error_and_loses_nothing() {
        let (_, frames) = allocator(5);
        let all: Vec<FrameRef> = core::iter::from_fn(|| frames.allocate_one().ok()).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(frames.allocate_one().unwrap_err(), Errno::ENOMEM);
        drop(all);
        assert_eq!(frames.free_frames(), 4);
    }

    #[test]
    fn gives_back_what_was_used_and_only_that() {
        let (platform, frames) = allocator(64);
        assert_eq!(frames.release_free_memory(), 0);
        drop(frames.allocate(4).unwrap());
        assert_eq!(frames.releasable_frames(), 16);
        assert_eq!(frames.release_free_memory(), 16);
        assert_eq!(frames.releasable_frames(), 0);
        assert!(matches!(platform.take_calls()[..], [Call::Release { .. }]));
        assert_eq!(frames.free_frames(), 63);
    }

    #[test]
    fn trims_only_what_is_much() {
        let (platform, frames) = allocator(1024);
        drop(frames.allocate(6).unwrap());
        assert!(!frames.trim());
        drop(frames.allocate(8).unwrap());
        assert!(frames.trim());
        assert!(!platform.take_calls().is_empty());
        assert!(!frames.trim());
    }

    struct Hoard(SpinMutex<Vec<FrameRef>>);

    #[async_trait]
    impl Reclaim for Hoard {
        fn reclaim(&self, count: usize) -> usize {
            let mut hoard = self.0.lock();
            let keep = hoard.len().saturating_sub(count);
            hoard.split_off(keep).len()
        }

        async fn make_reclaimable(&self) {}

        fn frames(&self) -> usize {
            self.0.lock().len()
        }
    }

    #[test]
    fn pressure_shrinks_caches() {
        let (_, frames) = allocator(4);
        let hoard = Arc::new(Hoard(SpinMutex::new(frames.allocate(1).unwrap().collect())));
        let reclaimer: Arc<dyn Reclaim> = hoard.clone();
        frames.add_reclaimer(Arc::downgrade(&reclaimer));
        let mut held: Vec<FrameRef> = Vec::new();
        held.extend((0..3).map(|_| frames.allocate_one().unwrap()));
        assert!(hoard.0.lock().is_empty());
        assert!(frames.allocate_one().is_err());
    }
}
