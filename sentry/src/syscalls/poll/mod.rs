//! Waiting for several files: poll(2), select(2), epoll(7).

pub mod epoll;
#[allow(clippy::module_inception, reason = "named after poll(2)")]
pub mod poll;
mod ready;
pub mod select;

use ready::{Outcome, Watch, wait};

use crate::{
    errno::Result,
    kernel::{Current, Deadline},
    mm::UserAddress,
    syscalls::{signal, time::Timespec},
};

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// The time a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timeout {
    /// Not at all.
    Zero,
    /// Until then.
    At(Deadline),
    /// For ever.
    Never,
}

impl Timeout {
    /// `nanoseconds` from now; `None` is for ever.
    fn after(current: &mut Current, nanoseconds: Option<u64>) -> Self {
        match nanoseconds {
            None => Self::Never,
            Some(0) => Self::Zero,
            Some(nanoseconds) => Self::At(current.deadline_after(nanoseconds)),
        }
    }

    /// From milliseconds, of which negative ones mean for ever.
    fn from_milliseconds(current: &mut Current, milliseconds: i32) -> Self {
        let milliseconds = u64::try_from(milliseconds).ok();
        Self::after(current, milliseconds.map(|count| count * NANOSECONDS_PER_MILLISECOND))
    }

    /// From a `struct timespec`, or for ever from NULL.
    async fn from_timespec(current: &mut Current, address: UserAddress) -> Result<Self> {
        if address.is_null() {
            return Ok(Self::Never);
        }
        let time: Timespec = current.mm.read(address).await?;
        Ok(Self::after(current, Some(time.to_nanoseconds()?)))
    }

    const fn deadline(self) -> Option<Deadline> {
        match self {
            Self::At(deadline) => Some(deadline),
            Self::Zero | Self::Never => None,
        }
    }

    /// What is left of it, in nanoseconds; `None` for ever.
    fn remaining(self, current: &Current) -> Option<u64> {
        match self {
            Self::Zero => Some(0),
            Self::At(Deadline(at)) => {
                Some(at.saturating_sub(current.kernel.platform.monotonic_nanoseconds()))
            }
            Self::Never => None,
        }
    }
}

/// Blocks the signals at `mask`, if it is not NULL, until the call has ended.
async fn block_signals(current: &mut Current, mask: UserAddress, size: usize) -> Result<()> {
    if !mask.is_null() {
        let mask = signal::read_set(current, mask, size).await?;
        current.block_temporarily(mask);
    }
    Ok(())
}
