//! Page faults: bringing in what an area is meant to hold.

use super::*;
use crate::{
    memory::{Frame, FrameRun},
    mm::{PageCache, page_cache::PageMiss},
    platform::Access,
};

/// A fault that user code is to blame for, or that cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is mapped there: SIGSEGV, SEGV_MAPERR.
    NotMapped,
    /// The mapping forbids the access: SIGSEGV, SEGV_ACCERR.
    NotPermitted,
    /// The page lies past the end of its file, or cannot be read: SIGBUS, BUS_ADRERR.
    BusError,
    /// There is no memory for it: the process is to be killed (SIGKILL).
    OutOfMemory,
}

/// Why a fault was not resolved at once.
pub enum TryFault {
    /// It cannot be.
    Failed(Fault),
    /// Part of a file has to be fetched first.
    Fetch {
        /// The file.
        cache: Arc<PageCache>,
        /// Offset in it.
        offset: u64,
    },
}

impl From<Fault> for TryFault {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl From<Errno> for TryFault {
    fn from(_: Errno) -> Self {
        Self::Failed(Fault::OutOfMemory)
    }
}

/// Bytes fetched around a fault in a file: what Linux reads around one (VM_READAHEAD_PAGES).
const FETCH_LENGTH: u64 = 32 * PAGE;

/// A fault being served.
struct Request<'a> {
    vma: &'a Vma,
    page: u64,
    /// Pages around it that may be brought in with it; all in the area and in one leaf table.
    window: Range<u64>,
    is_write: bool,
}

impl Mm {
    /// Serves a fault of user code at `address`. When it returns `Ok`, the access can be repeated;
    /// it may fault again.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn fault(&self, address: u64, access: Option<Access>) -> Result<(), Fault> {
        loop {
            match self.try_fault(address, access) {
                Ok(()) => return Ok(()),
                Err(TryFault::Failed(Fault::OutOfMemory)) if self.frames.relieve().await => {}
                Err(TryFault::Failed(fault)) => return Err(fault),
                Err(TryFault::Fetch { cache, offset }) => {
                    let start = offset - offset % FETCH_LENGTH;
                    let fetched = cache.fetch(start, FETCH_LENGTH as usize).await;
                    fetched.map_err(|errno| match errno {
                        Errno::ENOMEM => Fault::OutOfMemory,
                        _ => Fault::BusError,
                    })?;
                }
            }
        }
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// [`TryFault`].
    pub fn try_fault(&self, address: u64, access: Option<Access>) -> Result<(), TryFault> {
        if address >= self.address_limit() {
            return Err(Fault::NotMapped.into());
        }
        let page = address & !(PAGE - 1);
        let mut state = self.state.write();
        if state.vmas.find(page).is_none() {
            state.grow_stack(page)?;
        }
        let State { vmas, table, windows, .. } = &mut *state;
        let vma = vmas.find(page).ok_or(Fault::NotMapped)?;
        let entry = table.get(page);
        let access = access.unwrap_or_else(|| likely_access(vma, entry));
        if !vma.permits(access) {
            return Err(Fault::NotPermitted.into());
        }
        let around = self.platform.fault_around();
        let is_file = matches!(vma.source, VmaSource::Cache { .. }) && !vma.is_shared_anonymous();
        let pages = if is_file { around.file } else { around.zeros };
        let window = windows.choose(page, &vma.range, pages);
        let request = Request { vma, page, window, is_write: access == Access::Write };
        self.serve(table, &request, entry)
    }

    fn serve(
        &self,
        table: &mut PageTable,
        request: &Request<'_>,
        entry: Entry,
    ) -> Result<(), TryFault> {
        let Request { page, .. } = *request;
        if entry.is_empty() {
            table.prepare(page)?;
            match &request.vma.source {
                VmaSource::Anonymous => self.bring_in_zeros(table, request)?,
                VmaSource::Cache { .. } => self.bring_in_file(table, request)?,
                VmaSource::Frames { frames, offset } => {
                    let first = (offset + (page - request.vma.range.start)) / PAGE;
                    let frame = usize::try_from(first).ok().and_then(|index| frames.get(index));
                    let frame = frame.ok_or(Fault::BusError)?.clone().into_frame();
                    table.set(page, Entry::new(frame, clean_protection(request.vma), false))?;
                }
            }
        } else if request.is_write && entry.writable_address().is_none() {
            self.make_writable(table, request, entry)?;
        }
        self.announce(table, request.vma, request.window.clone(), page);
        Ok(())
    }

    /// Private zeros: contiguous frames for the whole window if it is empty and there are some.
    /// Only the page that is needed is worth what caches hold.
    fn bring_in_zeros(&self, table: &mut PageTable, request: &Request<'_>) -> Result<()> {
        let Request { vma, page, window, .. } = request;
        let mut is_empty = true;
        table.for_each(window.clone(), |_, _| is_empty = false);
        let pages = page_count(window);
        let entry = |frame| Entry::new(frame, vma.protection, true);
        if is_empty && pages.is_power_of_two() {
            let order = pages.trailing_zeros();
            if let Ok(run) = self.frames.allocate_free(u8::try_from(order).unwrap_or(u8::MAX)) {
                return set_run(table, window.start, run, entry);
            }
        }
        table.set(*page, entry(self.frames.allocate_one()?.into_frame()))?;
        for address in window.clone().step_by(PAGE_SIZE) {
            if table.get(address).is_empty()
                && let Ok(run) = self.frames.allocate_free(0)
            {
                table.set(address, entry(run.into_first().into_frame()))?;
            }
        }
        Ok(())
    }

    /// A page of a file, and the cached ones around it.
    fn bring_in_file(&self, table: &mut PageTable, request: &Request<'_>) -> Result<(), TryFault> {
        let Request { vma, page, ref window, is_write } = *request;
        let Some((cache, offset)) = vma.cache_at(page) else { return Ok(()) };
        let index = offset / PAGE;
        if vma.is_shared_anonymous()
            && let Some((_, start)) = vma.cache_at(window.start)
        {
            cache.fill_holes(&(start / PAGE..start / PAGE + page_count(window) as u64));
        }
        let frame = cache.page_for_fault(index).map_err(|miss| match miss {
            PageMiss::PastEnd => Fault::BusError.into(),
            PageMiss::OutOfMemory => Fault::OutOfMemory.into(),
            PageMiss::NotResident => TryFault::Fetch { cache: cache.clone(), offset },
        })?;
        if is_write && vma.is_private() {
            self.set_copy(table, vma, page, frame.frame())?;
            self.bring_in_neighbours(table, vma, window);
            self.copy_neighbours(table, vma, page);
            return Ok(());
        }
        let mut protection = clean_protection(vma);
        if is_write {
            cache.mark_dirty(index);
            protection = vma.protection;
        }
        table.set(page, Entry::new(frame.into_frame(), protection, false))?;
        self.bring_in_neighbours(table, vma, window);
        Ok(())
    }

    /// Maps the pages in `window` that are cached and not mapped yet.
    fn bring_in_neighbours(&self, table: &mut PageTable, vma: &Vma, window: &Range<u64>) {
        let Some((cache, offset)) = vma.cache_at(window.start) else { return };
        let first = offset / PAGE;
        let pages = page_count(window) as u64;
        if pages == 1 {
            return;
        }
        cache.for_each_resident(&(first..first + pages), |index, frame| {
            let address = window.start + (index - first) * PAGE;
            let entry = Entry::new(frame, clean_protection(vma), false);
            table.get(address).is_empty() && table.set(address, entry).is_ok()
        });
    }

    /// A write to a page that is mapped, but not writable yet.
    fn make_writable(
        &self,
        table: &mut PageTable,
        request: &Request<'_>,
        entry: Entry,
    ) -> Result<(), TryFault> {
        let Request { vma, page, ref window, .. } = *request;
        let frame = entry.frame().ok_or(Fault::OutOfMemory)?;
        if !vma.is_private() {
            if let Some((cache, offset)) = vma.cache_at(page) {
                cache.mark_dirty(offset / PAGE);
            }
            table.update(page..page + PAGE, |_, entry| entry.with_protection(vma.protection));
            return Ok(());
        }
        if entry.is_private() && self.frames.count(frame) == 1 {
            self.take_over(table, vma, window);
            return Ok(());
        }
        self.set_copy(table, vma, page, frame)?;
        self.copy_neighbours(table, vma, page);
        Ok(())
    }

    /// Copies also the file's pages that are mapped beside `page`, as far as the platform finds that
    /// worthwhile and there is memory: who writes to one page of a file's data writes to the next.
    fn copy_neighbours(&self, table: &mut PageTable, vma: &Vma, page: u64) {
        let length = self.platform.fault_around().copies as u64 * PAGE;
        let start = page & !(length - 1);
        let window = start.max(vma.range.start)..(start + length).min(vma.range.end);
        for address in window.step_by(PAGE_SIZE) {
            let entry = table.get(address);
            if let Some(frame) = entry.frame()
                && !entry.is_private()
                && self.set_copy(table, vma, address, frame).is_err()
            {
                return;
            }
        }
    }

    /// Makes the pages in `window` writable that nobody else refers to any more.
    fn take_over(&self, table: &mut PageTable, vma: &Vma, window: &Range<u64>) {
        table.update(window.clone(), |_, entry| {
            let is_own = entry.is_private()
                && entry.frame().is_some_and(|frame| self.frames.count(frame) == 1);
            if is_own && entry.protection() != vma.protection {
                entry.with_protection(vma.protection).with_announced(false)
            } else {
                entry
            }
        });
    }

    /// Maps a private copy of `original` at `page`.
    fn set_copy(&self, table: &mut PageTable, vma: &Vma, page: u64, original: Frame) -> Result<()> {
        let copy = self.frames.allocate_for_overwrite(0)?.into_first();
        let memory = self.frames.memory();
        let copied = memory.copy(original.address(), copy.address(), PAGE_SIZE);
        copied.map_err(|_| Errno::ENOMEM)?;
        let entry = Entry::new(copy.into_frame(), vma.protection, true);
        if let Some(old) = table.set(page, entry)? {
            // No executor may go on reading the old frame.
            self.platform.unmap(self.space, page, 1);
            drop(old);
        }
        Ok(())
    }
}

impl State {
    /// Extends the stack above `page`, if there is one that may grow down to it.
    fn grow_stack(&mut self, page: u64) -> Result<(), Fault> {
        let stack = self.vmas.next_above(page).ok_or(Fault::NotMapped)?;
        let size = stack.range.end - page;
        let start = stack.range.start;
        if !stack.flags.contains(VmaFlags::GROWS_DOWN) || size > self.limits.stack {
            return Err(Fault::NotMapped);
        }
        let floor = page.saturating_sub(crate::mm::vma::STACK_GUARD_GAP);
        let below = self.vmas.last_below(start);
        let is_near = below.is_some_and(|vma| vma.range.end > floor && !vma.protection.is_empty());
        let overlaps = below.is_some_and(|vma| vma.range.end > page);
        let total = (self.vmas.pages() * PAGE).saturating_add(start - page);
        if is_near || overlaps || page < LOWEST_ADDRESS || total > self.limits.address_space {
            return Err(Fault::NotMapped);
        }
        self.vmas.grow_down(start, page);
        Ok(())
    }
}

/// Fills `run` in at `address`, for which tables have been prepared.
fn set_run(
    table: &mut PageTable,
    address: u64,
    run: FrameRun,
    entry: impl Fn(Frame) -> Entry,
) -> Result<()> {
    for (index, frame) in (0..).zip(run) {
        table.set(address + index * PAGE, entry(frame.into_frame()))?;
    }
    Ok(())
}

/// What a fault of unknown kind was: the most that would explain it. Erring towards a write costs a
/// copy; erring towards a read, another fault, which costs more. A platform that cannot tell must at least know
/// violations of what it was told, or the access would be repeated for ever.
fn likely_access(vma: &Vma, entry: Entry) -> Access {
    let could_write =
        vma.protection.contains(Protection::WRITE) && entry.writable_address().is_none();
    if could_write && (vma.is_private() || entry.is_announced()) {
        Access::Write
    } else {
        Access::Read
    }
}
