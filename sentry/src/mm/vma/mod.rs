//! Virtual memory areas: what each range of user addresses is meant to be.

mod map;

pub use map::{STACK_GUARD_GAP, VmaMap};

use alloc::sync::Arc;
use core::ops::Range;

use bitflags::bitflags;

use super::PageCache;
use crate::{
    memory::{FrameRef, PAGE_SIZE},
    platform::{Access, Protection},
    vfs::OpenFile,
};

bitflags! {
    /// Properties of a [`Vma`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct VmaFlags: u16 {
        /// Writes go to the object (MAP_SHARED), not to private copies.
        const SHARED = 1;
        /// It grows towards lower addresses when touched below (MAP_GROWSDOWN).
        const GROWS_DOWN = 1 << 1;
        /// mlock(2).
        const LOCKED = 1 << 2;
        /// madvise(2) MADV_DONTFORK.
        const DONT_FORK = 1 << 3;
        /// madvise(2) MADV_WIPEONFORK.
        const WIPE_ON_FORK = 1 << 4;
        /// madvise(2) MADV_DONTDUMP.
        const DONT_DUMP = 1 << 5;
        /// It counts as stack: the initial stack of the program.
        const STACK = 1 << 6;
    }
}

/// Where the contents of a [`Vma`] come from.
#[derive(Clone)]
pub enum VmaSource {
    /// Zeros, private to the address space.
    Anonymous,
    /// A file, or shared anonymous memory.
    Cache {
        /// Its pages.
        cache: Arc<PageCache>,
        /// Offset in the file of the first byte of the area; page aligned.
        offset: u64,
        /// The file that was mapped; keeps it open and names it in /proc/PID/maps.
        file: Option<Arc<OpenFile>>,
    },
    /// Frames of the kernel's, never written by user code (vDSO).
    Frames {
        /// The frames of the whole mapping.
        frames: Arc<[FrameRef]>,
        /// Byte offset in them of the first byte of the area; page aligned.
        offset: u64,
    },
}

/// A range of pages with the same properties.
#[derive(Clone)]
pub struct Vma {
    /// Addresses; page aligned, not empty.
    pub range: Range<u64>,
    /// What user code may do.
    pub protection: Protection,
    /// What mprotect(2) may allow later; less for a shared mapping of a file not open for writing.
    pub allowed: Protection,
    /// Properties.
    pub flags: VmaFlags,
    /// Contents.
    pub source: VmaSource,
    /// Name in /proc/PID/maps of a mapping that is no file, as `[heap]`.
    pub name: Option<&'static str>,
}

impl Vma {
    /// Number of pages.
    pub const fn pages(&self) -> u64 {
        (self.range.end - self.range.start) / PAGE_SIZE as u64
    }

    /// Whether writes go to private copies.
    pub const fn is_private(&self) -> bool {
        !self.flags.contains(VmaFlags::SHARED)
    }

    /// Whether it is private memory without a file behind it.
    pub const fn is_private_anonymous(&self) -> bool {
        matches!(self.source, VmaSource::Anonymous)
    }

    /// Whether user code may access it so. x86-64 cannot forbid reading what may be written or
    /// executed.
    pub const fn permits(&self, access: Access) -> bool {
        match access {
            Access::Read => !self.protection.is_empty(),
            Access::Write => self.protection.contains(Protection::WRITE),
            Access::Execute => self.protection.contains(Protection::EXECUTE),
        }
    }

    /// The cache and the offset in its file of `address`, which lies in the area.
    pub fn cache_at(&self, address: u64) -> Option<(&Arc<PageCache>, u64)> {
        match &self.source {
            VmaSource::Cache { cache, offset, .. } => {
                Some((cache, offset + (address - self.range.start)))
            }
            _ => None,
        }
    }

    /// Whether it is memory of no file that is shared with children.
    pub fn is_shared_anonymous(&self) -> bool {
        matches!(self.source, VmaSource::Cache { file: None, .. }) && !self.is_private()
    }

    /// The part of the area in `range`, which must overlap it.
    pub fn slice(&self, range: &Range<u64>) -> Self {
        let mut part = self.clone();
        part.cut_front(range.start);
        part.range.end = part.range.end.min(range.end);
        part
    }

    /// Removes what is below `address`.
    fn cut_front(&mut self, address: u64) {
        let Some(skipped) = address.checked_sub(self.range.start) else { return };
        match &mut self.source {
            VmaSource::Anonymous => {}
            VmaSource::Cache { offset, .. } | VmaSource::Frames { offset, .. } => {
                *offset += skipped
            }
        }
        self.range.start = address;
    }

    /// Whether `next`, which starts where this area ends, continues it.
    fn continues_in(&self, next: &Self) -> bool {
        self.range.end == next.range.start
            && self.protection == next.protection
            && self.allowed == next.allowed
            && self.flags == next.flags
            && self.name == next.name
            && self.source_continues_in(next)
    }

    fn source_continues_in(&self, next: &Self) -> bool {
        let length = self.range.end - self.range.start;
        match (&self.source, &next.source) {
            (VmaSource::Anonymous, VmaSource::Anonymous) => true,
            (
                VmaSource::Cache { cache, offset, file },
                VmaSource::Cache { cache: next_cache, offset: next_offset, file: next_file },
            ) => {
                let same_file = match (file, next_file) {
                    (Some(left), Some(right)) => Arc::ptr_eq(left, right),
                    (None, None) => true,
                    _ => false,
                };
                same_file && Arc::ptr_eq(cache, next_cache) && offset + length == *next_offset
            }
            (
                VmaSource::Frames { frames, offset },
                VmaSource::Frames { frames: next_frames, offset: next_offset },
            ) => Arc::ptr_eq(frames, next_frames) && offset + length == *next_offset,
            _ => false,
        }
    }
}
