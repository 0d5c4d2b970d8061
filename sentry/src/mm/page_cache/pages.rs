//! Which pages of a file are cached: a sparse array of frames in chunks of 64 with bitmaps.

use alloc::{boxed::Box, collections::BTreeMap};
use core::ops::Range;

use smallvec::SmallVec;

use crate::memory::Frame;

const CHUNK: u64 = 64;

/// 64 consecutive pages. Bit N of a bitmap is page N.
struct Chunk {
    frames: [Frame; CHUNK as usize],
    resident: u64,
    dirty: u64,
    /// Being read from the backing.
    fetching: u64,
}

/// The pages of a file. It owns one reference to each frame, which its user counts.
#[derive(Default)]
pub(super) struct Pages {
    chunks: BTreeMap<u64, Box<Chunk>>,
    resident: u64,
}

impl Chunk {
    const fn new() -> Self {
        Self { frames: [Frame(0); CHUNK as usize], resident: 0, dirty: 0, fetching: 0 }
    }

    const fn is_unused(&self) -> bool {
        self.resident | self.fetching == 0
    }
}

const fn bit(index: u64) -> u64 {
    1 << (index % CHUNK)
}

/// Position in a chunk.
const fn slot(index: u64) -> usize {
    (index % CHUNK) as usize
}

/// Bits of the pages of chunk `chunk` that lie in `range`.
fn mask(chunk: u64, range: &Range<u64>) -> u64 {
    let first = chunk * CHUNK;
    let below = |index: u64| match index.saturating_sub(first) {
        count @ 0..CHUNK => (1 << count) - 1,
        _ => u64::MAX,
    };
    below(range.end) & !below(range.start)
}

/// Numbers of the chunks that hold pages in `range`.
fn chunks_of(range: &Range<u64>) -> Range<u64> {
    let first = range.start / CHUNK;
    first..range.end.div_ceil(CHUNK).max(first)
}

impl Pages {
    /// Number of resident pages.
    pub const fn resident(&self) -> u64 {
        self.resident
    }

    /// The frame of page `index`, if it is resident.
    #[inline]
    pub fn get(&self, index: u64) -> Option<Frame> {
        let chunk = self.chunks.get(&(index / CHUNK))?;
        (chunk.resident & bit(index) != 0).then(|| chunk.frames[slot(index)])
    }

    /// Adds page `index`, which must not be resident.
    pub fn insert(&mut self, index: u64, frame: Frame) {
        let chunk = self.chunk_mut(index);
        chunk.frames[slot(index)] = frame;
        chunk.resident |= bit(index);
        self.resident += 1;
    }

    /// Removes the resident pages in `range` for which `remove(index, frame, dirty)` says so.
    pub fn remove(&mut self, range: &Range<u64>, mut remove: impl FnMut(u64, Frame, bool) -> bool) {
        let mut resident = self.resident;
        self.for_each_chunk(range, |number, chunk, mask| {
            for position in bits(chunk.resident & mask) {
                let index = number * CHUNK + position;
                let dirty = chunk.dirty & bit(index) != 0;
                if remove(index, chunk.frames[slot(index)], dirty) {
                    chunk.resident &= !bit(index);
                    chunk.dirty &= !bit(index);
                    resident -= 1;
                }
            }
        });
        self.resident = resident;
    }

    /// Removes up to `limit` of the resident pages in `range` for which `evict(frame, dirty)` says
    /// so; returns how many, and where it stopped.
    pub fn evict(
        &mut self,
        range: &Range<u64>,
        limit: usize,
        mut evict: impl FnMut(Frame, bool) -> bool,
    ) -> (usize, u64) {
        let mut count = 0;
        let mut stop = range.end;
        let mut unused = SmallVec::<[u64; 8]>::new();
        'search: for (&number, chunk) in self.chunks.range_mut(chunks_of(range)) {
            for index in bits(chunk.resident & mask(number, range)).map(|it| number * CHUNK + it) {
                if count == limit {
                    stop = index;
                    break 'search;
                }
                if evict(chunk.frames[slot(index)], chunk.dirty & bit(index) != 0) {
                    chunk.resident &= !bit(index);
                    chunk.dirty &= !bit(index);
                    count += 1;
                }
            }
            if chunk.is_unused() {
                unused.push(number);
            }
        }
        self.resident -= count as u64;
        for number in unused {
            self.chunks.remove(&number);
        }
        (count, stop)
    }

    /// Marks page `index` dirty if it is resident.
    pub fn mark_dirty(&mut self, index: u64) {
        if let Some(chunk) = self.chunks.get_mut(&(index / CHUNK)) {
            chunk.dirty |= chunk.resident & bit(index);
        }
    }

    /// Marks page `index` clean.
    pub fn mark_clean(&mut self, index: u64) {
        if let Some(chunk) = self.chunks.get_mut(&(index / CHUNK)) {
            chunk.dirty &= !bit(index);
        }
    }

    /// The first dirty page in `range`.
    pub fn next_dirty(&self, range: &Range<u64>) -> Option<u64> {
        self.next(range, |chunk| chunk.dirty)
    }

    /// The first resident page in `range`.
    pub fn next_resident(&self, range: &Range<u64>) -> Option<u64> {
        self.next(range, |chunk| chunk.resident)
    }

    /// Whether page `index` is dirty.
    pub fn is_dirty(&self, index: u64) -> bool {
        self.chunks.get(&(index / CHUNK)).is_some_and(|chunk| chunk.dirty & bit(index) != 0)
    }

    /// Whether page `index` is being read.
    pub fn is_fetching(&self, index: u64) -> bool {
        self.chunks.get(&(index / CHUNK)).is_some_and(|chunk| chunk.fetching & bit(index) != 0)
    }

    /// Notes that page `index` is being read.
    pub fn begin_fetch(&mut self, index: u64) {
        self.chunk_mut(index).fetching |= bit(index);
    }

    /// Notes that the pages in `range` are being read no longer.
    pub fn end_fetch(&mut self, range: &Range<u64>) {
        self.for_each_chunk(range, |_, chunk, mask| chunk.fetching &= !mask);
    }

    fn chunk_mut(&mut self, index: u64) -> &mut Chunk {
        self.chunks.entry(index / CHUNK).or_insert_with(|| Box::new(Chunk::new()))
    }

    /// Visits the chunks that overlap `range`, and drops those that are empty afterwards.
    fn for_each_chunk(&mut self, range: &Range<u64>, mut visit: impl FnMut(u64, &mut Chunk, u64)) {
        let chunks = chunks_of(range);
        let mut unused = false;
        for (&number, chunk) in self.chunks.range_mut(chunks.clone()) {
            visit(number, chunk, mask(number, range));
            unused |= chunk.is_unused();
        }
        if unused {
            self.chunks.retain(|number, chunk| !chunks.contains(number) || !chunk.is_unused());
        }
    }

    fn next(&self, range: &Range<u64>, bitmap: impl Fn(&Chunk) -> u64) -> Option<u64> {
        self.chunks.range(chunks_of(range)).find_map(|(&number, chunk)| {
            let position = bits(bitmap(chunk) & mask(number, range)).next()?;
            Some(number * CHUNK + position)
        })
    }
}

/// Positions of the bits set in `bitmap`, from the lowest.
fn bits(mut bitmap: u64) -> impl Iterator<Item = u64> {
    core::iter::from_fn(move || {
        let lowest = (bitmap != 0).then(|| u64::from(bitmap.trailing_zeros()))?;
        bitmap &= bitmap - 1;
        Some(lowest)
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_map(
            steps in proptest::collection::vec((0..5_u8, 0..200_u64, 0..200_u64), 1..100),
        ) {
            let mut pages = Pages::default();
            let mut model: BTreeMap<u64, bool> = BTreeMap::new();
            for (kind, a, b) in steps {
                let range = a.min(b)..a.max(b);
                match kind {
                    0 if pages.get(a).is_none() => {
                        pages.insert(a, Frame(a as u32));
                        model.insert(a, false);
                    }
                    1 => {
                        pages.mark_dirty(a);
                        model.entry(a).and_modify(|dirty| *dirty = true);
                    }
                    2 => {
                        pages.mark_clean(a);
                        model.entry(a).and_modify(|dirty| *dirty = false);
                    }
                    3 => {
                        let clean = |(_, dirty): &(&u64, &bool)| !**dirty;
                        let in_range = model.range(range.clone()).filter(clean);
                        let expected: Vec<u64> = in_range.map(|(&index, _)| index).take(3).collect();
                        let (count, stop) = pages.evict(&range, 3, |_, dirty| !dirty);
                        prop_assert_eq!(count, expected.len());
                        prop_assert!(expected.iter().all(|&index| index < stop));
                        model.retain(|index, _| !expected.contains(index));
                    }
                    _ => {
                        // Keeps the dirty ones.
                        pages.remove(&range, |_, _, dirty| !dirty);
                        model.retain(|index, dirty| *dirty || !range.contains(index));
                    }
                }
                prop_assert_eq!(pages.resident(), model.len() as u64);
                let dirty = model.range(range.clone()).find(|(_, dirty)| **dirty);
                prop_assert_eq!(pages.next_dirty(&range), dirty.map(|(&index, _)| index));
                let first = model.range(range.clone()).next();
                prop_assert_eq!(pages.next_resident(&range), first.map(|(&index, _)| index));
                let all: Vec<u64> = (0..200).filter(|&index| pages.get(index).is_some()).collect();
                prop_assert_eq!(all, model.keys().copied().collect::<Vec<_>>());
            }
        }
    }
}
