//! Owners of frames: a reference count as a value.

use alloc::sync::Arc;
use core::fmt;

use super::{Frame, FrameAllocator};

/// One reference to a frame. Cloning adds a reference; dropping the last one frees the frame.
pub struct FrameRef {
    allocator: Arc<FrameAllocator>,
    frame: Frame,
}

impl FrameRef {
    /// Owns a reference that was counted already.
    pub(super) const fn new(allocator: Arc<FrameAllocator>, frame: Frame) -> Self {
        Self { allocator, frame }
    }

    /// The frame.
    pub const fn frame(&self) -> Frame {
        self.frame
    }

    /// Physical address of its first byte.
    pub const fn address(&self) -> u64 {
        self.frame.address()
    }

    /// Leaves the reference to a holder that keeps only the number (a page-table entry) and hands
    /// it back by [`FrameAllocator::release`] or [`FrameAllocator::adopt`].
    pub fn into_frame(self) -> Frame {
        self.allocator.retain(self.frame);
        self.frame
    }
}

impl Clone for FrameRef {
    fn clone(&self) -> Self {
        self.allocator.retain(self.frame);
        Self::new(self.allocator.clone(), self.frame)
    }
}

impl Drop for FrameRef {
    fn drop(&mut self) {
        self.allocator.release(self.frame);
    }
}

impl fmt::Debug for FrameRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frame.fmt(formatter)
    }
}

/// Contiguous frames with one reference to each; as an iterator it hands them out one by one.
pub struct FrameRun {
    allocator: Arc<FrameAllocator>,
    next: Frame,
    remaining: u32,
}

impl FrameRun {
    /// Owns references that were counted already.
    pub(super) const fn new(allocator: Arc<FrameAllocator>, first: Frame, count: u32) -> Self {
        Self { allocator, next: first, remaining: count }
    }

    /// Its first frame.
    pub const fn first(&self) -> Frame {
        self.next
    }

    /// Number of frames.
    pub const fn count(&self) -> u32 {
        self.remaining
    }

    /// Leaves the references to a holder that keeps only numbers; see [`FrameRef::into_frame`].
    pub fn into_frames(mut self) -> impl Iterator<Item = Frame> {
        let (first, count) = (self.next, self.remaining);
        self.remaining = 0;
        (0..count).map(move |index| first.offset(index))
    }

    /// Its first frame alone; the others are freed.
    pub fn into_first(mut self) -> FrameRef {
        let first = FrameRef::new(self.allocator.clone(), self.next);
        self.advance();
        first
    }

    const fn advance(&mut self) {
        self.next = self.next.offset(1);
        self.remaining -= 1;
    }
}

impl Iterator for FrameRun {
    type Item = FrameRef;

    fn next(&mut self) -> Option<FrameRef> {
        (self.remaining > 0).then(|| {
            let frame = FrameRef::new(self.allocator.clone(), self.next);
            self.advance();
            frame
        })
    }
}

impl Drop for FrameRun {
    fn drop(&mut self) {
        (0..self.remaining).for_each(|index| self.allocator.release(self.next.offset(index)));
    }
}
