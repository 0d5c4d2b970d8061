//! Where things are placed in an address space.

use super::PAGE;

/// Random bits of the stack's address, in pages, as on x86-64 Linux (16 GiB).
const STACK_RANDOM_PAGES: u64 = 1 << 22;

/// Random bits of the base of mappings, in pages, as on x86-64 Linux (vm.mmap_rnd_bits is 28).
const MMAP_RANDOM_PAGES: u64 = 1 << 28;

/// Address space kept for the stack to grow into.
const STACK_RESERVE: u64 = 1 << 30;

/// Addresses chosen when an address space is made, and the program break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// End of the initial stack.
    pub stack_top: u64,
    /// Mappings without an address are placed below this, from the top.
    pub mmap_base: u64,
    /// Start of the heap of brk(2).
    pub heap_start: u64,
    /// The program break.
    pub heap_end: u64,
}

impl Layout {
    /// A layout below `limit`. Without a heap: the loader says where the program ends.
    pub(super) const fn new(limit: u64, random: u64) -> Self {
        // Small address spaces get less randomness: at most 1/16 and 1/4 of them.
        let stack_pages = min(STACK_RANDOM_PAGES, limit / PAGE / 16);
        let mmap_pages = min(MMAP_RANDOM_PAGES, limit / PAGE / 4);
        let stack_top = limit - random % stack_pages * PAGE;
        let reserve = min(STACK_RESERVE, limit / 16);
        let mmap_base = limit - stack_pages * PAGE - reserve - (random >> 32) % mmap_pages * PAGE;
        Self { stack_top, mmap_base, heap_start: 0, heap_end: 0 }
    }
}

const fn min(left: u64, right: u64) -> u64 {
    if left < right { left } else { right }
}
