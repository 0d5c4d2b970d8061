//! timerfd_create(2) and its relatives.

use alloc::sync::Arc;

use super::{NewDescriptor, answer};
use crate::{
    errno::{Errno, Result},
    fs::timer_fd::{TimerClock, TimerFd, TimerSetting},
    kernel::Current,
    mm::UserAddress,
    syscalls::{
        FileDescriptor, SyscallResult,
        time::{IntervalTimespec, Timespec},
    },
    vfs::OpenFile,
};

const TFD_TIMER_ABSTIME: u32 = 1;
/// Nobody sets the clock in a sandbox, so such a timer is never cancelled.
const TFD_TIMER_CANCEL_ON_SET: u32 = 2;

const CLOCK_REALTIME: i32 = 0;
const CLOCK_MONOTONIC: i32 = 1;
const CLOCK_BOOTTIME: i32 = 7;

/// timerfd_create(2).
///
/// # Errors
/// As timerfd_create(2); EINVAL for the alarm clocks, since a sandbox is never suspended.
pub fn timerfd_create(current: &mut Current, clock: i32, flags: u32) -> SyscallResult {
    let clock = match clock {
        CLOCK_REALTIME => TimerClock::Realtime,
        CLOCK_MONOTONIC | CLOCK_BOOTTIME => TimerClock::Monotonic,
        _ => return Err(Errno::EINVAL),
    };
    let new = NewDescriptor::new(flags, 0)?;
    answer(new.install(current, TimerFd::new(current.kernel.clone(), clock))?)
}

/// timerfd_settime(2).
///
/// # Errors
/// As timerfd_settime(2).
pub async fn timerfd_settime(
    current: &mut Current,
    descriptor: FileDescriptor,
    flags: u32,
    new: UserAddress,
    old: UserAddress,
) -> SyscallResult {
    if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let user: IntervalTimespec = current.mm.read(new).await?;
    let setting = TimerSetting {
        value: user.value.to_nanoseconds()?,
        interval: user.interval.to_nanoseconds()?,
    };
    let open = current.files.get(descriptor)?;
    let before = timer(&open)?.set(setting, flags & TFD_TIMER_ABSTIME != 0);
    if !old.is_null() {
        current.mm.write(old, &encode(before)).await?;
    }
    Ok(0)
}

/// timerfd_gettime(2).
///
/// # Errors
/// As timerfd_gettime(2).
pub async fn timerfd_gettime(
    current: &mut Current,
    descriptor: FileDescriptor,
    setting: UserAddress,
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    let now = timer(&open)?.get();
    current.mm.write(setting, &encode(now)).await?;
    Ok(0)
}

fn timer(open: &Arc<OpenFile>) -> Result<&TimerFd> {
    open.downcast().ok_or(Errno::EINVAL)
}

fn encode(setting: TimerSetting) -> IntervalTimespec {
    IntervalTimespec {
        interval: Timespec::from_nanoseconds(setting.interval),
        value: Timespec::from_nanoseconds(setting.value),
    }
}
