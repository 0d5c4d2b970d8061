//! Reading clocks (clock_gettime(2), gettimeofday(2), time(2), times(2), getrusage(2)).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::abi::{ResourceUsage, SECOND, Timespec, Timeval};
use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Current, Usage},
    mm::UserAddress,
    syscalls::SyscallResult,
};

/// Clocks of clock_gettime(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// CLOCK_REALTIME and its variants.
    Realtime,
    /// CLOCK_MONOTONIC and its variants, CLOCK_BOOTTIME.
    Monotonic,
    /// Processor time of a process; of the caller if the id is 0.
    Process {
        /// Process id.
        pid: u32,
        /// Time in user code only (CPUCLOCK_VIRT).
        user_only: bool,
    },
    /// Processor time of a thread; of the caller if the id is 0.
    Thread {
        /// Thread id.
        tid: u32,
        /// Time in user code only.
        user_only: bool,
    },
}

impl Clock {
    /// The clock that `id` names.
    ///
    /// # Errors
    /// EINVAL if there is none.
    pub const fn from_id(id: i32) -> Result<Self> {
        Ok(match id {
            // REALTIME, REALTIME_COARSE, REALTIME_ALARM, TAI.
            0 | 5 | 8 | 11 => Self::Realtime,
            // MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME, BOOTTIME_ALARM.
            1 | 4 | 6 | 7 | 9 => Self::Monotonic,
            2 => Self::Process { pid: 0, user_only: false },
            3 => Self::Thread { tid: 0, user_only: false },
            id if id < 0 => return Self::from_dynamic(id),
            _ => return Err(Errno::EINVAL),
        })
    }

    /// Clocks of other tasks: the complement of the id, shifted by three; bit 2 means a thread, the
    /// low bits which time (include/linux/posix-timers_types.h).
    const fn from_dynamic(id: i32) -> Result<Self> {
        let target = !(id >> 3) as u32;
        let user_only = match id & 3 {
            0 | 2 => false,
            1 => true,
            _ => return Err(Errno::EINVAL),
        };
        Ok(if id & 4 != 0 {
            Self::Thread { tid: target, user_only }
        } else {
            Self::Process { pid: target, user_only }
        })
    }

    /// The time it shows, in nanoseconds.
    ///
    /// # Errors
    /// EINVAL if it is the clock of a task that does not exist.
    pub fn now(self, current: &Current) -> Result<u64> {
        let platform = &current.kernel.platform;
        let monotonic = platform.monotonic_nanoseconds();
        let select = |usage: Usage, user_only| {
            if user_only { usage.user_nanoseconds } else { usage.processor_nanoseconds() }
        };
        match self {
            Self::Realtime => Ok(platform.realtime_nanoseconds()),
            Self::Monotonic => Ok(monotonic),
            Self::Process { pid, user_only } => {
                let process = if pid == 0 {
                    current.process().clone()
                } else {
                    current.processes().process(pid).ok_or(Errno::EINVAL)?
                };
                Ok(select(process.usage(monotonic), user_only))
            }
            Self::Thread { tid, user_only } => {
                let task = if tid == 0 {
                    current.task.clone()
                } else {
                    current.processes().task(tid).ok_or(Errno::EINVAL)?
                };
                Ok(select(task.accounting.usage(monotonic), user_only))
            }
        }
    }
}

/// clock_gettime(2).
pub async fn clock_gettime(current: &mut Current, id: i32, time: UserAddress) -> SyscallResult {
    let now = Clock::from_id(id)?.now(current)?;
    current.mm.write(time, &Timespec::from_nanoseconds(now)).await?;
    Ok(0)
}

/// clock_getres(2).
pub async fn clock_getres(current: &mut Current, id: i32, result: UserAddress) -> SyscallResult {
    Clock::from_id(id)?.now(current)?;
    if !result.is_null() {
        let is_coarse = matches!(id, 5 | 6);
        let resolution = if is_coarse { 4_000_000 } else { 1 };
        current.mm.write(result, &Timespec::from_nanoseconds(resolution)).await?;
    }
    Ok(0)
}

/// clock_settime(2): the sandbox's clocks are the host's.
pub fn clock_settime(current: &mut Current, id: i32, _time: UserAddress) -> SyscallResult {
    match Clock::from_id(id)? {
        Clock::Realtime if current.credentials().has(Capabilities::SYS_TIME) => {
            Err(Errno::EOPNOTSUPP)
        }
        Clock::Realtime => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// gettimeofday(2). Time zones are always UTC.
pub async fn gettimeofday(
    current: &mut Current,
    time: UserAddress,
    zone: UserAddress,
) -> SyscallResult {
    if !time.is_null() {
        let now = current.kernel.platform.realtime_nanoseconds();
        current.mm.write(time, &Timeval::from_nanoseconds(now)).await?;
    }
    if !zone.is_null() {
        current.mm.write(zone, &[0_i32; 2]).await?;
    }
    Ok(0)
}

/// time(2).
pub async fn time(current: &mut Current, result: UserAddress) -> SyscallResult {
    let seconds = current.kernel.platform.realtime_nanoseconds() / SECOND;
    if !result.is_null() {
        current.mm.write(result, &seconds).await?;
    }
    Ok(seconds)
}

/// `struct tms`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Times {
    user: u64,
    system: u64,
    children_user: u64,
    children_system: u64,
}

/// times(2), in ticks of 10 ms.
pub async fn times(current: &mut Current, result: UserAddress) -> SyscallResult {
    const TICK: u64 = SECOND / 100;
    let now = current.kernel.platform.monotonic_nanoseconds();
    if !result.is_null() {
        let own = current.process().usage(now);
        let children = current.process().children_usage();
        let times = Times {
            user: own.user_nanoseconds / TICK,
            system: own.system_nanoseconds / TICK,
            children_user: children.user_nanoseconds / TICK,
            children_system: children.system_nanoseconds / TICK,
        };
        current.mm.write(result, &times).await?;
    }
    Ok(now / TICK)
}

/// getrusage(2).
pub async fn getrusage(current: &mut Current, who: i32, result: UserAddress) -> SyscallResult {
    let now = current.kernel.platform.monotonic_nanoseconds();
    let usage = match who {
        0 => current.process().usage(now),
        -1 => current.process().children_usage(),
        1 => current.task.accounting.usage(now),
        _ => return Err(Errno::EINVAL),
    };
    let mut result_usage = ResourceUsage::from(&usage);
    if who != -1 {
        let peak = current.mm.statistics().resident_peak;
        result_usage.max_resident = i64::try_from(peak * 4).unwrap_or(i64::MAX);
    }
    current.mm.write(result, &result_usage).await?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_other_tasks() {
        // As pthread_getcpuclockid(3) and clock_getcpuclockid(3) make them.
        let thread = (!77_i32 << 3) | 6;
        let process = (!77_i32 << 3) | 2;
        assert_eq!(Clock::from_id(thread), Ok(Clock::Thread { tid: 77, user_only: false }));
        assert_eq!(Clock::from_id(process), Ok(Clock::Process { pid: 77, user_only: false }));
        assert_eq!(Clock::from_id(42), Err(Errno::EINVAL));
    }
}
