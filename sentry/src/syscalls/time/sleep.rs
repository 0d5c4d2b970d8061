//! Sleeping (nanosleep(2), clock_nanosleep(2)).

use super::{abi::Timespec, clock::Clock};
use crate::{
    errno::Errno,
    kernel::{Current, Deadline, Interruption, WaitReason},
    mm::UserAddress,
    syscalls::SyscallResult,
};

const ABSOLUTE: i32 = 1;

/// nanosleep(2).
pub async fn nanosleep(
    current: &mut Current,
    request: UserAddress,
    remaining: UserAddress,
) -> SyscallResult {
    let time: Timespec = current.mm.read(request).await?;
    sleep_for(current, time.to_nanoseconds()?, remaining).await
}

/// clock_nanosleep(2).
pub async fn clock_nanosleep(
    current: &mut Current,
    clock: i32,
    flags: i32,
    request: UserAddress,
    remaining: UserAddress,
) -> SyscallResult {
    let clock = Clock::from_id(clock)?;
    if matches!(clock, Clock::Thread { .. }) {
        return Err(Errno::EINVAL);
    }
    if matches!(clock, Clock::Process { .. }) {
        return Err(Errno::EOPNOTSUPP);
    }
    let time: Timespec = current.mm.read(request).await?;
    let nanoseconds = time.to_nanoseconds()?;
    if flags & ABSOLUTE == 0 {
        return sleep_for(current, nanoseconds, remaining).await;
    }
    let rest = nanoseconds.saturating_sub(clock.now(current)?);
    let deadline = Deadline(current.kernel.platform.monotonic_nanoseconds().saturating_add(rest));
    match sleep_until(current, deadline).await {
        Interruption::TimedOut => Ok(0),
        Interruption::Signal => Err(Errno::ERESTARTNOHAND),
    }
}

async fn sleep_for(
    current: &mut Current,
    nanoseconds: u64,
    remaining: UserAddress,
) -> SyscallResult {
    let deadline = current.deadline_after(nanoseconds);
    if sleep_until(current, deadline).await == Interruption::TimedOut {
        return Ok(0);
    }
    if !remaining.is_null() {
        let now = current.kernel.platform.monotonic_nanoseconds();
        let rest = Timespec::from_nanoseconds(deadline.0.saturating_sub(now));
        current.mm.write(remaining, &rest).await?;
    }
    Err(current.restart_with(deadline))
}

async fn sleep_until(current: &Current, deadline: Deadline) -> Interruption {
    let never = core::future::pending::<Interruption>();
    match current.wait(WaitReason::Time, Some(deadline), never).await {
        Ok(interruption) | Err(interruption) => interruption,
    }
}
