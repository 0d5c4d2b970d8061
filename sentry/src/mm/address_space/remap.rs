//! Moving and resizing mappings (mremap(2)).

use smallvec::SmallVec;

use super::*;

/// Where a mapping may go when it is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemapTarget {
    /// It stays.
    InPlace,
    /// It may move (MREMAP_MAYMOVE).
    Anywhere,
    /// It moves here, replacing what is there (MREMAP_FIXED).
    Fixed(u64),
}

impl Mm {
    /// Resizes the mapping of `old_length` bytes at `address` to `new_length` bytes, moving it if
    /// need be; returns where it is. With `keep_old` (MREMAP_DONTUNMAP) the pages move, but the
    /// old area stays, empty.
    ///
    /// # Errors
    /// EINVAL for unaligned numbers or overlapping ranges, EFAULT if the old range is not one
    /// mapping, ENOMEM.
    pub fn remap(
        &self,
        address: u64,
        old_length: u64,
        new_length: u64,
        target: RemapTarget,
        keep_old: bool,
    ) -> Result<u64> {
        let old = self.user_range(address, old_length).ok_or(Errno::EINVAL)?;
        let length = page_align(new_length).filter(|&length| length > 0).ok_or(Errno::EINVAL)?;
        // An old length of 0 would map a shared mapping once more; not supported.
        if old.is_empty() || (keep_old && length != old.end - old.start) {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.write();
        let vma = state.vmas.find(address).ok_or(Errno::EFAULT)?;
        if vma.range.end < old.end {
            return Err(Errno::EFAULT);
        }
        let part = vma.slice(&old);
        if !matches!(target, RemapTarget::Fixed(_)) && !keep_old {
            if length <= old.end - old.start {
                let removed = self.unmap_locked(&mut state, &(old.start + length..old.end));
                drop(state);
                drop(removed);
                return Ok(address);
            }
            if self.extend(&mut state, &part, length)? {
                return Ok(address);
            }
        }
        let new = match target {
            RemapTarget::InPlace => return Err(Errno::ENOMEM),
            RemapTarget::Anywhere => self.place(&state, Placement::Anywhere(0), length)?,
            RemapTarget::Fixed(start) => self.fixed_target(start, length, &old)?,
        };
        let (start, removed) = (new.start, self.relocate(&mut state, part, new, keep_old)?);
        drop(state);
        drop(removed);
        Ok(start)
    }

    fn fixed_target(&self, start: u64, length: u64, old: &Range<u64>) -> Result<Range<u64>> {
        let range = self.user_range(start, length).ok_or(Errno::EINVAL)?;
        let overlaps = range.start < old.end && old.start < range.end;
        if overlaps || start < LOWEST_ADDRESS { Err(Errno::EINVAL) } else { Ok(range) }
    }

    /// Extends `part` to `length` bytes where it is; false if there is no room.
    fn extend(&self, state: &mut State, part: &Vma, length: u64) -> Result<bool> {
        let Some(end) = part.range.start.checked_add(length) else { return Ok(false) };
        let added = part.range.end..end;
        if end > self.address_limit() || !state.vmas.is_free(&added) {
            return Ok(false);
        }
        state.check_growth(part, added.end - added.start)?;
        let whole = Vma { range: part.range.start..end, ..part.clone() };
        state.vmas.insert(whole.slice(&added));
        Ok(true)
    }

    /// Moves `part` and its pages to `new`. The areas must be dropped without the lock.
    fn relocate(
        &self,
        state: &mut State,
        part: Vma,
        new: Range<u64>,
        keep_old: bool,
    ) -> Result<SmallVec<[Vma; 4]>> {
        let old = part.range.clone();
        state.check_growth(&part, (new.end - new.start).saturating_sub(old.end - old.start))?;
        state.check_area_count()?;
        let moved = old.start..old.end.min(old.start + (new.end - new.start));
        let target = |address: u64| new.start + (address - old.start);
        for address in moved.clone().step_by(PAGE_SIZE) {
            if !state.table.get(address).is_empty() {
                state.table.prepare(target(address))?;
            }
        }
        let mut removed: SmallVec<[Vma; 4]> = SmallVec::new();
        removed.extend(self.unmap_locked(state, &new));
        self.hide(&mut state.table, &old);
        for address in moved.step_by(PAGE_SIZE) {
            let entry = state.table.get(address);
            let Some(frame) = state.table.take(address) else { continue };
            // Writes are noticed anew; who owns the page alone gets it back without a copy.
            let protection = clean_protection(&part);
            let entry = Entry::new(frame.into_frame(), protection, entry.is_private());
            state.table.set(target(address), entry)?;
        }
        state.table.clear(old.clone());
        if !keep_old {
            removed.extend(state.vmas.remove(&old));
        }
        state.vmas.insert(Vma { range: new, ..part });
        Ok(removed)
    }
}
