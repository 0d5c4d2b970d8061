//! The leaf table used last: spares most walks, for programs pass the same buffers again and again.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{LEAF_SPAN, PAGE};

/// Bits of the number of a leaf table's frame. The 26 above them say which [`LEAF_SPAN`] of the lower
/// half of the address space it maps.
const FRAME_BITS: u32 = 38;

/// A leaf table and what it maps, in one word, so that those who share the page table can note it. Empty
/// by default. Must be emptied when a leaf table is taken out.
#[derive(Default)]
pub(super) struct RecentLeaf(AtomicU64);

impl RecentLeaf {
    /// Physical address of the leaf table for `address`, if that was used last.
    #[inline]
    pub(super) fn find(&self, address: u64) -> Option<u64> {
        let word = self.0.load(Ordering::Relaxed);
        let frame = word & ((1 << FRAME_BITS) - 1);
        (frame != 0 && word >> FRAME_BITS == address / LEAF_SPAN).then_some(frame * PAGE)
    }

    /// Notes that the leaf table at `table` maps `address`; what does not fit is not noted.
    #[inline]
    pub(super) fn note(&self, address: u64, table: u64) {
        let (frame, span) = (table / PAGE, address / LEAF_SPAN);
        if frame >> FRAME_BITS == 0 && span >> (u64::BITS - FRAME_BITS) == 0 {
            self.0.store(span << FRAME_BITS | frame, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: u64 = 0x7_f000;

    #[test]
    fn finds_what_was_noted_and_nothing_else() {
        let recent = RecentLeaf::default();
        assert_eq!(recent.find(0), None);
        recent.note(0x7fff_ffff_0000, TABLE);
        assert_eq!(recent.find(0x7fff_ffff_ffff), Some(TABLE));
        assert_eq!(recent.find(0x7fff_ffff_0000 - LEAF_SPAN), None);
        assert_eq!(recent.find(0xffff_ffff_ffff_0000), None);
        recent.note(0, TABLE + PAGE);
        assert_eq!(recent.find(PAGE), Some(TABLE + PAGE));
    }

    #[test]
    fn what_does_not_fit_is_not_noted() {
        let recent = RecentLeaf::default();
        recent.note(1 << 47, TABLE);
        recent.note(0, 1 << 50);
        assert_eq!(recent.find(1 << 47), None);
        assert_eq!(recent.find(0), None);
    }
}
