//! The guest's functions on memory, against what Rust's own do, natively.
#![allow(unsafe_code, clippy::unwrap_used, reason = "the functions under test take pointers")]

#[path = "../../kvm-guest/src/image/memory_functions.rs"]
mod memory_functions;

use memory_functions::{bcmp, memcmp, memcpy, memmove, memset, strlen};
use proptest::prelude::*;

/// Room around what may be written, which must stay as it is.
const MARGIN: usize = 24;

fn patterned(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + 3) as u8).collect()
}

#[test]
fn every_small_length_is_copied_and_set() {
    for length in 0..700 {
        let source = patterned(length);
        let mut target = vec![0xee; length + 2 * MARGIN];
        let mut expected = target.clone();
        expected[MARGIN..MARGIN + length].copy_from_slice(&source);
        // SAFETY: both have room for the length.
        let returned = unsafe { memcpy(target[MARGIN..].as_mut_ptr(), source.as_ptr(), length) };
        assert_eq!(returned, target[MARGIN..].as_mut_ptr());
        assert_eq!(target, expected, "{length}");
        expected[MARGIN..MARGIN + length].fill(0xa5);
        // SAFETY: as above; only the lowest byte of the value counts.
        let returned = unsafe { memset(target[MARGIN..].as_mut_ptr(), 0x1a5, length) };
        assert_eq!(returned, target[MARGIN..].as_mut_ptr());
        assert_eq!(target, expected, "{length}");
    }
}

#[test]
fn overlapping_ranges_are_moved_whole() {
    for length in 0..300 {
        for (from, to) in [(40, 39), (40, 33), (40, 24), (40, 0), (0, 1), (0, 7), (0, 16), (5, 5)] {
            let mut bytes = patterned(length + 64);
            let mut expected = bytes.clone();
            expected.copy_within(from..from + length, to);
            let start = bytes.as_mut_ptr();
            // SAFETY: both ranges lie in the vector.
            unsafe { memmove(start.add(to), start.add(from), length) };
            assert_eq!(bytes, expected, "{length} bytes from {from} to {to}");
        }
    }
}

#[test]
fn a_string_ends_at_its_first_zero() {
    // SAFETY: both end in a zero.
    unsafe {
        assert_eq!(strlen(c"".as_ptr().cast()), 0);
        assert_eq!(strlen(c"sentry".as_ptr().cast()), 6);
    }
}

proptest! {
    #[test]
    fn comparison_orders_as_slices_do(
        left in prop::collection::vec(any::<u8>(), 0..40),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut right = left.clone();
        if !right.is_empty() {
            let index = place.index(right.len());
            right[index] = byte;
        }
        let length = left.len();
        // SAFETY: both have that length.
        let (order, equality) = unsafe {
            let (left, right) = (left.as_ptr(), right.as_ptr());
            (memcmp(left, right, length), bcmp(left, right, length))
        };
        prop_assert_eq!(order.signum(), left.cmp(&right) as i32);
        prop_assert_eq!(equality == 0, left == right);
    }
}
