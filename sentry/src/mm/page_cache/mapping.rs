//! What page faults and address spaces need of a cached file.

use alloc::vec::Vec;

use super::*;
use crate::errno::Errno;

/// Why a page cannot be mapped now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageMiss {
    /// It lies past the end of the file: SIGBUS.
    PastEnd,
    /// It has to be fetched.
    NotResident,
    /// No frame for it.
    OutOfMemory,
}

impl From<Errno> for PageMiss {
    fn from(_: Errno) -> Self {
        Self::OutOfMemory
    }
}

impl PageCache {
    /// Page `index`, to be mapped. A hole of a file without backing is filled.
    ///
    /// # Errors
    /// [`PageMiss`].
    pub fn page_for_fault(&self, index: u64) -> Result<FrameRef, PageMiss> {
        let mut state = self.state.lock();
        if index >= self.size().div_ceil(PAGE) {
            return Err(PageMiss::PastEnd);
        }
        match self.reference(&state, index) {
            Some(frame) => Ok(frame),
            None if self.has_backing() => Err(PageMiss::NotResident),
            None => {
                let frame = self.frames.allocate_one()?;
                Ok(self.insert(&mut state, index, frame))
            }
        }
    }

    /// Fills the holes in `range` with zeros as far as memory is free, in one run if all of it is
    /// a hole. Only for memory that has no other view: in a file, holes can be told from zeros.
    pub fn fill_holes(&self, range: &Range<u64>) {
        let mut state = self.state.lock();
        let range = range.start..range.end.min(self.size().div_ceil(PAGE));
        let pages = range.end.saturating_sub(range.start);
        if pages.is_power_of_two() && state.pages.next_resident(&range).is_none() {
            let order = u8::try_from(pages.trailing_zeros()).unwrap_or(u8::MAX);
            if let Ok(run) = self.frames.allocate_free(order) {
                range
                    .zip(run)
                    .for_each(|(index, frame)| drop(self.insert(&mut state, index, frame)));
                return;
            }
        }
        for index in range {
            if state.pages.get(index).is_none() {
                let Ok(run) = self.frames.allocate_free(0) else { return };
                self.insert(&mut state, index, run.into_first());
            }
        }
    }

    /// Calls `take` for each resident page in `range`; it says whether it took over a reference to
    /// the frame, which was added for it.
    pub fn for_each_resident(&self, range: &Range<u64>, mut take: impl FnMut(u64, Frame) -> bool) {
        let state = self.state.lock();
        let end = range.end.min(self.size().div_ceil(PAGE));
        for index in range.start..end {
            let Some(frame) = state.pages.get(index) else { continue };
            self.frames.retain(frame);
            if !take(index, frame) {
                self.frames.release(frame);
            }
        }
    }

    /// Whether writes through mappings must be noticed, because they have to be written back.
    pub fn tracks_writes(&self) -> bool {
        self.has_backing()
    }

    /// Notes that page `index` is about to be written through a mapping.
    pub fn mark_dirty(&self, index: u64) {
        self.state.lock().pages.mark_dirty(index);
    }

    /// Registers an address space that maps the file, so that truncation reaches it.
    pub(in crate::mm) fn add_mapper(&self, space: AddressSpaceId, mm: Weak<Mm>) {
        self.state.lock().mappers.insert(space.0, mm);
    }

    /// Forgets an address space that maps the file no longer.
    pub(in crate::mm) fn remove_mapper(&self, space: AddressSpaceId) {
        self.state.lock().mappers.remove(&space.0);
    }

    /// Calls `visit` for each address space that may map the file.
    pub(super) fn for_each_mapper(&self, visit: impl Fn(&Mm)) {
        let mappers: Vec<Arc<Mm>> =
            self.state.lock().mappers.values().filter_map(Weak::upgrade).collect();
        mappers.iter().for_each(|mm| visit(mm));
    }
}
