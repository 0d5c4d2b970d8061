//! The sentry's heap: a fixed range of guest memory, backed by the host only where it is touched.
//!
//! Large zeroed blocks made at boot, the tables with an entry for each frame, come from a part of the
//! range that nothing has touched: it is zero, so writing zeros there would only make the host back
//! it. They live as long as the sandbox.

use core::{
    alloc::{GlobalAlloc, Layout},
    sync::atomic::{AtomicUsize, Ordering},
};

use guest_abi::kvm::{BootHeader, DIRECT_MAP_BASE};
use spin::mutex::SpinMutex;
use talc::{TalcLock, source::Manual};

/// Smaller blocks are not worth it.
const LARGE_BYTES: usize = 64 << 10;
/// The untouched part is this fraction of the range: more than the tables of frames take.
const UNTOUCHED_FRACTION: usize = 8;

#[global_allocator]
static HEAP: Heap = Heap {
    used: TalcLock::new(Manual),
    untouched_start: AtomicUsize::new(0),
    next: AtomicUsize::new(0),
    end: AtomicUsize::new(0),
};

struct Heap {
    used: TalcLock<SpinMutex<()>, Manual>,
    untouched_start: AtomicUsize,
    /// First byte that nothing has touched.
    next: AtomicUsize,
    /// End of the untouched part; equal to `next` once the boot is over.
    end: AtomicUsize,
}

/// Gives the heap its memory. Called once, by the first vCPU.
///
/// # Safety
/// The range that `header` names must be mapped, zero, and used by nothing else.
pub unsafe fn initialise(header: &BootHeader) {
    let base = (DIRECT_MAP_BASE + header.heap_address) as *mut u8;
    let length = header.heap_length as usize;
    let untouched = length / UNTOUCHED_FRACTION;
    HEAP.untouched_start.store(base.addr(), Ordering::Relaxed);
    HEAP.next.store(base.addr(), Ordering::Relaxed);
    HEAP.end.store(base.addr() + untouched, Ordering::Relaxed);
    // SAFETY: promised by the caller.
    unsafe { HEAP.used.lock().claim(base.add(untouched), length - untouched) };
}

/// Ends the boot: the rest of the untouched part becomes heap like all other. Called once.
pub fn end_boot() {
    let next = HEAP.next.load(Ordering::Relaxed);
    let rest = HEAP.end.swap(next, Ordering::Relaxed) - next;
    // SAFETY: from now on nothing is taken from there, so nobody else uses it.
    unsafe { HEAP.used.lock().claim(next as *mut u8, rest) };
}

impl Heap {
    /// `layout` of memory that is zero because nothing has touched it. Only the first vCPU runs while
    /// there is any.
    fn take_untouched(&self, layout: Layout) -> Option<*mut u8> {
        let start = self.next.load(Ordering::Relaxed).next_multiple_of(layout.align());
        let end = start.checked_add(layout.size())?;
        if layout.size() < LARGE_BYTES || end > self.end.load(Ordering::Relaxed) {
            return None;
        }
        self.next.store(end, Ordering::Relaxed);
        Some(start as *mut u8)
    }

    /// Whether `block` came from there.
    fn was_untouched(&self, block: *mut u8) -> bool {
        let start = self.untouched_start.load(Ordering::Relaxed);
        (start..self.next.load(Ordering::Relaxed)).contains(&block.addr())
    }
}

// SAFETY: blocks of talc go back to talc; others never overlap, and are not used again.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: promised by the caller.
        unsafe { self.used.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: promised by the caller.
        self.take_untouched(layout).unwrap_or_else(|| unsafe { self.used.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !self.was_untouched(block) {
            // SAFETY: promised by the caller; the block is talc's.
            unsafe { self.used.dealloc(block, layout) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.was_untouched(block) {
            // SAFETY: promised by the caller; the block is talc's.
            return unsafe { self.used.realloc(block, layout, size) };
        }
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
            return core::ptr::null_mut();
        };
        // SAFETY: promised by the caller; both blocks are as large as what is copied.
        unsafe {
            let new = self.used.alloc(wanted);
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, layout.size().min(size));
            }
            new
        }
    }
}
