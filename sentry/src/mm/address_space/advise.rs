//! Advice (madvise(2)).

use super::*;

/// What madvise(2) asks for; advice without effect here is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// MADV_DONTNEED and MADV_FREE: drop the pages; private ones read as zeros again, those of
    /// files come from the file.
    DontNeed,
    /// MADV_DONTFORK.
    DontFork,
    /// MADV_DOFORK.
    DoFork,
    /// MADV_WIPEONFORK.
    WipeOnFork,
    /// MADV_KEEPONFORK.
    KeepOnFork,
    /// MADV_DONTDUMP.
    DontDump,
    /// MADV_DODUMP.
    DoDump,
    /// MADV_REMOVE: make a hole in the file behind a shared mapping.
    Remove,
}

impl Mm {
    /// Applies `advice` to the mapped parts of `length` bytes from `address`.
    ///
    /// # Errors
    /// EINVAL for an unaligned address or advice that does not suit the mapping, ENOMEM if a part
    /// is not mapped (the rest is advised all the same).
    pub fn advise(&self, address: u64, length: u64, advice: Advice) -> Result<()> {
        let range = self.user_range(address, length).ok_or(Errno::EINVAL)?;
        let mut state = self.state.write();
        let is_covered = state.vmas.covers(&range);
        let suits = |vma: &Vma| match advice {
            Advice::DontNeed => !vma.flags.contains(VmaFlags::LOCKED),
            Advice::WipeOnFork => vma.is_private_anonymous(),
            Advice::Remove => !vma.is_private() && vma.protection.contains(Protection::WRITE),
            _ => true,
        };
        if !state.vmas.overlapping(&range).all(suits) {
            return Err(Errno::EINVAL);
        }
        match advice {
            Advice::DontNeed => self.clear_pages(&mut state.table, &range),
            Advice::Remove => {
                let holes = shared_parts(&state.vmas, &range);
                drop(state);
                for (cache, offset, length) in holes {
                    if cache.tracks_writes() {
                        return Err(Errno::EOPNOTSUPP);
                    }
                    cache.punch_hole(offset, length);
                }
            }
            _ => {
                state.check_area_count()?;
                state.vmas.modify(&range, |vma| advice.change_flags(&mut vma.flags));
            }
        }
        if is_covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// The file ranges (cache, offset, length) mapped in `length` bytes from `address`; for
    /// msync(2) and MADV_WILLNEED. With `shared_only`, without private mappings.
    ///
    /// # Errors
    /// EINVAL for an unaligned address, ENOMEM if a part is not mapped.
    pub fn file_ranges(
        &self,
        address: u64,
        length: u64,
        shared_only: bool,
    ) -> Result<alloc::vec::Vec<(Arc<crate::mm::PageCache>, u64, u64)>> {
        if !address.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let range = self.user_range(address, length).ok_or(Errno::ENOMEM)?;
        let state = self.state.read();
        if !state.vmas.covers(&range) {
            return Err(Errno::ENOMEM);
        }
        Ok(file_parts(&state.vmas, &range, |vma| !shared_only || !vma.is_private()))
    }
}

impl Advice {
    fn change_flags(self, flags: &mut VmaFlags) {
        match self {
            Self::DontFork => flags.insert(VmaFlags::DONT_FORK),
            Self::DoFork => flags.remove(VmaFlags::DONT_FORK),
            Self::WipeOnFork => flags.insert(VmaFlags::WIPE_ON_FORK),
            Self::KeepOnFork => flags.remove(VmaFlags::WIPE_ON_FORK),
            Self::DontDump => flags.insert(VmaFlags::DONT_DUMP),
            Self::DoDump => flags.remove(VmaFlags::DONT_DUMP),
            Self::DontNeed | Self::Remove => {}
        }
    }
}

fn shared_parts(
    vmas: &VmaMap,
    range: &Range<u64>,
) -> alloc::vec::Vec<(Arc<crate::mm::PageCache>, u64, u64)> {
    file_parts(vmas, range, |vma| !vma.is_private())
}

fn file_parts(
    vmas: &VmaMap,
    range: &Range<u64>,
    wanted: impl Fn(&Vma) -> bool,
) -> alloc::vec::Vec<(Arc<crate::mm::PageCache>, u64, u64)> {
    vmas.overlapping(range)
        .filter(|vma| wanted(vma))
        .filter_map(|vma| {
            let start = vma.range.start.max(range.start);
            let (cache, offset) = vma.cache_at(start)?;
            Some((cache.clone(), offset, vma.range.end.min(range.end) - start))
        })
        .collect()
}
