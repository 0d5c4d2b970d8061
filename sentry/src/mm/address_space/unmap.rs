//! Removing mappings (munmap(2)).

use smallvec::SmallVec;

use super::*;
use crate::mm::page_table::LEAF_SPAN;

impl Mm {
    /// Unmaps `length` bytes from `address`; parts that are not mapped do not matter.
    ///
    /// # Errors
    /// EINVAL for an unaligned address, a length of 0, or addresses that are not user's; ENOMEM if
    /// that made too many areas.
    pub fn unmap(&self, address: u64, length: u64) -> Result<()> {
        let range = self.user_range(address, length).ok_or(Errno::EINVAL)?;
        if range.is_empty() {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.write();
        state.check_area_count()?;
        let removed = self.unmap_locked(&mut state, &range);
        drop(state);
        drop(removed);
        Ok(())
    }

    /// Unmaps everything, for a task that ends while others may look at its address space.
    pub fn unmap_all(&self) {
        let everything = 0..self.address_limit();
        let mut state = self.state.write();
        let removed = self.unmap_locked(&mut state, &everything);
        drop(state);
        drop(removed);
    }

    /// Unmaps `range`. The areas must be dropped without the lock.
    pub(super) fn unmap_locked(&self, state: &mut State, range: &Range<u64>) -> SmallVec<[Vma; 2]> {
        let removed = state.vmas.remove(range);
        if !removed.is_empty() {
            self.clear_pages(&mut state.table, range);
            self.free_tables(state, range);
        }
        removed
    }

    /// Frees the leaf tables around `range` that map nothing but the gap it is in now.
    fn free_tables(&self, state: &mut State, range: &Range<u64>) {
        let below = state.vmas.last_below(range.start).map_or(0, |vma| vma.range.end);
        let above = state.vmas.next_above(range.end - 1).map(|vma| vma.range.start);
        let gap = below..above.unwrap_or(self.address_limit());
        let near = range.start.saturating_sub(LEAF_SPAN)..range.end.saturating_add(LEAF_SPAN);
        let gap = gap.start.max(near.start)..gap.end.min(near.end);
        let tables = state.table.detach_tables(gap.clone());
        if !tables.is_empty() {
            // A processor may have cached the way to a table even though it mapped nothing.
            self.platform.unmap(self.space, gap.start, page_count(&gap));
        }
    }
}
