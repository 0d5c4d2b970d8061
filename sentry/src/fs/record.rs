//! Reads and writes of one fixed-size record.

use crate::io::{Destination, Source, TryResult};

/// Puts all of `record`. The caller has checked that there is room.
///
/// # Errors
/// As [`Destination::put`].
pub fn put_record(destination: &mut dyn Destination, record: &[u8]) -> TryResult<usize> {
    let mut done = 0;
    while let Some(rest) = record.get(done..).filter(|rest| !rest.is_empty()) {
        match destination.put(rest)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

/// Takes a record of `N` bytes. The caller has checked that there are as many.
///
/// # Errors
/// As [`Source::take`].
pub fn take_record<const N: usize>(source: &mut dyn Source) -> TryResult<[u8; N]> {
    let mut record = [0; N];
    let mut done = 0;
    while let Some(rest) = record.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match source.take(rest)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(record)
}
