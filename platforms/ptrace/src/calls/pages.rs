//! The memory of gates, areas and patched pages, which sandbox memory knows nothing of.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::FallocateFlags;
use sentry::memory::{PAGE_SIZE, PhysicalMemory};

use super::{Area, gate};
use crate::{
    config::{Error, stub_memory},
    stub::MAX_PROCESSES,
};

/// Pages of a block: the gate, the areas, and copies of patched pages.
const BLOCK_PAGES: u64 = 32;

/// Bytes of a block.
pub const BLOCK_BYTES: u64 = BLOCK_PAGES * PAGE_SIZE as u64;

/// Most copies a process can have.
pub const MOST_COPIES: u64 = BLOCK_PAGES - 2;

/// The memory: one block for each stub process, by the number of its command page. It is sparse.
#[derive(Debug)]
pub struct CallPages {
    file: OwnedFd,
    memory: PhysicalMemory,
}

impl CallPages {
    /// Makes the memory.
    pub fn new() -> Result<Self, Error> {
        let size = u64::from(MAX_PROCESSES) * BLOCK_BYTES;
        let (file, memory) = stub_memory("stub-calls", size)?;
        Ok(Self { file, memory })
    }

    /// The memory as a file, for stubs to map.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The memory, for its areas.
    pub const fn memory(&self) -> &PhysicalMemory {
        &self.memory
    }

    /// Offset of the gate of block `block`.
    pub fn gate(block: u32) -> u64 {
        u64::from(block) * BLOCK_BYTES
    }

    /// Offset of its areas.
    pub fn areas(block: u32) -> u64 {
        Self::gate(block) + PAGE_SIZE as u64
    }

    /// Offset of its copy number `copy`.
    pub fn copy(block: u32, copy: u64) -> u64 {
        Self::gate(block) + (2 + copy) * PAGE_SIZE as u64
    }

    /// The area of executor `number` in block `block`; not every executor has one.
    pub fn area(block: u32, number: u16) -> Option<Area> {
        Area::new(Self::areas(block), number)
    }

    /// Writes the trampoline to the gate of `block`.
    pub fn write_trampoline(&self, block: u32) {
        self.write(Self::gate(block), gate::trampoline());
    }

    /// Writes slot number `slot` of the gate of `block`, for calls of `number`.
    pub fn write_slot(&self, block: u32, slot: usize, number: u32) {
        self.write(Self::gate(block) + gate::slot_offset(slot), &gate::slot(slot, number));
    }

    /// Writes a copy of a page.
    pub fn write_copy(&self, block: u32, copy: u64, bytes: &[u8; PAGE_SIZE]) {
        self.write(Self::copy(block, copy), bytes);
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        let written = self.memory.write(offset, bytes);
        debug_assert!(written.is_ok(), "blocks are inside the memory");
    }

    /// Forgets the contents of `block`, which no stub maps any more.
    pub fn clear(&self, block: u32) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let offset = Self::gate(block);
        if rustix::fs::fallocate(&self.file, flags, offset, BLOCK_BYTES).is_err() {
            let zeroed = self.memory.zero(offset, BLOCK_PAGES as usize * PAGE_SIZE);
            debug_assert!(zeroed.is_ok(), "blocks are inside the memory");
        }
    }
}
