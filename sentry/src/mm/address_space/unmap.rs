//! Removing mappings (munmap(2)).

use smallvec::SmallVec;

use super::*;

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
        }
        removed
    }
}
