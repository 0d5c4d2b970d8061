//! Message queues (msgget(2), msgop(2), msgctl(2)).

use alloc::{vec, vec::Vec};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    INTERRUPTED, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, NO_WAIT, READ, WRITE, find, find_for_stat,
    find_owned, stat_answer,
};
use crate::{
    errno::{Errno, Result},
    ipc::{Message, MessageQueue, Object, Selection, UserPermission, now},
    kernel::{Capabilities, Credentials, Current, PollEvents, WaitReason, settings},
    mm::UserAddress,
    syscalls::SyscallResult,
};

const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;

const MSG_NOERROR: u32 = 0o10000;
const MSG_EXCEPT: u32 = 0o20000;
const MSG_COPY: u32 = 0o40000;

/// Bytes of the type before the text.
const KIND_SIZE: u64 = 8;

/// `struct msqid64_ds`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Status {
    permission: UserPermission,
    sent: i64,
    received: i64,
    changed: i64,
    bytes: u64,
    messages: u64,
    limit: u64,
    sender: u32,
    receiver: u32,
    unused: [u64; 2],
}

/// msgget(2).
///
/// # Errors
/// As msgget(2).
pub fn msgget(current: &mut Current, key: i32, flags: u32) -> SyscallResult {
    let kernel = &current.kernel;
    let limit = kernel.settings.number(settings::MESSAGE_QUEUE_BYTES, 0);
    let make = |permission| Ok(MessageQueue::new(permission, limit, now(kernel)));
    let most = kernel.settings.size(settings::MESSAGE_QUEUES, 0);
    let registry = &current.container().ipc.messages;
    let id = registry.get(key, flags, &current.credentials(), most, |_| Ok(()), make)?;
    Ok(u64::from(id.unsigned_abs()))
}

/// msgsnd(2).
///
/// # Errors
/// As msgop(2).
pub async fn msgsnd(
    current: &mut Current,
    id: i32,
    message: UserAddress,
    size: usize,
    flags: u32,
) -> SyscallResult {
    if size > current.kernel.settings.size(settings::MESSAGE_SIZE, 0) {
        return Err(Errno::EINVAL);
    }
    let kind: i64 = current.mm.read(message).await?;
    if kind < 1 {
        return Err(Errno::EINVAL);
    }
    let mut text = vec![0; size];
    current.mm.copy_in(message.offset(KIND_SIZE)?, &mut text).await?;
    let kernel = current.kernel.clone();
    let queue = find(current, &current.container().ipc.messages, id, WRITE)?;
    let (message, pid) = (Message { kind, text }, current.process().pid());
    let attempt = || queue.try_send(&message, pid, now(&kernel)).transpose();
    if flags & NO_WAIT != 0 {
        return attempt().unwrap_or(Err(Errno::EAGAIN)).map(|()| 0);
    }
    let sent = queue.changed.wait_until(PollEvents::OUT, attempt);
    current.wait(WaitReason::Ipc, None, sent).await.map_err(|_| INTERRUPTED)??;
    Ok(0)
}

/// msgrcv(2).
///
/// # Errors
/// As msgop(2); ENOSYS for MSG_COPY, as Linux built without checkpoints.
pub async fn msgrcv(
    current: &mut Current,
    id: i32,
    message: UserAddress,
    size: usize,
    kind: i64,
    flags: u32,
) -> SyscallResult {
    if flags & MSG_COPY != 0 {
        return Err(Errno::ENOSYS);
    }
    if i64::try_from(size).is_err() {
        return Err(Errno::EINVAL);
    }
    let selection = match kind {
        0 => Selection::First,
        kind if kind < 0 => Selection::Lowest(kind.saturating_neg()),
        kind if flags & MSG_EXCEPT != 0 => Selection::Except(kind),
        kind => Selection::Kind(kind),
    };
    let queue = find(current, &current.container().ipc.messages, id, READ)?;
    let received = receive(current, &queue, selection, size, flags).await?;
    let mut bytes: Vec<u8> = received.kind.to_ne_bytes().to_vec();
    bytes.extend(&received.text);
    current.mm.copy_out(message, &bytes).await?;
    Ok(received.text.len() as u64)
}

async fn receive(
    current: &Current,
    queue: &MessageQueue,
    selection: Selection,
    size: usize,
    flags: u32,
) -> Result<Message> {
    let pid = current.process().pid();
    let cut = flags & MSG_NOERROR != 0;
    let attempt = || {
        let by = (pid, now(&current.kernel));
        queue.try_receive(selection, size, cut, by).transpose()
    };
    if flags & NO_WAIT != 0 {
        return attempt().unwrap_or(Err(Errno::ENOMSG));
    }
    let received = queue.changed.wait_until(PollEvents::IN, attempt);
    current.wait(WaitReason::Ipc, None, received).await.map_err(|_| INTERRUPTED)?
}

/// msgctl(2).
///
/// # Errors
/// As msgctl(2).
pub async fn msgctl(
    current: &mut Current,
    id: i32,
    command: i32,
    buffer: UserAddress,
) -> SyscallResult {
    let kernel = current.kernel.clone();
    let registry = &current.container().ipc.messages;
    match command {
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
            let (id, queue) = find_for_stat(current, registry, id, command, MSG_STAT_ANY)?;
            let status = status(id, &queue, &current.credentials());
            current.mm.write(buffer, &status).await?;
            Ok(stat_answer(command, id))
        }
        IPC_SET => {
            let status: Status = current.mm.read(buffer).await?;
            let queue = find_owned(current, registry, id)?;
            let privileged = current.credentials().has(Capabilities::SYS_RESOURCE);
            let most = kernel.settings.number(settings::MESSAGE_QUEUE_BYTES, 0);
            if status.limit > most && !privileged {
                return Err(Errno::EPERM);
            }
            queue.permission().lock().change(&status.permission, &current.credentials())?;
            queue.set_limit(status.limit, now(&kernel));
            Ok(0)
        }
        IPC_RMID => {
            let queue = find_owned(current, registry, id)?;
            registry.remove(id, &queue);
            queue.end();
            Ok(0)
        }
        IPC_INFO | MSG_INFO => {
            current.mm.write(buffer, &information(current, command)).await?;
            Ok(registry.highest_place())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `struct msginfo`: msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql, msgseg; for MSG_INFO
/// msgpool, msgmap and msgtql are the numbers of queues, messages and bytes in use.
fn information(current: &Current, command: i32) -> [u32; 8] {
    const SEGMENT_SIZE: u32 = 16;
    const SEGMENTS: u32 = 0xffff;
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let setting = |name| number(current.kernel.settings.number(name, 0));
    let queues = setting(settings::MESSAGE_QUEUES);
    let largest = setting(settings::MESSAGE_SIZE);
    let bytes_of_queue = setting(settings::MESSAGE_QUEUE_BYTES);
    let (mut pool, mut map, mut total) =
        (queues.saturating_mul(bytes_of_queue) / 1024, bytes_of_queue, bytes_of_queue);
    if command != IPC_INFO {
        let messages = &current.container().ipc.messages;
        let all: Vec<_> = messages.all().iter().map(|(_, queue)| queue.numbers()).collect();
        pool = number(all.len() as u64);
        map = number(all.iter().map(|numbers| numbers.messages).sum());
        total = number(all.iter().map(|numbers| numbers.bytes).sum());
    }
    [pool, map, largest, bytes_of_queue, queues, SEGMENT_SIZE, total, SEGMENTS]
}

fn status(id: i32, queue: &MessageQueue, reader: &Credentials) -> Status {
    let numbers = queue.numbers();
    Status {
        permission: queue.permission().lock().to_user(id, reader),
        sent: numbers.sent,
        received: numbers.received,
        changed: numbers.changed,
        bytes: numbers.bytes,
        messages: numbers.messages,
        limit: numbers.limit,
        sender: numbers.sender,
        receiver: numbers.receiver,
        unused: [0; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_linux() {
        assert_eq!(size_of::<Status>(), 120);
    }
}
