//! Telling the platform what changed, in runs as large as possible.

use super::*;
use crate::memory::Frame;

/// Contiguous pages mapped to contiguous frames.
struct Run {
    range: Range<u64>,
    first: Frame,
    protection: Protection,
}

impl Run {
    /// Whether the page at `address` continues the run.
    fn takes(&self, address: u64, frame: Frame, protection: Protection) -> bool {
        let pages = (address - self.range.start) / PAGE;
        self.range.end == address
            && self.protection == protection
            && frame.address() == self.first.address() + pages * PAGE
    }
}

impl Mm {
    /// Tells the platform of the accessible pages in `window` that it was not told of yet, and of
    /// the one at `page` in any case. All are in `vma`.
    pub(super) fn announce(&self, table: &mut PageTable, vma: &Vma, window: Range<u64>, page: u64) {
        let map_run = |run| self.map_run(run, vma.is_private());
        let mut run: Option<Run> = None;
        table.update(window, |address, entry| {
            let protection = entry.protection();
            let Some(frame) = entry.frame() else { return entry };
            if protection.is_empty() || (entry.is_announced() && address != page) {
                return entry;
            }
            match &mut run {
                Some(run) if run.takes(address, frame, protection) => run.range.end += PAGE,
                _ => {
                    let new = Run { range: address..address + PAGE, first: frame, protection };
                    map_run(run.replace(new));
                }
            }
            entry.with_announced(true)
        });
        map_run(run);
    }

    fn map_run(&self, run: Option<Run>, is_private: bool) {
        if let Some(run) = run {
            let pages = page_count(&run.range);
            let is_text = is_private && run.protection.contains(Protection::EXECUTE);
            let hint = if is_text { Protection::PRIVATE } else { Protection::empty() };
            let protection = run.protection | hint;
            self.platform.map(self.space, run.range.start, run.first, pages, protection);
        }
    }

    /// Gives each page in `range` the protection that `new` says, and tells the platform. Pages
    /// that are not accessible become so silently; the platform learns of them when they fault.
    pub(super) fn change_protection(
        &self,
        table: &mut PageTable,
        range: Range<u64>,
        new: impl Fn(u64, Entry) -> Protection,
    ) {
        let mut run: Option<(Range<u64>, Protection)> = None;
        table.update(range, |address, entry| {
            let (old, protection) = (entry.protection(), new(address, entry));
            if protection == old {
                // A run may reach over holes, but not over pages with another protection.
                let fits = run.as_ref().is_none_or(|(_, same)| old.is_empty() || *same == old);
                if !fits {
                    self.protect_run(run.take());
                }
                return entry;
            }
            if old.is_empty() {
                return entry.with_protection(protection).with_announced(false);
            }
            match &mut run {
                Some((pages, same)) if *same == protection => pages.end = address + PAGE,
                _ => self.protect_run(run.replace((address..address + PAGE, protection))),
            }
            entry.with_protection(protection)
        });
        self.protect_run(run);
    }

    fn protect_run(&self, run: Option<(Range<u64>, Protection)>) {
        if let Some((range, protection)) = run {
            // What is mapped can be read, so a platform can tell what a forbidden access was.
            if protection.is_empty() {
                self.platform.unmap(self.space, range.start, page_count(&range));
            } else {
                self.platform.protect(self.space, range.start, page_count(&range), protection);
            }
        }
    }

    /// Empties the page table in `range`. The platform is told before the frames are freed.
    pub(super) fn clear_pages(&self, table: &mut PageTable, range: &Range<u64>) {
        if let Some(seen) = self.hide(table, range) {
            table.clear(seen);
        }
    }

    /// Takes all access to the pages in `range` away; returns the part where there were any.
    pub(super) fn hide(&self, table: &mut PageTable, range: &Range<u64>) -> Option<Range<u64>> {
        let mut seen: Option<Range<u64>> = None;
        table.update(range.clone(), |address, entry| {
            let start = seen.as_ref().map_or(address, |seen| seen.start);
            seen = Some(start..address + PAGE);
            entry.with_protection(Protection::empty())
        });
        let seen = seen?;
        self.platform.unmap(self.space, seen.start, page_count(&seen));
        Some(seen)
    }
}
