//! /proc/meminfo and /proc/vmstat: counts of frames.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use super::system::total_usage;
use crate::{kernel::Kernel, memory::PAGE_SIZE, mm::Mm};

/// Sums over all address spaces, in pages.
#[derive(Default)]
pub struct Mapped {
    /// Anonymous memory.
    pub private: u64,
    /// Pages of files.
    pub file: u64,
    /// Page tables.
    pub tables: u64,
    data: u64,
}

impl Mapped {
    /// As it is now.
    pub fn new(kernel: &Kernel) -> Self {
        let mut spaces: Vec<Arc<Mm>> = Vec::new();
        for process in kernel.all_processes() {
            spaces.extend(process.first_thread().and_then(|task| task.mm()));
        }
        spaces.sort_unstable_by_key(Arc::as_ptr);
        spaces.dedup_by(|one, other| Arc::ptr_eq(one, other));
        spaces.iter().map(|mm| mm.statistics()).fold(Self::default(), |sum, one| Self {
            private: sum.private + one.resident_private,
            file: sum.file + one.resident_file,
            tables: sum.tables + one.tables,
            data: sum.data + one.data + one.stack,
        })
    }
}

/// /proc/meminfo. There are no block devices to buffer, no swap and no huge pages; pages of files
/// that are kept nowhere else (tmpfs) are neither free nor cached.
pub(super) fn meminfo(kernel: &Kernel) -> Vec<u8> {
    let total = kernel.frames.total_frames() as u64;
    let free = kernel.frames.free_frames() as u64;
    let cached = kernel.frames.reclaimable_frames() as u64;
    let mapped = Mapped::new(kernel);
    let lines = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free + cached),
        ("Buffers", 0),
        ("Cached", cached),
        ("SwapCached", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("AnonPages", mapped.private),
        ("Mapped", mapped.file),
        ("PageTables", mapped.tables),
        ("CommitLimit", total),
        ("Committed_AS", mapped.data),
    ];
    let kib = |pages: u64| pages * (PAGE_SIZE as u64 >> 10);
    let line = |(name, pages)| format!("{:<16}{:>8} kB\n", format!("{name}:"), kib(pages));
    let mut text: String = lines.into_iter().map(line).collect();
    text += "HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n";
    text.into_bytes()
}

/// /proc/vmstat: what is counted here.
pub(super) fn vmstat(kernel: &Kernel) -> Vec<u8> {
    let free = kernel.frames.free_frames();
    let mapped = Mapped::new(kernel);
    let faults = total_usage(kernel).minor_faults;
    format!(
        "nr_free_pages {free}\nnr_anon_pages {}\nnr_mapped {}\nnr_page_table_pages {}\n\
         pgfault {faults}\n",
        mapped.private, mapped.file, mapped.tables,
    )
    .into_bytes()
}
