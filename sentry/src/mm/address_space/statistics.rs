//! Counting: limits, and what /proc/PID shows.

use alloc::vec::Vec;

use super::*;
use crate::vfs::OpenFile;

/// Limits of setrlimit(2) that concern memory, in bytes; `u64::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// RLIMIT_AS.
    pub address_space: u64,
    /// RLIMIT_DATA.
    pub data: u64,
    /// RLIMIT_STACK.
    pub stack: u64,
    /// RLIMIT_MEMLOCK.
    pub locked: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { address_space: u64::MAX, data: u64::MAX, stack: 8 << 20, locked: u64::MAX }
    }
}

/// Sizes as /proc/PID/status and statm show them, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// All areas (VmSize).
    pub total: u64,
    /// Private memory that is present (RssAnon).
    pub resident_private: u64,
    /// Pages of files that are mapped (RssFile and RssShmem).
    pub resident_file: u64,
    /// Largest number of resident pages so far (VmHWM).
    pub resident_peak: u64,
    /// Private writable areas that are not stack (VmData).
    pub data: u64,
    /// Stack areas (VmStk).
    pub stack: u64,
    /// Executable areas that are not writable (VmExe and VmLib).
    pub code: u64,
    /// Locked areas (VmLck).
    pub locked: u64,
    /// Frames of page tables (VmPTE).
    pub tables: u64,
}

/// One line of /proc/PID/maps.
#[derive(Clone)]
pub struct Mapping {
    /// Addresses.
    pub range: Range<u64>,
    /// Protection.
    pub protection: Protection,
    /// Whether writes are shared.
    pub is_shared: bool,
    /// Offset in the file of the first byte.
    pub offset: u64,
    /// The file.
    pub file: Option<Arc<OpenFile>>,
    /// Name of a mapping that is no file.
    pub name: Option<&'static str>,
    /// Private pages present, if asked for.
    pub resident_private: u64,
    /// Pages of files present, if asked for.
    pub resident_file: u64,
    /// Of `resident_private`, what others share until one of them writes.
    pub shared_private: u64,
    /// Of `resident_file`, what others map too.
    pub shared_file: u64,
    /// Bytes present, each page divided by the number of those who map it.
    pub proportional_bytes: u64,
}

impl Mm {
    /// Replaces the limits; inherited by children.
    pub fn set_limits(&self, limits: Limits) {
        self.state.write().limits = limits;
    }

    /// Counts.
    pub fn statistics(&self) -> Statistics {
        let state = self.state.read();
        let table = &state.table;
        Statistics {
            total: state.vmas.pages(),
            resident_private: table.private_pages(),
            resident_file: table.file_pages(),
            resident_peak: table.peak_pages(),
            data: state.data_pages(),
            stack: state.pages_with(|vma| vma.flags.contains(VmaFlags::GROWS_DOWN)),
            code: state.pages_with(|vma| {
                vma.protection.contains(Protection::EXECUTE)
                    && !vma.protection.contains(Protection::WRITE)
            }),
            locked: state.pages_with(|vma| vma.flags.contains(VmaFlags::LOCKED)),
            tables: table.table_frames(),
        }
    }

    /// All mappings, for /proc/PID/maps; with `count_pages` also what is present, for smaps.
    pub fn mappings(&self, count_pages: bool) -> Vec<Mapping> {
        let state = self.state.read();
        let mappings = state.vmas.iter().map(|vma| {
            let mut mapping = describe(vma);
            if count_pages {
                state.table.for_each(vma.range.clone(), |_, entry| {
                    mapping.count(entry, &self.frames);
                });
            }
            mapping
        });
        mappings.collect()
    }
}

impl Mapping {
    /// Counts a page that is present.
    fn count(&mut self, entry: Entry, frames: &FrameAllocator) {
        let references = entry.frame().map_or(1, |frame| u64::from(frames.count(frame)));
        // Of a page of a file the cache holds one reference.
        let mappers = references.saturating_sub(u64::from(!entry.is_private())).max(1);
        let is_shared = u64::from(mappers > 1);
        self.proportional_bytes += PAGE / mappers;
        if entry.is_private() {
            self.resident_private += 1;
            self.shared_private += is_shared;
        } else {
            self.resident_file += 1;
            self.shared_file += is_shared;
        }
    }
}

fn describe(vma: &Vma) -> Mapping {
    let (offset, file) = match &vma.source {
        VmaSource::Cache { offset, file, .. } => (*offset, file.clone()),
        VmaSource::Anonymous | VmaSource::Frames { .. } => (0, None),
    };
    Mapping {
        range: vma.range.clone(),
        protection: vma.protection,
        is_shared: !vma.is_private(),
        offset,
        file,
        name: vma.name,
        resident_private: 0,
        resident_file: 0,
        shared_private: 0,
        shared_file: 0,
        proportional_bytes: 0,
    }
}

impl State {
    pub(super) fn pages_with(&self, condition: impl Fn(&Vma) -> bool) -> u64 {
        self.vmas.iter().filter(|vma| condition(vma)).map(Vma::pages).sum()
    }

    fn data_pages(&self) -> u64 {
        self.pages_with(is_data)
    }

    /// Whether one more area may be made.
    pub(super) fn check_area_count(&self) -> Result<()> {
        if self.vmas.len() < MAX_AREAS { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Whether the mapping may be made, which needs `length` bytes.
    pub(super) fn check_limits(
        &self,
        request: &MapRequest,
        length: u64,
        memory_frames: usize,
    ) -> Result<()> {
        self.check_area_count()?;
        let is_shared = request.flags.contains(VmaFlags::SHARED)
            || matches!(request.source, MapSource::SharedAnonymous);
        let is_data = !is_shared && request.protection.contains(Protection::WRITE);
        // Like the heuristic of Linux (vm.overcommit_memory 0): refuse only what can never fit.
        if is_data && !request.no_reserve && length / PAGE > memory_frames as u64 {
            return Err(Errno::ENOMEM);
        }
        self.check_size(is_data, length)
    }

    /// Whether an area like `vma` may grow by `length` bytes.
    pub(super) fn check_growth(&self, vma: &Vma, length: u64) -> Result<()> {
        self.check_size(is_data(vma), length)
    }

    fn check_size(&self, is_data: bool, length: u64) -> Result<()> {
        let fits = |pages: u64, limit: u64| (pages * PAGE).saturating_add(length) <= limit;
        let Limits { address_space, data, .. } = self.limits;
        let data_fits = !is_data || data == u64::MAX || fits(self.data_pages(), data);
        if data_fits && fits(self.vmas.pages(), address_space) {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }
}

/// Whether the area counts as data (RLIMIT_DATA): private, writable, no stack.
const fn is_data(vma: &Vma) -> bool {
    vma.is_private()
        && vma.protection.contains(Protection::WRITE)
        && !vma.flags.contains(VmaFlags::GROWS_DOWN)
}
