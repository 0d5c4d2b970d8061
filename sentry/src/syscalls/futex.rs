//! futex(2).

use crate::{
    errno::{Errno, Result},
    kernel::{Current, Deadline, MATCH_ANY, WakeOperation},
    mm::UserAddress,
    syscalls::{SyscallResult, time::Timespec},
};

const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAKE_OP: u32 = 5;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;
const PRIVATE: u32 = 128;
const CLOCK_REALTIME: u32 = 256;

/// futex(2). `timeout` is a number for the operations that take a second count.
pub async fn futex(
    current: &mut Current,
    address: UserAddress,
    operation: u32,
    value: u32,
    timeout: u64,
    address2: UserAddress,
    value3: u32,
) -> SyscallResult {
    let private = operation & PRIVATE != 0;
    let command = operation & !(PRIVATE | CLOCK_REALTIME);
    let realtime = operation & CLOCK_REALTIME != 0;
    if !address.0.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let count = usize::try_from(value.cast_signed()).unwrap_or(0);
    let count2 = usize::try_from(timeout & 0x7fff_ffff).unwrap_or(0);
    match command {
        WAIT => {
            let deadline = relative(current, UserAddress(timeout)).await?;
            wait(current, address, private, (value, MATCH_ANY), deadline, true).await
        }
        WAIT_BITSET => {
            let deadline = absolute(current, UserAddress(timeout), realtime).await?;
            wait(current, address, private, (value, value3), deadline, false).await
        }
        WAKE => wake(current, address, private, count.max(1), MATCH_ANY).await,
        WAKE_BITSET => wake(current, address, private, count.max(1), value3).await,
        REQUEUE | CMP_REQUEUE => {
            let expected = (command == CMP_REQUEUE).then_some(value3);
            let counts = (count, count2);
            current.futex_requeue((address, address2), private, counts, expected).await
        }
        WAKE_OP => {
            let operation = WakeOperation::decode(value3);
            current.futex_wake_op((address, address2), private, (count, count2), operation).await
        }
        _ => Err(Errno::ENOSYS),
    }
}

async fn relative(current: &mut Current, timeout: UserAddress) -> Result<Option<Deadline>> {
    if timeout.is_null() {
        return Ok(None);
    }
    let time: Timespec = current.mm.read(timeout).await?;
    Ok(Some(current.deadline_after(time.to_nanoseconds()?)))
}

async fn absolute(
    current: &Current,
    timeout: UserAddress,
    realtime: bool,
) -> Result<Option<Deadline>> {
    if timeout.is_null() {
        return Ok(None);
    }
    let time: Timespec = current.mm.read(timeout).await?;
    let at = time.to_nanoseconds()?;
    if !realtime {
        return Ok(Some(Deadline(at)));
    }
    let platform = &current.kernel.platform;
    let rest = at.saturating_sub(platform.realtime_nanoseconds());
    Ok(Some(Deadline(platform.monotonic_nanoseconds().saturating_add(rest))))
}

async fn wait(
    current: &mut Current,
    address: UserAddress,
    private: bool,
    (expected, mask): (u32, u32),
    deadline: Option<Deadline>,
    is_relative: bool,
) -> SyscallResult {
    if mask == 0 {
        return Err(Errno::EINVAL);
    }
    match current.futex_wait(address, private, expected, mask, deadline).await {
        Ok(()) => Ok(0),
        Err(Errno::ERESTARTSYS) if is_relative && deadline.is_some() => {
            Err(deadline.map_or(Errno::EINTR, |deadline| current.restart_with(deadline)))
        }
        Err(errno) => Err(errno),
    }
}

async fn wake(
    current: &Current,
    address: UserAddress,
    private: bool,
    count: usize,
    mask: u32,
) -> SyscallResult {
    if mask == 0 {
        return Err(Errno::EINVAL);
    }
    let key = current.mm.futex_key(address, private).await?;
    Ok(current.kernel.futexes.wake(&key, count, mask) as u64)
}
