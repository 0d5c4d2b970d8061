//! Locked memory (mlock(2)): accounting only, for nothing is ever paged out.

use super::*;

impl Mm {
    /// Marks the pages of `length` bytes from `address` as locked.
    ///
    /// # Errors
    /// EINVAL if the range is no range, ENOMEM if a part is not mapped or more than `limit` bytes
    /// would be locked.
    pub fn lock(&self, address: u64, length: u64, limit: u64) -> Result<()> {
        let range = self.containing_pages(address, length)?;
        let mut state = self.state.write();
        if !state.vmas.covers(&range) {
            return Err(Errno::ENOMEM);
        }
        let unlocked = |vma: &&Vma| !vma.flags.contains(VmaFlags::LOCKED);
        let added = state
            .vmas
            .overlapping(&range)
            .filter(unlocked)
            .map(|vma| vma.range.end.min(range.end) - vma.range.start.max(range.start));
        let total = added.fold(state.locked_bytes(), u64::saturating_add);
        if total > limit {
            return Err(Errno::ENOMEM);
        }
        state.check_area_count()?;
        state.vmas.modify(&range, |vma| vma.flags |= VmaFlags::LOCKED);
        Ok(())
    }

    /// Undoes [`Self::lock`].
    ///
    /// # Errors
    /// EINVAL if the range is no range, ENOMEM if a part is not mapped.
    pub fn unlock(&self, address: u64, length: u64) -> Result<()> {
        let range = self.containing_pages(address, length)?;
        let mut state = self.state.write();
        if !state.vmas.covers(&range) {
            return Err(Errno::ENOMEM);
        }
        state.check_area_count()?;
        state.vmas.modify(&range, |vma| vma.flags -= VmaFlags::LOCKED);
        Ok(())
    }

    /// Locks what is mapped (`current`), and what will be (`future`).
    ///
    /// # Errors
    /// ENOMEM if more than `limit` bytes would be locked.
    pub fn lock_all(&self, current: bool, future: bool, limit: u64) -> Result<()> {
        let everything = 0..self.address_limit();
        let mut state = self.state.write();
        if current {
            if state.vmas.pages() * PAGE > limit {
                return Err(Errno::ENOMEM);
            }
            state.vmas.modify(&everything, |vma| vma.flags |= VmaFlags::LOCKED);
        }
        state.lock_future = future;
        Ok(())
    }

    /// Undoes all locking.
    pub fn unlock_all(&self) {
        let everything = 0..self.address_limit();
        let mut state = self.state.write();
        state.vmas.modify(&everything, |vma| vma.flags -= VmaFlags::LOCKED);
        state.lock_future = false;
    }

    /// The pages that contain `length` bytes from `address`.
    fn containing_pages(&self, address: u64, length: u64) -> Result<Range<u64>> {
        let start = address & !(PAGE - 1);
        let length = length.checked_add(address - start).ok_or(Errno::EINVAL)?;
        self.user_range(start, length).ok_or(Errno::ENOMEM)
    }
}

impl State {
    fn locked_bytes(&self) -> u64 {
        self.pages_with(|vma| vma.flags.contains(VmaFlags::LOCKED)) * PAGE
    }
}
