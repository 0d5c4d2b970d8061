//! The program break (brk(2)).

use super::*;

impl Mm {
    /// Sets where the heap starts; the loader does so, once.
    pub fn set_heap_start(&self, address: u64) {
        let layout = &mut self.state.write().layout;
        layout.heap_start = address.next_multiple_of(PAGE);
        layout.heap_end = layout.heap_start;
    }

    /// Moves the end of the heap to `address` if possible; returns where it is then.
    pub fn brk(&self, address: u64) -> u64 {
        let mut state = self.state.write();
        let Layout { heap_start, heap_end, .. } = state.layout;
        if address < heap_start || heap_start == 0 {
            return heap_end;
        }
        let (Some(old), Some(new)) = (page_align(heap_end), page_align(address)) else {
            return heap_end;
        };
        let mut removed = smallvec::SmallVec::<[Vma; 2]>::new();
        if new < old {
            removed = self.unmap_locked(&mut state, &(new..old));
        } else if new > old && self.extend_heap(&mut state, old..new).is_err() {
            return heap_end;
        }
        state.layout.heap_end = address;
        drop(state);
        drop(removed);
        address
    }

    fn extend_heap(&self, state: &mut State, range: Range<u64>) -> Result<()> {
        let length = range.end - range.start;
        let request =
            MapRequest::new(length, Protection::READ | Protection::WRITE, MapSource::Anonymous);
        state.check_limits(&request, length, self.frames.total_frames())?;
        let with_guard = range.start..range.end.saturating_add(PAGE);
        if range.end > self.address_limit() || !state.vmas.is_free(&with_guard) {
            return Err(Errno::ENOMEM);
        }
        state.vmas.insert(Vma {
            range,
            protection: request.protection,
            allowed: request.allowed,
            flags: VmaFlags::empty(),
            source: VmaSource::Anonymous,
            name: Some("[heap]"),
        });
        Ok(())
    }
}
