//! Changing the size of a cached file, and dropping pages.

use alloc::vec::Vec;

use super::*;

impl PageCache {
    /// Sets the size. Pages past the new end are dropped and unmapped everywhere, private copies
    /// included (ftruncate(2)); a new part reads as zeros. The backing is not told.
    pub fn truncate(&self, new_size: u64) {
        let _writing = self.writing.lock();
        let old_size = self.size();
        if new_size >= old_size {
            self.zero_tail_up_to(new_size);
            self.size.store(new_size, Ordering::Release);
            return;
        }
        let removed = new_size.div_ceil(PAGE)..u64::MAX / PAGE;
        let frames = {
            let mut state = self.state.lock();
            self.size.store(new_size, Ordering::Release);
            self.zero_in_page(&state, new_size, PAGE - new_size % PAGE);
            self.detach(&mut state, &removed)
        };
        self.for_each_mapper(|mm| mm.unmap_cache(self, &removed, true));
        drop(frames);
    }

    /// Makes `length` bytes from `offset` zero without changing the size; whole pages become
    /// holes (fallocate(2) FALLOC_FL_PUNCH_HOLE). For files without backing.
    pub fn punch_hole(&self, offset: u64, length: u64) {
        let _writing = self.writing.lock();
        let end = offset.saturating_add(length).min(self.size());
        if offset >= end {
            return;
        }
        let whole = offset.div_ceil(PAGE)..end / PAGE;
        let frames = {
            let mut state = self.state.lock();
            if whole.start > whole.end {
                self.zero_in_page(&state, offset, end - offset);
                return;
            }
            self.zero_in_page(&state, offset, whole.start * PAGE - offset);
            self.zero_in_page(&state, whole.end * PAGE, end % PAGE);
            self.detach(&mut state, &whole)
        };
        self.for_each_mapper(|mm| mm.unmap_cache(self, &whole, false));
        drop(frames);
    }

    /// Allocates the pages of `length` bytes from `offset` (fallocate(2)), for files without
    /// backing. The size stays.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn populate(&self, offset: u64, length: u64) -> Result<()> {
        for index in offset / PAGE..offset.saturating_add(length).div_ceil(PAGE) {
            if !self.is_resident(index) {
                let frame = self.frames.allocate_one()?;
                self.insert(&mut self.state.lock(), index, frame);
            }
        }
        Ok(())
    }

    /// Drops all clean pages, so that they are fetched anew: the file was changed elsewhere.
    pub fn invalidate(&self) {
        self.for_each_mapper(|mm| mm.unmap_cache(self, &(0..u64::MAX / PAGE), false));
        if !self.has_backing() {
            return;
        }
        let mut state = self.state.lock();
        state.generation += 1;
        state.pages.remove(&(0..u64::MAX), |_, frame, dirty| {
            // What was mapped again meanwhile keeps its own reference.
            if !dirty {
                self.frames.release(frame);
            }
            !dirty
        });
    }

    /// Replaces the size after the file was changed elsewhere, without judging its pages.
    pub fn set_size(&self, size: u64) {
        if size < self.size() {
            self.truncate(size);
        } else {
            self.size.store(size, Ordering::Release);
        }
    }

    /// Zeroes what mappings may have written between the end of the file and `offset`, before
    /// that becomes part of the file.
    pub(super) fn zero_tail_up_to(&self, offset: u64) {
        let size = self.size();
        if offset > size {
            let length = (PAGE - size % PAGE).min(offset - size);
            self.zero_in_page(&self.state.lock(), size, length);
        }
    }

    /// Zeroes `length` bytes from `offset`, all in one page and only if that starts before them.
    fn zero_in_page(&self, state: &State, offset: u64, length: u64) {
        if length == 0 || length == PAGE {
            return;
        }
        if let Some(frame) = state.pages.get(offset / PAGE) {
            // A cached frame is memory.
            let _ = self.frames.memory().zero(frame.address() + offset % PAGE, length as usize);
        }
    }

    /// Removes the pages in `range` from the cache; the frames live until the result is dropped.
    fn detach(&self, state: &mut State, range: &Range<u64>) -> Vec<FrameRef> {
        state.generation += 1;
        let mut frames = Vec::new();
        state.pages.remove(range, |_, frame, _| {
            frames.push(self.frames.adopt(frame));
            true
        });
        frames
    }
}
