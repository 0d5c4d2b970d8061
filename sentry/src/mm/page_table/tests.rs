use std::{collections::BTreeMap, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::platform::{Protection, mock::MockPlatform};

fn table(pages: usize) -> (Arc<FrameAllocator>, PageTable) {
    let frames = FrameAllocator::new(MockPlatform::new(pages), Frame(1));
    let table = PageTable::new(&frames).unwrap();
    (frames, table)
}

#[test]
fn entries_are_what_the_processor_expects() {
    let entry = Entry::new(Frame(5), Protection::READ | Protection::WRITE, true);
    assert_eq!(entry.raw() & 0x8000_0000_0000_5007, 0x8000_0000_0000_5007);
    let code = Entry::new(Frame(5), Protection::EXECUTE, false);
    assert_eq!(code.raw() & 0x8000_0000_0000_0007, 5);
    assert_eq!(code.protection(), Protection::READ | Protection::EXECUTE);
    let hidden = entry.with_protection(Protection::empty());
    assert_eq!(hidden.raw() & 1, 0);
    assert_eq!((hidden.frame(), hidden.readable_address()), (Some(Frame(5)), None));
}

#[test]
fn leaves_the_upper_half_of_the_root_alone() {
    let (frames, table) = table(16);
    let upper = table.root().address() + 256 * 8;
    frames.memory().atomic_u64(upper).unwrap().store(0x7fff_f003, Ordering::Relaxed);
    drop(table);
    assert_eq!(frames.free_frames(), 15);
}

#[test]
fn out_of_memory_is_an_error_and_leaks_nothing() {
    let (frames, mut table) = table(4);
    let entry = Entry::new(Frame(0), Protection::READ, true);
    assert!(table.set(0x1000, entry).is_err());
    drop(table);
    assert_eq!(frames.free_frames(), 3);
}

#[test]
fn a_leaf_table_that_was_taken_out_is_not_used_again() {
    let (frames, mut table) = table(16);
    let page = frames.allocate_one().unwrap().into_frame();
    table.set(LEAF_SPAN, Entry::new(page, Protection::READ, true)).unwrap();
    assert_eq!(table.get(LEAF_SPAN).frame(), Some(page));
    drop(table.take(LEAF_SPAN));
    let detached = table.detach_tables(0..2 * LEAF_SPAN);
    // Somebody else's now, who writes what he likes.
    let stale = frames.memory().atomic_u64(detached[0].address()).unwrap();
    stale.store(Entry::new(page, Protection::READ, true).raw(), Ordering::Relaxed);
    assert_eq!((detached.len(), table.get(LEAF_SPAN)), (1, Entry::default()));
    stale.store(0, Ordering::Relaxed);
}

/// Addresses that share tables on every level, and some that do not.
fn address() -> impl Strategy<Value = u64> {
    let index = prop_oneof![0..2_u64, 510..512_u64];
    (0..2_u64, index.clone(), index.clone(), index)
        .prop_map(|(a, b, c, d)| (((a * 255 * 512 + b) * 512 + c) * 512 + d) * PAGE)
}

proptest! {
    // Each step looks at whole tables.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn behaves_like_a_map(
        steps in proptest::collection::vec((0..4_u8, address(), address()), 1..40),
    ) {
        let (frames, mut table) = table(400);
        let free = frames.free_frames();
        let mut model: BTreeMap<u64, Frame> = BTreeMap::new();
        for (kind, first, second) in steps {
            let range = first.min(second)..first.max(second);
            match kind {
                0 | 1 => {
                    let frame = frames.allocate_one().unwrap().into_frame();
                    let entry = Entry::new(frame, Protection::READ, true);
                    let old = table.set(first, entry).unwrap().map(|old| old.frame());
                    prop_assert_eq!(old, model.insert(first, frame));
                }
                2 => {
                    table.clear(range.clone());
                    model.retain(|address, _| !range.contains(address));
                }
                _ => {
                    let taken = table.take(first).map(|taken| taken.frame());
                    prop_assert_eq!(taken, model.remove(&first));
                }
            }
            let mut seen = Vec::new();
            table.for_each(0..1 << 47, |address, entry| {
                seen.push((address, entry.frame().unwrap()));
            });
            prop_assert_eq!(&seen, &model.iter().map(|(&a, &f)| (a, f)).collect::<Vec<_>>());
            prop_assert!(seen.iter().all(|&(a, f)| table.get(a).frame() == Some(f)));
        }
        drop(table);
        prop_assert_eq!(frames.free_frames(), free + 1);
    }
}
