//! How many pages are brought in at once around a fault.

use core::ops::Range;

use super::PAGE;

/// Most pages of a window: what one leaf table maps, 2 MiB.
const LARGEST: u64 = 512;

/// Sequences of faults that are recognised at once, such as the source and the target of a copy in
/// each of two threads.
const SEQUENCES: usize = 4;

/// Faults one after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Sequence {
    /// Where the last window ended, and the next fault is expected.
    next: u64,
    /// Pages that the next window is to have.
    pages: u64,
}

/// Chooses windows: small ones where memory is touched here and there, so that little is brought in
/// for nothing, and ones that double while it is touched in sequence.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultWindows {
    sequences: [Sequence; SEQUENCES],
    /// The sequence that the next new one replaces.
    oldest: usize,
}

impl FaultWindows {
    /// The pages to bring in with the one at `page` in `area`: an aligned run, as far as it lies
    /// in the area, of at least about `smallest` pages.
    pub fn choose(&mut self, page: u64, area: &Range<u64>, smallest: usize) -> Range<u64> {
        let smallest = (smallest as u64).next_power_of_two().clamp(1, LARGEST);
        let known = self.sequences.iter().position(|it| it.next == page && it.pages > 0);
        let pages = match known.and_then(|index| self.sequences.get(index)) {
            // What lies before the page is there already, so the window starts with it.
            Some(sequence) => sequence.pages.min(alignment(page)).max(smallest),
            None => smallest,
        };
        let start = page & !(pages * PAGE - 1);
        let window = start.max(area.start)..(start + pages * PAGE).min(area.end);
        let index = known.unwrap_or_else(|| self.replace_oldest());
        if let Some(sequence) = self.sequences.get_mut(index) {
            let grown = if known.is_some() { sequence.pages } else { smallest };
            *sequence = Sequence { next: window.end, pages: (grown * 2).min(LARGEST) };
        }
        window
    }

    const fn replace_oldest(&mut self) -> usize {
        let index = self.oldest;
        self.oldest = (index + 1) % SEQUENCES;
        index
    }
}

/// Pages of the largest aligned run that starts at `page`.
fn alignment(page: u64) -> u64 {
    1 << (page / PAGE).trailing_zeros().min(LARGEST.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    const AREA: Range<u64> = 0x4000_0000..0x8000_0000;

    /// Numbers of pages brought in by touching `pages` pages from the start of the area on.
    fn sizes(windows: &mut FaultWindows, start: u64, pages: u64) -> Vec<u64> {
        let mut sizes = Vec::new();
        let mut page = start;
        while page < start + pages * PAGE {
            let window = windows.choose(page, &AREA, 16);
            assert_eq!(window.start, page);
            sizes.push((window.end - window.start) / PAGE);
            page = window.end;
        }
        sizes
    }

    #[test]
    fn windows_double_in_sequence_up_to_two_mebibytes() {
        let mut windows = FaultWindows::default();
        assert_eq!(
            sizes(&mut windows, AREA.start, 2048),
            [16, 16, 32, 64, 128, 256, 512, 512, 512]
        );
    }

    #[test]
    fn scattered_faults_get_small_windows() {
        let mut windows = FaultWindows::default();
        for index in [900, 20, 500, 40, 7000, 60] {
            let page = AREA.start + index * PAGE;
            let window = windows.choose(page, &AREA, 16);
            assert!(window.contains(&page));
            assert_eq!(window.end - window.start, 16 * PAGE);
        }
    }

    #[test]
    fn interleaved_sequences_both_grow() {
        let mut windows = FaultWindows::default();
        let mut next = [AREA.start, AREA.start + (1 << 28)];
        let mut last = [0; 2];
        for _ in 0..9 {
            for (next, last) in next.iter_mut().zip(&mut last) {
                let window = windows.choose(*next, &AREA, 16);
                *last = (window.end - window.start) / PAGE;
                *next = window.end;
            }
        }
        assert_eq!(last, [512, 512]);
    }

    proptest! {
        #[test]
        fn a_window_holds_the_page_and_stays_in_the_area_and_a_leaf_table(
            pages in proptest::collection::vec(0..2000_u64, 1..50),
            start in 0..2000_u64,
        ) {
            let area = (start * PAGE)..(start + 2000) * PAGE;
            let mut windows = FaultWindows::default();
            for page in pages {
                let page = area.start + page * PAGE;
                let window = windows.choose(page, &area, 16);
                prop_assert!(window.contains(&page));
                prop_assert!(window.start >= area.start && window.end <= area.end);
                let table = LARGEST * PAGE;
                prop_assert_eq!(window.start / table, (window.end - 1) / table);
            }
        }
    }
}
