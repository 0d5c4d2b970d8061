//! Changing protection (mprotect(2)).

use super::*;

impl Mm {
    /// Sets the protection of `length` bytes from `address`. With `grow_down` (PROT_GROWSDOWN) it
    /// reaches down to the start of the stack that contains `address`.
    ///
    /// # Errors
    /// EINVAL for an unaligned address, ENOMEM for addresses that are not mapped or too many
    /// areas, EACCES where the mapping does not allow it.
    pub fn protect(
        &self,
        address: u64,
        length: u64,
        protection: Protection,
        grow_down: bool,
    ) -> Result<()> {
        if !address.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let mut range = self.user_range(address, length).ok_or(Errno::ENOMEM)?;
        if range.is_empty() {
            return Ok(());
        }
        let mut state = self.state.write();
        if grow_down {
            let stack = state.vmas.find(address).ok_or(Errno::ENOMEM)?;
            if !stack.flags.contains(VmaFlags::GROWS_DOWN) {
                return Err(Errno::EINVAL);
            }
            range.start = stack.range.start;
        }
        state.check_area_count()?;
        if !state.vmas.covers(&range) {
            return Err(Errno::ENOMEM);
        }
        if !state.vmas.overlapping(&range).all(|vma| vma.allowed.contains(protection)) {
            return Err(Errno::EACCES);
        }
        state.vmas.modify(&range, |vma| vma.protection = protection);
        self.apply_protection(&mut state, &range);
        Ok(())
    }

    /// Brings the page table in `range` in line with the areas.
    fn apply_protection(&self, state: &mut State, range: &Range<u64>) {
        let State { vmas, table, .. } = state;
        for vma in vmas.overlapping(range) {
            let part = vma.range.start.max(range.start)..vma.range.end.min(range.end);
            let clean = clean_protection(vma);
            self.change_protection(table, part, |_, entry| {
                // A private page that nobody else has stays writable; any other one is looked at
                // again when it is written.
                let is_own = entry.is_private()
                    && entry.frame().is_some_and(|frame| self.frames.count(frame) == 1);
                if is_own { vma.protection } else { clean }
            });
        }
    }
}
