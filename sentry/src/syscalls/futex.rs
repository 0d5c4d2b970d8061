//! futex(2), futex_waitv(2).

use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    errno::{Errno, Result},
    kernel::{Current, Deadline, FutexWait, MATCH_ANY, WakeOperation},
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
const WAKE_PRIVATE: u32 = WAKE | PRIVATE;
const WAKE_BITSET_PRIVATE: u32 = WAKE_BITSET | PRIVATE;
const CLOCK_REALTIME: u32 = 256;

/// [`futex`] where it takes no waiting: the wake-ups of words that only this process uses.
pub fn try_futex(
    current: &mut Current,
    address: UserAddress,
    operation: u32,
    value: u32,
    _timeout: u64,
    _address2: UserAddress,
    value3: u32,
) -> Option<SyscallResult> {
    let mask = match operation {
        WAKE_PRIVATE => MATCH_ANY,
        WAKE_BITSET_PRIVATE if value3 != 0 => value3,
        _ => return None,
    };
    let count = usize::try_from(value.cast_signed()).unwrap_or(0).max(1);
    let key = current.mm.private_futex_key(address);
    Some(key.map(|key| current.kernel.futexes.wake(&key, count, mask) as u64))
}

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
    let word = FutexWait { address, private, expected, mask };
    match current.futex_wait(&[word], deadline).await {
        Ok(_) => Ok(0),
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

/// `struct futex_waitv`.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Waitv {
    expected: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

impl Waitv {
    fn decode(&self) -> Result<FutexWait> {
        const SIZE_U32: u32 = 2;
        if self.flags & !PRIVATE != SIZE_U32 || self.reserved != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(FutexWait {
            address: UserAddress(self.address),
            private: self.flags & PRIVATE != 0,
            expected: u32::try_from(self.expected).map_err(|_| Errno::EINVAL)?,
            mask: MATCH_ANY,
        })
    }
}

/// futex_waitv(2) (Documentation/userspace-api/futex2.rst).
pub async fn futex_waitv(
    current: &mut Current,
    waiters: UserAddress,
    count: u32,
    flags: u32,
    timeout: UserAddress,
    clock: i32,
) -> SyscallResult {
    const MAX_WORDS: u32 = 128;
    const CLOCK_REALTIME: i32 = 0;
    const CLOCK_MONOTONIC: i32 = 1;
    if flags != 0 || !(1..=MAX_WORDS).contains(&count) {
        return Err(Errno::EINVAL);
    }
    let is_clock = matches!(clock, CLOCK_REALTIME | CLOCK_MONOTONIC);
    if !timeout.is_null() && !is_clock {
        return Err(Errno::EINVAL);
    }
    let deadline = absolute(current, timeout, clock == CLOCK_REALTIME).await?;
    let waiters: Vec<Waitv> = current.mm.read_array(waiters, count as usize).await?;
    let words = waiters.iter().map(Waitv::decode).collect::<Result<Vec<_>>>()?;
    Ok(current.futex_wait(&words, deadline).await? as u64)
}
