//! The areas of one address space, ordered by address.

use alloc::collections::BTreeMap;
use core::ops::Range;

use smallvec::SmallVec;

use super::{Vma, VmaFlags};
use crate::memory::PAGE_SIZE;

/// Distance kept free below an area that grows down (stack_guard_gap of Linux: 256 pages).
pub const STACK_GUARD_GAP: u64 = 256 * PAGE_SIZE as u64;

/// Areas that do not overlap. Neighbours that continue each other are one.
#[derive(Default)]
pub struct VmaMap {
    areas: BTreeMap<u64, Vma>,
    pages: u64,
}

impl VmaMap {
    /// Number of pages in all areas.
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// Number of areas.
    pub fn len(&self) -> usize {
        self.areas.len()
    }

    /// All areas, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.areas.values()
    }

    /// The area that contains `address`.
    #[inline]
    pub fn find(&self, address: u64) -> Option<&Vma> {
        let (_, vma) = self.areas.range(..=address).next_back()?;
        (address < vma.range.end).then_some(vma)
    }

    /// The first area that starts above `address`.
    pub fn next_above(&self, address: u64) -> Option<&Vma> {
        self.areas.range(address.checked_add(1)?..).next().map(|(_, vma)| vma)
    }

    /// The last area that starts below `address`.
    pub fn last_below(&self, address: u64) -> Option<&Vma> {
        self.areas.range(..address).next_back().map(|(_, vma)| vma)
    }

    /// The areas that overlap `range`, in order.
    pub fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = &Vma> {
        let first = self.find(range.start).map_or(range.start, |vma| vma.range.start);
        self.areas.range(first..range.end.max(first)).map(|(_, vma)| vma)
    }

    /// Whether every page of `range` is in an area.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        let mut reached = range.start;
        for vma in self.overlapping(range) {
            if vma.range.start > reached {
                return false;
            }
            reached = vma.range.end;
        }
        reached >= range.end
    }

    /// Adds an area where there is none, merging it with its neighbours where it continues them.
    pub fn insert(&mut self, vma: Vma) {
        let (start, end) = (vma.range.start, vma.range.end);
        self.pages += vma.pages();
        self.areas.insert(start, vma);
        self.merge_at(end);
        self.merge_at(start);
    }

    /// Removes what lies in `range`, cutting areas that reach beyond it.
    pub fn remove(&mut self, range: &Range<u64>) -> SmallVec<[Vma; 2]> {
        if range.is_empty() {
            return SmallVec::new();
        }
        self.split_at(range.start);
        self.split_at(range.end);
        let starts: SmallVec<[u64; 8]> =
            self.areas.range(range.clone()).map(|(&start, _)| start).collect();
        let removed: SmallVec<[Vma; 2]> =
            starts.iter().filter_map(|start| self.areas.remove(start)).collect();
        self.pages -= removed.iter().map(Vma::pages).sum::<u64>();
        removed
    }

    /// Applies `change` to what lies in `range`, cutting areas that reach beyond it. It must not
    /// change addresses.
    pub fn modify(&mut self, range: &Range<u64>, mut change: impl FnMut(&mut Vma)) {
        if range.is_empty() {
            return;
        }
        self.split_at(range.start);
        self.split_at(range.end);
        let mut borders: SmallVec<[u64; 8]> = SmallVec::new();
        for (&start, vma) in self.areas.range_mut(range.clone()) {
            change(vma);
            borders.push(start);
        }
        borders.push(range.end);
        borders.into_iter().rev().for_each(|border| self.merge_at(border));
    }

    /// Moves the start of the area at `start` down to `new_start`; nothing may be between.
    pub fn grow_down(&mut self, start: u64, new_start: u64) {
        if let Some(mut vma) = self.areas.remove(&start) {
            self.pages += (start - new_start) / PAGE_SIZE as u64;
            vma.range.start = new_start;
            self.areas.insert(new_start, vma);
        }
    }

    /// Whether an area may be put into `range`.
    pub fn is_free(&self, range: &Range<u64>) -> bool {
        self.overlapping(range).next().is_none()
    }

    /// The highest free range of `length` bytes in `within`.
    pub fn find_gap(&self, length: u64, within: &Range<u64>) -> Option<u64> {
        let mut ceiling = within.end;
        let above = self.next_above(within.end.checked_sub(1)?);
        if let Some(vma) = above.or_else(|| self.find(within.end)) {
            ceiling = ceiling.min(floor_of(vma));
        }
        for (_, vma) in self.areas.range(..within.end).rev() {
            if vma.range.end <= ceiling && ceiling - vma.range.end >= length {
                break;
            }
            ceiling = ceiling.min(floor_of(vma));
            if ceiling <= within.start {
                return None;
            }
        }
        ceiling.checked_sub(length).filter(|&start| start >= within.start)
    }

    /// Makes `address` a border between areas.
    fn split_at(&mut self, address: u64) {
        let Some((_, vma)) = self.areas.range_mut(..address).next_back() else { return };
        if address < vma.range.end {
            let mut upper = vma.clone();
            upper.cut_front(address);
            vma.range.end = address;
            self.areas.insert(address, upper);
        }
    }

    /// Merges the areas on both sides of `address` if the upper one continues the lower one.
    fn merge_at(&mut self, address: u64) {
        let Some(upper) = self.areas.get(&address) else { return };
        let Some(lower) = self.last_below(address) else { return };
        if !lower.continues_in(upper) {
            return;
        }
        let (start, end) = (lower.range.start, upper.range.end);
        self.areas.remove(&address);
        if let Some(lower) = self.areas.get_mut(&start) {
            lower.range.end = end;
        }
    }
}

/// The lowest address that belongs to `vma`, the gap below a stack included.
const fn floor_of(vma: &Vma) -> u64 {
    if vma.flags.contains(VmaFlags::GROWS_DOWN) {
        vma.range.start.saturating_sub(STACK_GUARD_GAP)
    } else {
        vma.range.start
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::{mm::vma::VmaSource, platform::Protection};

    const PAGE: u64 = PAGE_SIZE as u64;

    fn vma(pages: Range<u64>, protection: u8) -> Vma {
        Vma {
            range: pages.start * PAGE..pages.end * PAGE,
            protection: Protection::from_bits_truncate(protection),
            allowed: Protection::all(),
            flags: VmaFlags::empty(),
            source: VmaSource::Anonymous,
            name: None,
        }
    }

    #[test]
    fn neighbours_merge_and_split_again() {
        let mut map = VmaMap::default();
        map.insert(vma(10..12, 1));
        map.insert(vma(14..16, 1));
        map.insert(vma(12..14, 1));
        assert_eq!(map.len(), 1);
        map.modify(&(12 * PAGE..13 * PAGE), |vma| vma.protection = Protection::all());
        assert_eq!(map.len(), 3);
        map.modify(&(12 * PAGE..13 * PAGE), |vma| vma.protection = Protection::READ);
        assert_eq!(map.len(), 1);
        assert_eq!(map.remove(&(11 * PAGE..15 * PAGE))[0].pages(), 4);
        assert_eq!((map.len(), map.pages()), (2, 2));
    }

    #[test]
    fn gaps_are_found_from_the_top_and_below_the_guard_of_a_stack() {
        let mut map = VmaMap::default();
        map.insert(vma(1000..1010, 1));
        map.insert(vma(900..990, 1));
        let within = 16 * PAGE..1010 * PAGE;
        assert_eq!(map.find_gap(10 * PAGE, &within), Some(990 * PAGE));
        assert_eq!(map.find_gap(11 * PAGE, &within), Some(889 * PAGE));
        assert_eq!(map.find_gap(900 * PAGE, &within), None);
        map.modify(&(900 * PAGE..990 * PAGE), |vma| vma.flags = VmaFlags::GROWS_DOWN);
        assert_eq!(map.find_gap(11 * PAGE, &within), Some(633 * PAGE));
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_of_pages(
            steps in proptest::collection::vec((0..3_u8, 0..40_u64, 1..12_u64, 0..3_u8), 1..80),
        ) {
            let mut map = VmaMap::default();
            let mut model: BTreeMap<u64, u8> = BTreeMap::new();
            for (kind, start, length, protection) in steps {
                let pages = start..start + length;
                let range = pages.start * PAGE..pages.end * PAGE;
                prop_assert_eq!(map.is_free(&range), !pages.clone().any(|p| model.contains_key(&p)));
                prop_assert_eq!(map.covers(&range), pages.clone().all(|p| model.contains_key(&p)));
                match kind {
                    0 => {
                        map.remove(&range);
                        map.insert(vma(pages.clone(), protection));
                        model.extend(pages.map(|page| (page, protection)));
                    }
                    1 => {
                        let removed = map.remove(&range);
                        let count = pages.filter(|page| model.remove(page).is_some()).count();
                        prop_assert_eq!(removed.iter().map(Vma::pages).sum::<u64>(), count as u64);
                    }
                    _ => {
                        let new = Protection::from_bits_truncate(protection);
                        map.modify(&range, |vma| vma.protection = new);
                        pages.for_each(|p| { model.entry(p).and_modify(|old| *old = protection); });
                    }
                }
                check(&map, &model)?;
            }
        }
    }

    fn check(map: &VmaMap, model: &BTreeMap<u64, u8>) -> Result<(), TestCaseError> {
        let pages: Vec<(u64, u8)> = map
            .iter()
            .flat_map(|vma| {
                let bits = vma.protection.bits();
                (vma.range.start / PAGE..vma.range.end / PAGE).map(move |page| (page, bits))
            })
            .collect();
        prop_assert_eq!(&pages, &model.iter().map(|(&p, &b)| (p, b)).collect::<Vec<_>>());
        prop_assert_eq!(map.pages(), model.len() as u64);
        let unmerged = map.iter().zip(map.iter().skip(1)).any(|(a, b)| a.continues_in(b));
        prop_assert!(!unmerged);
        // The highest gap of two pages, found the slow way.
        let free = |page: &u64| !model.contains_key(page) && !model.contains_key(&(page + 1));
        let expected = (0..59).rev().find(free).map(|page| page * PAGE);
        prop_assert_eq!(map.find_gap(2 * PAGE, &(0..60 * PAGE)), expected);
        Ok(())
    }
}
