//! A set of addresses as disjoint intervals.

use std::{collections::BTreeMap, ops::Range};

/// Which addresses of a stub are mapped. Adjacent intervals are one.
#[derive(Debug, Default)]
pub struct Intervals(BTreeMap<u64, u64>);

impl Intervals {
    /// Adds `range`, which is not empty.
    pub fn insert(&mut self, range: Range<u64>) {
        let (mut start, mut end) = (range.start, range.end);
        // From the top down: every interval that touches the range becomes part of it.
        while let Some((&first, &last)) = self.0.range(..=end).next_back() {
            if last < start {
                break;
            }
            start = start.min(first);
            end = end.max(last);
            self.0.remove(&first);
        }
        self.0.insert(start, end);
    }

    /// Removes `range`; answers whether any of it was there.
    pub fn remove(&mut self, range: &Range<u64>) -> bool {
        let mut found = false;
        while let Some((&first, &last)) = self.0.range(..range.end).next_back() {
            if last <= range.start {
                break;
            }
            found = true;
            self.0.remove(&first);
            if first < range.start {
                self.0.insert(first, range.start);
            }
            if last > range.end {
                self.0.insert(range.end, last);
            }
        }
        found
    }

    /// The parts of `range` that are in the set, from the highest down.
    pub fn intersection(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let Range { start, end } = range;
        self.0
            .range(..end)
            .rev()
            .take_while(move |(_, last)| **last > start)
            .map(move |(&first, &last)| first.max(start)..last.min(end))
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(set: &Intervals) -> Vec<(u64, u64)> {
        set.0.iter().map(|(&start, &end)| (start, end)).collect()
    }

    #[test]
    fn neighbours_and_overlaps_merge() {
        let mut set = Intervals::default();
        set.insert(10..20);
        set.insert(30..40);
        assert_eq!(list(&set), [(10, 20), (30, 40)]);
        set.insert(20..30);
        assert_eq!(list(&set), [(10, 40)]);
        set.insert(5..50);
        assert_eq!(list(&set), [(5, 50)]);
    }

    #[test]
    fn removal_splits() {
        let mut set = Intervals::default();
        set.insert(0..100);
        assert!(set.remove(&(40..60)));
        assert!(!set.remove(&(45..55)));
        assert_eq!(list(&set), [(0, 40), (60, 100)]);
        assert!(set.remove(&(30..70)));
        assert_eq!(list(&set), [(0, 30), (70, 100)]);
    }

    #[test]
    fn intersection_is_clipped() {
        let mut set = Intervals::default();
        set.insert(0..10);
        set.insert(20..30);
        set.insert(40..50);
        let parts: Vec<_> = set.intersection(5..41).collect();
        assert_eq!(parts, [40..41, 20..30, 5..10]);
        assert_eq!(set.intersection(10..20).count(), 0);
    }

    /// Compares with a set of single addresses, over all short sequences of a small generator.
    #[test]
    fn agrees_with_a_plain_set() {
        let mut random = 1_u64;
        let mut next = |bound| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let (mut set, mut plain) = (Intervals::default(), std::collections::BTreeSet::new());
        for _ in 0..2000 {
            let start = next(60);
            let range = start..start + 1 + next(12);
            if next(2) == 0 {
                plain.extend(range.clone());
                set.insert(range);
            } else {
                let before = plain.len();
                plain.retain(|address| !range.contains(address));
                assert_eq!(set.remove(&range), plain.len() != before);
            }
            let covered: usize = set.intersection(0..100).map(|part| part.count()).sum();
            assert_eq!(covered, plain.len());
        }
    }
}
