//! Timers that send signals (setitimer(2), alarm(2), timer_create(2)).

use alloc::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    abi::{IntervalTimespec, IntervalTimeval, SECOND, Timespec, Timeval},
    clock::Clock,
};
use crate::{
    errno::{Errno, Result},
    kernel::{Current, IntervalTimer, Notification, Setting, TimeBase, signal::Signal},
    mm::UserAddress,
    syscalls::SyscallResult,
};

const ABSOLUTE: i32 = 1;

fn interval_timer(current: &Current, which: i32) -> Result<Arc<IntervalTimer>> {
    let which = usize::try_from(which).map_err(|_| Errno::EINVAL)?;
    let process = current.process();
    process.timers.interval(&current.kernel, process, which)
}

/// Time to the next expiry and interval of `timer`, in nanoseconds; an armed timer never shows 0.
fn remaining(current: &Current, timer: &IntervalTimer) -> (u64, u64) {
    let Setting { expiry, interval } = timer.setting();
    let now = timer.now(&current.kernel);
    (expiry.map_or(0, |expiry| expiry.saturating_sub(now).max(1)), interval)
}

fn as_timeval(nanoseconds: u64) -> Timeval {
    // Rounded up, so that an armed timer does not look disarmed.
    Timeval::from_nanoseconds(nanoseconds.saturating_add(999))
}

/// getitimer(2).
pub async fn getitimer(current: &mut Current, which: i32, value: UserAddress) -> SyscallResult {
    let timer = interval_timer(current, which)?;
    let (rest, interval) = remaining(current, &timer);
    let answer = IntervalTimeval { interval: as_timeval(interval), value: as_timeval(rest) };
    current.mm.write(value, &answer).await?;
    Ok(0)
}

/// setitimer(2).
pub async fn setitimer(
    current: &mut Current,
    which: i32,
    value: UserAddress,
    old: UserAddress,
) -> SyscallResult {
    let timer = interval_timer(current, which)?;
    let new: IntervalTimeval =
        if value.is_null() { IntervalTimeval::default() } else { current.mm.read(value).await? };
    let (first, interval) = (new.value.to_nanoseconds()?, new.interval.to_nanoseconds()?);
    let (rest, old_interval) = remaining(current, &timer);
    arm(current, &timer, first, interval);
    if !old.is_null() {
        let answer =
            IntervalTimeval { interval: as_timeval(old_interval), value: as_timeval(rest) };
        current.mm.write(old, &answer).await?;
    }
    Ok(0)
}

fn arm(current: &Current, timer: &Arc<IntervalTimer>, first: u64, interval: u64) {
    let now = timer.now(&current.kernel);
    let expiry = (first != 0).then(|| now.saturating_add(first));
    timer.set(&current.kernel, Setting { expiry, interval });
}

/// alarm(2).
pub fn alarm(current: &mut Current, seconds: u32) -> SyscallResult {
    let timer = interval_timer(current, 0)?;
    let (rest, _) = remaining(current, &timer);
    arm(current, &timer, u64::from(seconds) * SECOND, 0);
    // Linux rounds to the nearest second, but never down to "no alarm".
    let rounded = rest.saturating_add(SECOND / 2) / SECOND;
    Ok(if rest == 0 { 0 } else { rounded.max(1) })
}

/// `struct sigevent`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SignalEvent {
    value: u64,
    signal: i32,
    notify: i32,
    thread: u32,
    padding: [u32; 11],
}

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
const SIGEV_THREAD_ID: i32 = 4;

/// timer_create(2).
pub async fn timer_create(
    current: &mut Current,
    clock: i32,
    event: UserAddress,
    id: UserAddress,
) -> SyscallResult {
    let base = match Clock::from_id(clock)? {
        Clock::Realtime | Clock::Monotonic => TimeBase::Real,
        Clock::Process { pid: 0, user_only } | Clock::Thread { tid: 0, user_only } => {
            if user_only {
                TimeBase::User
            } else {
                TimeBase::Processor
            }
        }
        Clock::Process { .. } | Clock::Thread { .. } => return Err(Errno::EINVAL),
    };
    let event: Option<SignalEvent> =
        if event.is_null() { None } else { Some(current.mm.read(event).await?) };
    let make = notification(current, event)?;
    let process = current.process();
    let clock = clock.cast_unsigned();
    let number = process.timers.create(&current.kernel, process, (base, clock), make)?;
    if let Err(errno) = current.mm.write(id, &number).await {
        current.process().timers.delete(&current.kernel, number)?;
        return Err(errno);
    }
    Ok(0)
}

/// What a timer with a given id is to do. Without an event: SIGALRM with the id as its value.
fn notification(
    current: &Current,
    event: Option<SignalEvent>,
) -> Result<impl FnOnce(u32) -> Notification> {
    let chosen = match event {
        None => None,
        Some(event) if event.notify == SIGEV_NONE => Some(Notification::None),
        Some(event) => {
            let signal = Signal::from_number(event.signal)?;
            Some(match event.notify {
                SIGEV_SIGNAL | SIGEV_THREAD => Notification::Process(signal, event.value),
                SIGEV_THREAD_ID => {
                    let task = current.processes().task(event.thread);
                    let own = |task: &Arc<crate::kernel::Task>| {
                        Arc::ptr_eq(&task.process, current.process())
                    };
                    let task = task.filter(own).ok_or(Errno::EINVAL)?;
                    Notification::Task(Arc::downgrade(&task), signal, event.value)
                }
                _ => return Err(Errno::EINVAL),
            })
        }
    };
    Ok(move |id| chosen.unwrap_or(Notification::Process(Signal::ALRM, u64::from(id))))
}

/// timer_settime(2).
pub async fn timer_settime(
    current: &mut Current,
    id: u32,
    flags: i32,
    new: UserAddress,
    old: UserAddress,
) -> SyscallResult {
    let timer = current.process().timers.get(id)?;
    let setting: IntervalTimespec = current.mm.read(new).await?;
    let (first, interval) = (setting.value.to_nanoseconds()?, setting.interval.to_nanoseconds()?);
    let before = remaining(current, &timer);
    let relative = if flags & ABSOLUTE == 0 || first == 0 {
        first
    } else {
        let now = Clock::from_id(timer.clock.cast_signed())?.now(current)?;
        first.saturating_sub(now).max(1)
    };
    arm(current, &timer, relative, interval);
    if !old.is_null() {
        current.mm.write(old, &as_timespec(before)).await?;
    }
    Ok(0)
}

/// timer_gettime(2).
pub async fn timer_gettime(current: &mut Current, id: u32, value: UserAddress) -> SyscallResult {
    let timer = current.process().timers.get(id)?;
    let answer = as_timespec(remaining(current, &timer));
    current.mm.write(value, &answer).await?;
    Ok(0)
}

const fn as_timespec((rest, interval): (u64, u64)) -> IntervalTimespec {
    IntervalTimespec {
        interval: Timespec::from_nanoseconds(interval),
        value: Timespec::from_nanoseconds(rest),
    }
}

/// timer_getoverrun(2).
pub fn timer_getoverrun(current: &mut Current, id: u32) -> SyscallResult {
    Ok(u64::from(current.process().timers.get(id)?.overrun()))
}

/// timer_delete(2).
pub fn timer_delete(current: &mut Current, id: u32) -> SyscallResult {
    current.process().timers.delete(&current.kernel, id)?;
    Ok(0)
}
