//! What page caches tell the address spaces that map them.

use smallvec::SmallVec;

use super::*;
use crate::mm::PageCache;

impl Mm {
    /// Unmaps the pages `pages` of the file of `cache`; with `copies`, private copies of them too.
    pub(in crate::mm) fn unmap_cache(&self, cache: &PageCache, pages: &Range<u64>, copies: bool) {
        let mut state = self.state.write();
        let State { vmas, table, .. } = &mut *state;
        for (range, _) in mapped_ranges(vmas, cache, pages) {
            if copies {
                self.clear_pages(table, &range);
                continue;
            }
            let mut from_file: SmallVec<[u64; 16]> = SmallVec::new();
            table.for_each(range, |address, entry| {
                if !entry.is_private() {
                    from_file.push(address);
                }
            });
            for address in from_file {
                self.clear_pages(table, &(address..address + PAGE));
            }
        }
    }

    /// Makes the mappings of the pages `pages` of the file of `cache` read-only, so that the next
    /// write is noticed.
    pub(in crate::mm) fn protect_cache(&self, cache: &PageCache, pages: &Range<u64>) {
        let mut state = self.state.write();
        let State { vmas, table, .. } = &mut *state;
        for (range, is_private) in mapped_ranges(vmas, cache, pages) {
            if !is_private {
                self.change_protection(table, range, |_, entry| {
                    entry.protection() - Protection::WRITE
                });
            }
        }
    }
}

/// Where the pages `pages` of the file of `cache` are mapped, and whether privately.
fn mapped_ranges(
    vmas: &VmaMap,
    cache: &PageCache,
    pages: &Range<u64>,
) -> SmallVec<[(Range<u64>, bool); 4]> {
    let ranges = vmas.iter().filter_map(|vma| {
        let VmaSource::Cache { cache: mapped, offset, .. } = &vma.source else { return None };
        if !core::ptr::eq(Arc::as_ptr(mapped), cache) {
            return None;
        }
        let first = offset / PAGE;
        let skipped = pages.start.saturating_sub(first).saturating_mul(PAGE);
        let end = pages.end.saturating_sub(first).saturating_mul(PAGE);
        let start = vma.range.start.saturating_add(skipped);
        let end = vma.range.start.saturating_add(end).min(vma.range.end);
        (start < end).then(|| (start..end, vma.is_private()))
    });
    ranges.collect()
}
