//! What of a range is present, and making it so.

use alloc::vec::Vec;

use super::*;
use crate::{mm::PageCache, platform::Access, vfs::OpenFile};

/// Part of a file that is mapped.
pub struct FilePart {
    /// Its pages.
    pub cache: Arc<PageCache>,
    /// The file that was mapped.
    pub file: Option<Arc<OpenFile>>,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}

impl Mm {
    /// Brings in the pages of `length` bytes from `address`, as if they were accessed so; by
    /// default, private writable ones are written and others read.
    ///
    /// # Errors
    /// EINVAL for an unaligned address, ENOMEM for what is not mapped or no memory, EFAULT for
    /// what cannot be accessed so.
    pub async fn populate(&self, address: u64, length: u64, access: Option<Access>) -> Result<()> {
        let start = address & !(PAGE - 1);
        let length = length.saturating_add(address - start);
        let range = self.user_range(start, length).ok_or(Errno::ENOMEM)?;
        let mut page = range.start;
        while page < range.end {
            let Some(access) = self.missing(page, access)? else {
                page += PAGE;
                continue;
            };
            self.fault(page, Some(access)).await.map_err(|fault| match fault {
                Fault::NotMapped | Fault::OutOfMemory => Errno::ENOMEM,
                Fault::NotPermitted | Fault::BusError => Errno::EFAULT,
            })?;
        }
        Ok(())
    }

    /// The access that would bring `page` in; `None` if it is there.
    fn missing(&self, page: u64, access: Option<Access>) -> Result<Option<Access>> {
        let state = self.state.read();
        let vma = state.vmas.find(page).ok_or(Errno::ENOMEM)?;
        let writes = vma.is_private() && vma.protection.contains(Protection::WRITE);
        let access = access.unwrap_or(if writes { Access::Write } else { Access::Read });
        let entry = state.table.get(page);
        let present = match access {
            Access::Write => entry.writable_address(),
            Access::Read | Access::Execute => entry.readable_address(),
        };
        Ok(present.is_none().then_some(access))
    }

    /// For each of `count` pages from `address` 1 if it is in memory, mapped or cached, else 0
    /// (mincore(2)).
    ///
    /// # Errors
    /// ENOMEM if a page is not mapped.
    pub fn resident_pages(&self, address: u64, count: u64) -> Result<Vec<u8>> {
        let length = count.checked_mul(PAGE).ok_or(Errno::ENOMEM)?;
        let range = self.user_range(address, length).ok_or(Errno::ENOMEM)?;
        let state = self.state.read();
        let is_resident = |page| {
            let vma = state.vmas.find(page)?;
            let cached = || {
                let found = vma.cache_at(page);
                found.is_some_and(|(cache, offset)| cache.is_resident(offset / PAGE))
            };
            Some(u8::from(!state.table.get(page).is_empty() || cached()))
        };
        range.step_by(PAGE_SIZE).map(|page| is_resident(page).ok_or(Errno::ENOMEM)).collect()
    }

    /// The parts of files that are mapped in `length` bytes from `address`; with `shared_only`,
    /// without private mappings.
    ///
    /// # Errors
    /// EINVAL for an unaligned address, ENOMEM if a part is not mapped.
    pub fn file_parts(
        &self,
        address: u64,
        length: u64,
        shared_only: bool,
    ) -> Result<Vec<FilePart>> {
        if !address.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let range = self.user_range(address, length).ok_or(Errno::ENOMEM)?;
        let state = self.state.read();
        if !state.vmas.covers(&range) {
            return Err(Errno::ENOMEM);
        }
        Ok(state.file_parts(&range, shared_only))
    }
}

impl State {
    pub(super) fn file_parts(&self, range: &Range<u64>, shared_only: bool) -> Vec<FilePart> {
        let part = |vma: &Vma| {
            let part = vma.slice(range);
            let length = part.range.end - part.range.start;
            match part.source {
                VmaSource::Cache { cache, offset, file } => {
                    Some(FilePart { cache, file, offset, length })
                }
                VmaSource::Anonymous | VmaSource::Frames { .. } => None,
            }
        };
        self.vmas
            .overlapping(range)
            .filter(|vma| !shared_only || !vma.is_private())
            .filter_map(part)
            .collect()
    }
}
