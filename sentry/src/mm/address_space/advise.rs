//! Advice (madvise(2)).

use super::*;

/// What madvise(2) asks for; advice without effect here is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// MADV_DONTNEED: drop the pages; private ones read as zeros again, those of files come from
    /// the file.
    DontNeed,
    /// MADV_DONTNEED_LOCKED: the same, locked or not.
    DontNeedLocked,
    /// MADV_FREE: the same for private anonymous memory, where Linux would wait for pressure.
    Free,
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
    /// is not mapped (the rest is advised all the same), EOPNOTSUPP for a hole in a file that is
    /// kept elsewhere.
    pub fn advise(&self, address: u64, length: u64, advice: Advice) -> Result<()> {
        let range = self.user_range(address, length).ok_or(Errno::EINVAL)?;
        let mut state = self.state.write();
        let is_covered = state.vmas.covers(&range);
        if !state.vmas.overlapping(&range).all(|vma| advice.suits(vma)) {
            return Err(Errno::EINVAL);
        }
        match advice {
            Advice::DontNeed | Advice::DontNeedLocked | Advice::Free => {
                self.clear_pages(&mut state.table, &range);
            }
            Advice::Remove => {
                let parts = state.file_parts(&range, true);
                drop(state);
                punch_holes(&parts)?;
            }
            _ => {
                state.check_area_count()?;
                state.vmas.modify(&range, |vma| advice.change_flags(&mut vma.flags));
            }
        }
        if is_covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}

fn punch_holes(parts: &[FilePart]) -> Result<()> {
    if parts.iter().any(|part| part.cache.tracks_writes()) {
        return Err(Errno::EOPNOTSUPP);
    }
    parts.iter().for_each(|part| part.cache.punch_hole(part.offset, part.length));
    Ok(())
}

impl Advice {
    const fn suits(self, vma: &Vma) -> bool {
        match self {
            Self::DontNeed => !vma.flags.contains(VmaFlags::LOCKED),
            Self::Free | Self::WipeOnFork => vma.is_private_anonymous(),
            Self::Remove => !vma.is_private() && vma.protection.contains(Protection::WRITE),
            _ => true,
        }
    }

    fn change_flags(self, flags: &mut VmaFlags) {
        match self {
            Self::DontFork => flags.insert(VmaFlags::DONT_FORK),
            Self::DoFork => flags.remove(VmaFlags::DONT_FORK),
            Self::WipeOnFork => flags.insert(VmaFlags::WIPE_ON_FORK),
            Self::KeepOnFork => flags.remove(VmaFlags::WIPE_ON_FORK),
            Self::DontDump => flags.insert(VmaFlags::DONT_DUMP),
            Self::DoDump => flags.remove(VmaFlags::DONT_DUMP),
            Self::DontNeed | Self::DontNeedLocked | Self::Free | Self::Remove => {}
        }
    }
}
