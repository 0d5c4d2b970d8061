//! poll(2) and ppoll(2).

use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Outcome, Timeout, Watch, block_signals, wait};
use crate::{
    errno::{Errno, Result},
    kernel::{Current, PollEvents, Resource},
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult, time::Timespec},
};

/// `struct pollfd`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PollDescriptor {
    descriptor: i32,
    events: u16,
    ready: u16,
}

/// poll(2).
///
/// # Errors
/// As poll(2).
pub async fn poll(
    current: &mut Current,
    descriptors: UserAddress,
    count: u32,
    milliseconds: i32,
) -> SyscallResult {
    let timeout = Timeout::from_milliseconds(current, milliseconds);
    match poll_all(current, descriptors, count, timeout).await? {
        Some(ready) => Ok(ready),
        None => Err(match timeout.deadline() {
            Some(deadline) => current.restart_with(deadline),
            None => Errno::ERESTARTNOHAND,
        }),
    }
}

/// ppoll(2).
///
/// # Errors
/// As ppoll(2).
pub async fn ppoll(
    current: &mut Current,
    descriptors: UserAddress,
    count: u32,
    time: UserAddress,
    mask: UserAddress,
    mask_size: usize,
) -> SyscallResult {
    let timeout = Timeout::from_timespec(current, time).await?;
    block_signals(current, mask, mask_size).await?;
    let ready = poll_all(current, descriptors, count, timeout).await?;
    if let Some(left) = timeout.remaining(current) {
        // Time that cannot be written back is no reason to lose the result.
        let _ = current.mm.write(time, &Timespec::from_nanoseconds(left)).await;
    }
    ready.ok_or(Errno::ERESTARTNOHAND)
}

/// How many files are ready; `None` if a signal came first.
async fn poll_all(
    current: &Current,
    address: UserAddress,
    count: u32,
    timeout: Timeout,
) -> Result<Option<u64>> {
    if u64::from(count) > current.process().limit(Resource::OpenFiles).soft {
        return Err(Errno::EINVAL);
    }
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let mut polled: Vec<PollDescriptor> = current.mm.read_array(address, count).await?;
    let asked = |polled: &PollDescriptor| polled.descriptor >= 0;
    let watches: Vec<Watch> = polled
        .iter()
        .filter(|polled| asked(polled))
        .map(|polled| Watch {
            open: current.files.get(FileDescriptor(polled.descriptor)).ok(),
            interest: PollEvents::from_bits_truncate(u32::from(polled.events)),
        })
        .collect();
    if wait(current, &watches, timeout).await == Outcome::Interrupted {
        return Ok(None);
    }
    polled.iter_mut().for_each(|polled| polled.ready = 0);
    let mut ready_count = 0;
    for (polled, watch) in polled.iter_mut().filter(|polled| asked(polled)).zip(&watches) {
        // The bits of poll(2) are the low 16.
        polled.ready = u16::try_from(watch.events().bits()).unwrap_or(u16::MAX);
        ready_count += u64::from(polled.ready != 0);
    }
    current.mm.copy_out(address, polled.as_bytes()).await?;
    Ok(Some(ready_count))
}
