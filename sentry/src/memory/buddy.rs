//! The buddy system: which blocks of frames are free.
//!
//! Blocks are `2^order` frames, aligned to their size. Free blocks of one order form a list that
//! is threaded through per-frame arrays, so allocating frames never allocates heap memory.
//! Knuth, The Art of Computer Programming, volume 1, section 2.5.

use alloc::{vec, vec::Vec};
use core::ops::Range;

/// Largest order of a block: 1 GiB. The larger it is, the fewer entries of the arrays below are
/// touched before memory is used.
pub const MAX_ORDER: u8 = 18;

/// End of a list. Frame numbers never reach it: sandbox memory ends below 2^40 bytes.
const NONE: u32 = u32::MAX;

/// The free blocks among the frames it has. The arrays start as zero bytes, so that the host backs
/// only what is written.
pub(super) struct Buddy {
    heads: [u32; MAX_ORDER as usize + 1],
    /// Neighbours of the free block that starts at a frame: previous, next.
    links: Vec<[u32; 2]>,
    /// One more than the order of the free block that starts at a frame; 0 if none does.
    mark: Vec<u8>,
    free: usize,
    /// The frames it has, of which the last may come later.
    frames: Range<u32>,
    /// How many of the free ones are not to be handed out.
    withheld: usize,
}

impl Buddy {
    /// Of `first..total`, `limit` frames are free, in blocks as large as alignment allows.
    pub fn new(first: u32, total: u32, limit: usize) -> Self {
        let count = total as usize;
        let mut buddy = Self {
            heads: [NONE; MAX_ORDER as usize + 1],
            links: vec![[0, 0]; count],
            mark: vec![0; count],
            free: 0,
            frames: first..first,
            withheld: 0,
        };
        buddy.set_limit(limit);
        buddy
    }

    /// Hands out no more than `limit` frames from now on. Frames are added only beyond the highest
    /// limit so far, so that the host need not back more than that.
    pub fn set_limit(&mut self, limit: usize) {
        let total = u32::try_from(self.mark.len()).unwrap_or(NONE);
        let room = u32::try_from(limit).unwrap_or(NONE);
        let wanted = self.frames.start.saturating_add(room).min(total);
        if wanted > self.frames.end {
            let first = core::mem::replace(&mut self.frames.end, wanted);
            self.add(first..wanted);
        }
        self.withheld = self.frames.len().saturating_sub(limit);
    }

    /// Frees new frames, from the top down, so that the lowest blocks head their lists.
    fn add(&mut self, frames: Range<u32>) {
        let mut end = frames.end;
        while end > frames.start {
            let order = largest_order_ending_at(end, end - frames.start);
            end -= 1 << order;
            self.free(end, order);
        }
    }

    /// Most frames that it hands out.
    pub fn limit(&self) -> usize {
        self.frames.len().saturating_sub(self.withheld)
    }

    /// Number of free frames.
    pub const fn free_frames(&self) -> usize {
        self.free.saturating_sub(self.withheld)
    }

    /// Takes a block of `order`, splitting a larger one if need be.
    pub fn allocate(&mut self, order: u8) -> Option<u32> {
        if self.free_frames() < 1 << order {
            return None;
        }
        let found = (order..=MAX_ORDER).find(|&order| self.heads[usize::from(order)] != NONE)?;
        let block = self.heads[usize::from(found)];
        self.unlink(block, found);
        for smaller in (order..found).rev() {
            self.link(block + (1 << smaller), smaller);
        }
        self.free -= 1 << order;
        Some(block)
    }

    /// Gives a block back and merges it with its free buddies.
    pub fn free(&mut self, mut block: u32, mut order: u8) {
        self.free += 1 << order;
        while order < MAX_ORDER {
            let buddy = block ^ (1 << order);
            if self.mark.get(buddy as usize) != Some(&mark(order)) {
                break;
            }
            self.unlink(buddy, order);
            block &= !(1 << order);
            order += 1;
        }
        self.link(block, order);
    }

    /// The free blocks of `order`, most recently freed first.
    pub fn blocks(&self, order: u8) -> impl Iterator<Item = u32> {
        let next = |&block: &u32| Some(self.links[block as usize][1]).filter(|&n| n != NONE);
        core::iter::successors(Some(self.heads[usize::from(order)]).filter(|&n| n != NONE), next)
    }

    /// Takes the given free block of exactly `order`.
    pub fn take(&mut self, block: u32, order: u8) {
        self.unlink(block, order);
        self.free -= 1 << order;
    }

    fn link(&mut self, block: u32, order: u8) {
        let head = &mut self.heads[usize::from(order)];
        let next = core::mem::replace(head, block);
        self.links[block as usize] = [NONE, next];
        self.mark[block as usize] = mark(order);
        if next != NONE {
            self.links[next as usize][0] = block;
        }
    }

    fn unlink(&mut self, block: u32, order: u8) {
        let [previous, next] = self.links[block as usize];
        self.mark[block as usize] = 0;
        if previous == NONE {
            self.heads[usize::from(order)] = next;
        } else {
            self.links[previous as usize][1] = next;
        }
        if next != NONE {
            self.links[next as usize][0] = previous;
        }
    }
}

const fn mark(order: u8) -> u8 {
    order + 1
}

/// Order of the largest aligned block that ends at `end` and has at most `room` frames.
fn largest_order_ending_at(end: u32, room: u32) -> u8 {
    (0..=MAX_ORDER)
        .rev()
        .find(|&order| end.is_multiple_of(1 << order) && room >= 1 << order)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_low_blocks_first_and_merges_back() {
        let mut buddy = Buddy::new(1, 2048, usize::MAX);
        assert_eq!(buddy.free_frames(), 2047);
        let single = buddy.allocate(0).unwrap();
        assert_eq!(single, 1);
        assert_eq!(buddy.allocate(10), Some(1024));
        assert_eq!(buddy.allocate(10), None);
        buddy.free(1024, 10);
        buddy.free(single, 0);
        assert_eq!(buddy.free_frames(), 2047);
        assert_eq!(buddy.allocate(9), Some(512));
    }

    #[test]
    fn a_limit_can_be_raised_and_lowered() {
        let mut buddy = Buddy::new(1, 64, 10);
        let take =
            |buddy: &mut Buddy| core::iter::from_fn(|| buddy.allocate(0)).collect::<Vec<_>>();
        let first = take(&mut buddy);
        assert_eq!((first.len(), buddy.limit(), first.iter().max()), (10, 10, Some(&10)));
        buddy.set_limit(20);
        assert_eq!(take(&mut buddy).len(), 10);
        buddy.set_limit(15);
        first.iter().take(5).for_each(|&frame| buddy.free(frame, 0));
        assert_eq!((buddy.free_frames(), buddy.allocate(0), buddy.limit()), (0, None, 15));
        first.iter().skip(5).for_each(|&frame| buddy.free(frame, 0));
        assert_eq!(take(&mut buddy).len(), 5);
        buddy.set_limit(usize::MAX);
        assert_eq!((buddy.limit(), buddy.free_frames()), (63, 48));
        // Neighbours that came at different times merge.
        assert_eq!(buddy.allocate(5), Some(32));
    }

    proptest! {
        #[test]
        fn never_hands_out_a_frame_twice(
            steps in proptest::collection::vec((any::<bool>(), 0..=4_u8, any::<u16>()), 1..200),
        ) {
            const TOTAL: u32 = 100;
            let mut buddy = Buddy::new(3, TOTAL, usize::MAX);
            let mut taken: BTreeMap<u32, u8> = BTreeMap::new();
            for (allocate, order, pick) in steps {
                if allocate {
                    let Some(block) = buddy.allocate(order) else { continue };
                    prop_assert!(block.is_multiple_of(1 << order) && block >= 3);
                    prop_assert!(block + (1 << order) <= TOTAL);
                    let overlaps = taken.iter().any(|(&other, &other_order)| {
                        other < block + (1 << order) && block < other + (1 << other_order)
                    });
                    prop_assert!(!overlaps);
                    taken.insert(block, order);
                } else if !taken.is_empty() {
                    let key = *taken.keys().nth(usize::from(pick) % taken.len()).unwrap();
                    buddy.free(key, taken.remove(&key).unwrap());
                }
                let used: usize = taken.values().map(|&order| 1_usize << order).sum();
                prop_assert_eq!(buddy.free_frames(), 97 - used);
            }
            for (block, order) in taken {
                buddy.free(block, order);
            }
            // Everything has merged: the block list is what a new allocator starts with.
            let fresh = Buddy::new(3, TOTAL, usize::MAX);
            for order in 0..=MAX_ORDER {
                let mut left: Vec<u32> = buddy.blocks(order).collect();
                let mut right: Vec<u32> = fresh.blocks(order).collect();
                left.sort_unstable();
                right.sort_unstable();
                prop_assert_eq!(left, right);
            }
        }
    }
}
