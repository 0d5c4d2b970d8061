//! epoll_create(2), epoll_ctl(2), epoll_wait(2).

use alloc::{sync::Arc, vec::Vec};

use super::{Timeout, block_signals};
use crate::{
    errno::{Errno, Result},
    fs::epoll::{Epoll, EpollEvent},
    kernel::{Current, Interruption, PollEvents, WaitReason},
    mm::UserAddress,
    syscalls::{
        FileDescriptor, SyscallResult,
        ipc::{NewDescriptor, answer},
    },
    vfs::{OpenFile, OpenFlags},
};

/// Size of `struct epoll_event`, which is packed on x86-64.
const EVENT_SIZE: usize = 12;

/// The largest number of events that can be asked for (EP_MAX_EVENTS).
const MAX_ASKED: i32 = i32::MAX / 12;

/// The most events one call answers, to bound its memory.
const MAX_ANSWERED: usize = 4096;

const EPOLL_CTL_ADD: i32 = 1;
const EPOLL_CTL_DEL: i32 = 2;
const EPOLL_CTL_MOD: i32 = 3;

/// epoll_create(2).
///
/// # Errors
/// As epoll_create(2).
pub fn epoll_create(current: &mut Current, size: i32) -> SyscallResult {
    if size <= 0 {
        return Err(Errno::EINVAL);
    }
    epoll_create1(current, 0)
}

/// epoll_create1(2).
///
/// # Errors
/// As epoll_create1(2).
pub fn epoll_create1(current: &mut Current, flags: u32) -> SyscallResult {
    if flags & OpenFlags::NON_BLOCKING.bits() != 0 {
        return Err(Errno::EINVAL);
    }
    answer(NewDescriptor::new(flags, 0)?.install(current, Epoll::new())?)
}

/// epoll_ctl(2).
///
/// # Errors
/// As epoll_ctl(2).
pub async fn epoll_ctl(
    current: &mut Current,
    epoll: FileDescriptor,
    operation: i32,
    descriptor: FileDescriptor,
    event: UserAddress,
) -> SyscallResult {
    let event = match operation {
        EPOLL_CTL_DEL => EpollEvent::default(),
        _ => decode(current.mm.read(event).await?),
    };
    let open = current.files.get(epoll)?;
    let target = current.files.get(descriptor)?;
    if target.file.wait_queue().is_none() {
        return Err(Errno::EPERM);
    }
    let epoll = instance(&open)?;
    match operation {
        EPOLL_CTL_ADD => epoll.add(descriptor, &target, event)?,
        EPOLL_CTL_MOD => epoll.modify(descriptor, &target, event)?,
        EPOLL_CTL_DEL => epoll.remove(descriptor, &target)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// epoll_wait(2).
///
/// # Errors
/// As epoll_wait(2).
pub async fn epoll_wait(
    current: &mut Current,
    epoll: FileDescriptor,
    events: UserAddress,
    count: i32,
    milliseconds: i32,
) -> SyscallResult {
    let timeout = Timeout::from_milliseconds(current, milliseconds);
    wait(current, epoll, events, count, timeout).await
}

/// epoll_pwait(2).
///
/// # Errors
/// As epoll_pwait(2).
pub async fn epoll_pwait(
    current: &mut Current,
    epoll: FileDescriptor,
    events: UserAddress,
    count: i32,
    milliseconds: i32,
    mask: UserAddress,
    mask_size: usize,
) -> SyscallResult {
    block_signals(current, mask, mask_size).await?;
    epoll_wait(current, epoll, events, count, milliseconds).await
}

/// epoll_pwait2(2).
///
/// # Errors
/// As epoll_pwait2(2).
pub async fn epoll_pwait2(
    current: &mut Current,
    epoll: FileDescriptor,
    events: UserAddress,
    count: i32,
    time: UserAddress,
    mask: UserAddress,
    mask_size: usize,
) -> SyscallResult {
    let timeout = Timeout::from_timespec(current, time).await?;
    block_signals(current, mask, mask_size).await?;
    wait(current, epoll, events, count, timeout).await
}

async fn wait(
    current: &Current,
    epoll: FileDescriptor,
    address: UserAddress,
    count: i32,
    timeout: Timeout,
) -> SyscallResult {
    if !(1..=MAX_ASKED).contains(&count) {
        return Err(Errno::EINVAL);
    }
    let limit = usize::try_from(count).unwrap_or(1).min(MAX_ANSWERED);
    let open = current.files.get(epoll)?;
    let events = next_events(current, instance(&open)?, limit, timeout).await?;
    let bytes: Vec<u8> = events.iter().flat_map(|event| encode(*event)).collect();
    current.mm.copy_out(address, &bytes).await?;
    Ok(events.len() as u64)
}

/// Waits for events; none if the time is over.
async fn next_events(
    current: &Current,
    epoll: &Epoll,
    limit: usize,
    timeout: Timeout,
) -> Result<Vec<EpollEvent>> {
    let events = epoll.collect(limit);
    if !events.is_empty() || timeout == Timeout::Zero {
        return Ok(events);
    }
    let some = || Some(epoll.collect(limit)).filter(|events| !events.is_empty());
    let ready = epoll.events().wait_until(PollEvents::IN, some);
    match current.wait(WaitReason::Poll, timeout.deadline(), ready).await {
        Ok(events) => Ok(events),
        Err(Interruption::TimedOut) => Ok(Vec::new()),
        Err(Interruption::Signal) => Err(Errno::EINTR),
    }
}

fn instance(open: &Arc<OpenFile>) -> Result<&Epoll> {
    open.downcast().ok_or(Errno::EINVAL)
}

fn decode(bytes: [u8; EVENT_SIZE]) -> EpollEvent {
    let (events, data) = bytes.split_at(4);
    EpollEvent {
        events: events.try_into().map_or(0, u32::from_ne_bytes),
        data: data.try_into().map_or(0, u64::from_ne_bytes),
    }
}

fn encode(event: EpollEvent) -> [u8; EVENT_SIZE] {
    let mut bytes = [0; EVENT_SIZE];
    let (events, data) = bytes.split_at_mut(4);
    events.copy_from_slice(&event.events.to_ne_bytes());
    data.copy_from_slice(&event.data.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_packed() {
        let event = EpollEvent { events: 0x8000_0001, data: 0x0102_0304_0506_0708 };
        assert_eq!(encode(event)[4..], event.data.to_ne_bytes());
        assert_eq!(decode(encode(event)), event);
    }
}
