//! select(2) and pselect(2).

use alloc::{vec, vec::Vec};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Outcome, Timeout, Watch, block_signals, wait};
use crate::{
    errno::{Errno, Result},
    kernel::{Current, PollEvents},
    mm::UserAddress,
    syscalls::{
        FileDescriptor, SyscallResult,
        time::{Timespec, Timeval},
    },
    vfs::MAX_DESCRIPTORS,
};

const WORD_BITS: usize = 64;

/// Readable, writable, exceptional: what makes a bit of each of the three sets (select(2),
/// "Correspondence between select() and poll() notifications").
const KINDS: [PollEvents; 3] = [
    PollEvents::IN
        .union(PollEvents::READ_NORMAL)
        .union(PollEvents::READ_BAND)
        .union(PollEvents::HANG_UP)
        .union(PollEvents::ERROR),
    PollEvents::OUT
        .union(PollEvents::WRITE_NORMAL)
        .union(PollEvents::WRITE_BAND)
        .union(PollEvents::ERROR),
    PollEvents::PRIORITY,
];

/// The sixth argument of pselect6: a mask and its size.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct MaskArgument {
    address: u64,
    size: u64,
}

/// select(2).
///
/// # Errors
/// As select(2).
pub async fn select(
    current: &mut Current,
    count: i32,
    readable: UserAddress,
    writable: UserAddress,
    exceptional: UserAddress,
    time: UserAddress,
) -> SyscallResult {
    let nanoseconds = if time.is_null() {
        None
    } else {
        let time: Timeval = current.mm.read(time).await?;
        Some(time.to_nanoseconds()?)
    };
    let timeout = Timeout::after(current, nanoseconds);
    let result = select_all(current, count, [readable, writable, exceptional], timeout).await;
    if let Some(left) = timeout.remaining(current) {
        // Time that cannot be written back is no reason to lose the result.
        let _ = current.mm.write(time, &Timeval::from_nanoseconds(left)).await;
    }
    result
}

/// pselect(2).
///
/// # Errors
/// As pselect(2).
pub async fn pselect6(
    current: &mut Current,
    count: i32,
    readable: UserAddress,
    writable: UserAddress,
    exceptional: UserAddress,
    time: UserAddress,
    mask: UserAddress,
) -> SyscallResult {
    let timeout = Timeout::from_timespec(current, time).await?;
    if !mask.is_null() {
        let mask: MaskArgument = current.mm.read(mask).await?;
        let size = usize::try_from(mask.size).map_err(|_| Errno::EINVAL)?;
        block_signals(current, UserAddress(mask.address), size).await?;
    }
    let result = select_all(current, count, [readable, writable, exceptional], timeout).await;
    if let Some(left) = timeout.remaining(current) {
        let _ = current.mm.write(time, &Timespec::from_nanoseconds(left)).await;
    }
    result
}

/// A descriptor and which of the three sets have it.
struct Asked {
    descriptor: usize,
    sets: [bool; 3],
}

async fn select_all(
    current: &Current,
    count: i32,
    addresses: [UserAddress; 3],
    timeout: Timeout,
) -> SyscallResult {
    let count = u64::try_from(count).map_err(|_| Errno::EINVAL)?.min(MAX_DESCRIPTORS);
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let sets = read_sets(current, addresses, count).await?;
    let asked = asked(&sets, count);
    let watches =
        asked.iter().map(|asked| watch(current, asked)).collect::<Result<Vec<Watch>>>()?;
    if wait(current, &watches, timeout).await == Outcome::Interrupted {
        return Err(Errno::ERESTARTNOHAND);
    }
    let mut ready = [(); 3].map(|()| vec![0_u64; count.div_ceil(WORD_BITS)]);
    let mut total = 0;
    for (asked, watch) in asked.iter().zip(&watches) {
        let events = watch.events();
        for ((set, kind), wanted) in ready.iter_mut().zip(KINDS).zip(asked.sets) {
            let word = set.get_mut(asked.descriptor / WORD_BITS);
            if wanted
                && events.intersects(kind)
                && let Some(word) = word
            {
                *word |= 1 << (asked.descriptor % WORD_BITS);
                total += 1;
            }
        }
    }
    for (address, set) in addresses.into_iter().zip(&ready) {
        if !address.is_null() {
            current.mm.copy_out(address, set.as_bytes()).await?;
        }
    }
    Ok(total)
}

async fn read_sets(
    current: &Current,
    addresses: [UserAddress; 3],
    count: usize,
) -> Result<[Vec<u64>; 3]> {
    let mut sets = [Vec::new(), Vec::new(), Vec::new()];
    for (set, address) in sets.iter_mut().zip(addresses) {
        if !address.is_null() {
            *set = current.mm.read_array(address, count.div_ceil(WORD_BITS)).await?;
        }
    }
    Ok(sets)
}

/// The descriptors below `count` that are in some set.
fn asked(sets: &[Vec<u64>; 3], count: usize) -> Vec<Asked> {
    let mut all = Vec::new();
    for index in 0..count.div_ceil(WORD_BITS) {
        let words = sets.each_ref().map(|set| set.get(index).copied().unwrap_or(0));
        let mut any = words.iter().fold(0, |any, word| any | word);
        while any != 0 {
            let bit = any.trailing_zeros();
            any &= any - 1;
            let descriptor = index * WORD_BITS + usize::try_from(bit).unwrap_or(0);
            if descriptor < count {
                all.push(Asked { descriptor, sets: words.map(|word| word >> bit & 1 != 0) });
            }
        }
    }
    all
}

fn watch(current: &Current, asked: &Asked) -> Result<Watch> {
    let descriptor = i32::try_from(asked.descriptor).map_err(|_| Errno::EBADF)?;
    let open = current.files.get(FileDescriptor(descriptor))?;
    let kinds = KINDS.into_iter().zip(asked.sets).filter(|(_, wanted)| *wanted);
    let interest = kinds.fold(PollEvents::empty(), |all, (kind, _)| all | kind);
    Ok(Watch { open: Some(open), interest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_up_to_the_count() {
        let sets = [vec![0b101, 1], vec![0b100, u64::MAX], Vec::new()];
        let found: Vec<_> =
            asked(&sets, 66).into_iter().map(|asked| (asked.descriptor, asked.sets)).collect();
        let expected = [
            (0, [true, false, false]),
            (2, [true, true, false]),
            (64, [true, true, false]),
            (65, [false, true, false]),
        ];
        assert_eq!(found, expected);
    }
}
