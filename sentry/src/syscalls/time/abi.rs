//! Time as user code passes it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::errno::{Errno, Result};

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// `struct timespec`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: i64,
}

impl Timespec {
    /// `nanoseconds` as seconds and rest.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self {
            seconds: (nanoseconds / SECOND).cast_signed(),
            nanoseconds: (nanoseconds % SECOND).cast_signed(),
        }
    }

    /// The whole in nanoseconds; times too far away become the farthest there is.
    ///
    /// # Errors
    /// EINVAL if a part is negative, or the nanoseconds are not below a second.
    pub fn to_nanoseconds(self) -> Result<u64> {
        let seconds = u64::try_from(self.seconds).map_err(|_| Errno::EINVAL)?;
        let nanoseconds = u64::try_from(self.nanoseconds).map_err(|_| Errno::EINVAL)?;
        if nanoseconds >= SECOND {
            return Err(Errno::EINVAL);
        }
        Ok(seconds.saturating_mul(SECOND).saturating_add(nanoseconds))
    }
}

/// `struct timeval`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timeval {
    /// Seconds.
    pub seconds: i64,
    /// Microseconds within the second.
    pub microseconds: i64,
}

impl Timeval {
    /// `nanoseconds` rounded down to microseconds.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self {
            seconds: (nanoseconds / SECOND).cast_signed(),
            microseconds: (nanoseconds % SECOND / 1000).cast_signed(),
        }
    }

    /// The whole in nanoseconds; times too far away become the farthest there is.
    ///
    /// # Errors
    /// EINVAL if a part is negative, or the microseconds are not below a second.
    pub fn to_nanoseconds(self) -> Result<u64> {
        let nanoseconds = self.microseconds.checked_mul(1000).ok_or(Errno::EINVAL)?;
        Timespec { seconds: self.seconds, nanoseconds }.to_nanoseconds()
    }
}

/// `struct itimerspec`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IntervalTimespec {
    /// Time between expiries.
    pub interval: Timespec,
    /// Time to the next; zero disarms.
    pub value: Timespec,
}

/// `struct itimerval`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IntervalTimeval {
    /// Time between expiries.
    pub interval: Timeval,
    /// Time to the next; zero disarms.
    pub value: Timeval,
}

/// `struct rusage`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResourceUsage {
    /// Processor time in user code.
    pub user_time: Timeval,
    /// Processor time in the kernel.
    pub system_time: Timeval,
    /// Largest resident set in KiB.
    pub max_resident: i64,
    /// Not kept (`ru_ixrss`, `ru_idrss`, `ru_isrss`).
    pub unused_sizes: [i64; 3],
    /// Page faults without I/O.
    pub minor_faults: u64,
    /// Page faults with I/O.
    pub major_faults: u64,
    /// Not kept (`ru_nswap` to `ru_nsignals`).
    pub unused_counts: [i64; 6],
    /// Times it waited.
    pub voluntary_switches: u64,
    /// Times it was preempted.
    pub involuntary_switches: u64,
}

impl From<&crate::kernel::Usage> for ResourceUsage {
    fn from(usage: &crate::kernel::Usage) -> Self {
        Self {
            user_time: Timeval::from_nanoseconds(usage.user_nanoseconds),
            system_time: Timeval::from_nanoseconds(usage.system_nanoseconds),
            minor_faults: usage.minor_faults,
            voluntary_switches: usage.voluntary_switches,
            involuntary_switches: usage.involuntary_switches,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_linux() {
        assert_eq!(size_of::<Timespec>(), 16);
        assert_eq!(size_of::<IntervalTimespec>(), 32);
        assert_eq!(size_of::<ResourceUsage>(), 144);
    }

    #[test]
    fn odd_times_are_refused_and_far_ones_kept_in_range() {
        let odd = Timespec { seconds: 0, nanoseconds: 1_000_000_000 };
        assert_eq!(odd.to_nanoseconds(), Err(Errno::EINVAL));
        let far = Timespec { seconds: i64::MAX, nanoseconds: 0 };
        assert_eq!(far.to_nanoseconds(), Ok(u64::MAX));
        assert_eq!(Timespec::from_nanoseconds(1_500_000_000).nanoseconds, 500_000_000);
    }
}
