//! Receiving: recvfrom(2), recvmsg(2), recvmmsg(2).

use alloc::boxed::Box;

use super::{
    super::{
        MAX_ADDRESS, ManyMessageHeader, MessageHeader, blocking, control, socket, socket_file,
        write_with_length,
    },
    MAX_MESSAGES, user_buffers,
};
use crate::{
    errno::{Errno, Result},
    io::Destination,
    kernel::{Current, Deadline, PollEvents},
    mm::{UserAddress, UserBuffers},
    net::{
        SocketFile,
        message::{MessageFlags, Received},
    },
    syscalls::{FileDescriptor, SyscallResult, time::Timespec},
    vfs::{Blocking, OpenFile},
};

/// recvfrom(2).
///
/// # Errors
/// As recvfrom(2).
pub async fn recvfrom(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    length: usize,
    flags: u32,
    address: UserAddress,
    address_length: UserAddress,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    let flags = MessageFlags::from_bits_truncate(flags);
    let mut buffers = UserBuffers::single(&current.mm, buffer, length);
    let received = receive(current, &open, &mut buffers, flags).await?;
    if !address.is_null() {
        write_with_length(current, &received.address, address, address_length).await?;
    }
    Ok(answered_length(&received, flags))
}

/// recvmsg(2).
///
/// # Errors
/// As recvmsg(2).
pub async fn recvmsg(
    current: &mut Current,
    descriptor: FileDescriptor,
    message: UserAddress,
    flags: u32,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    let mut header: MessageHeader = current.mm.read(message).await?;
    let flags = MessageFlags::from_bits_truncate(flags);
    let length = receive_one(current, &open, &mut header, flags).await?;
    current.mm.write(message, &header).await?;
    Ok(length)
}

/// recvmmsg(2).
///
/// # Errors
/// As recvmmsg(2), if nothing was received.
pub async fn recvmmsg(
    current: &mut Current,
    descriptor: FileDescriptor,
    messages: UserAddress,
    count: u32,
    flags: u32,
    timeout: UserAddress,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    let mut flags = MessageFlags::from_bits_truncate(flags);
    let deadline = read_deadline(current, timeout).await?;
    let mut received = 0;
    for index in 0..u64::from(count.min(MAX_MESSAGES)) {
        let at = messages.offset(index * size_of::<ManyMessageHeader>() as u64)?;
        match receive_many_one(current, &open, at, flags).await {
            Ok(()) => received += 1,
            Err(errno) if received == 0 => return Err(errno),
            Err(_) => break,
        }
        if flags.contains(MessageFlags::WAIT_FOR_ONE) {
            flags |= MessageFlags::DO_NOT_WAIT;
        }
        // As Linux does, the time is looked at only between messages (recvmmsg(2), BUGS).
        let now = Deadline(current.kernel.platform.monotonic_nanoseconds());
        if deadline.is_some_and(|deadline| now >= deadline) {
            break;
        }
    }
    Ok(received)
}

async fn read_deadline(current: &mut Current, timeout: UserAddress) -> Result<Option<Deadline>> {
    if timeout.is_null() {
        return Ok(None);
    }
    let time: Timespec = current.mm.read(timeout).await?;
    Ok(Some(current.deadline_after(time.to_nanoseconds()?)))
}

async fn receive_many_one(
    current: &Current,
    open: &OpenFile,
    at: UserAddress,
    flags: MessageFlags,
) -> Result<()> {
    let mut message: ManyMessageHeader = current.mm.read(at).await?;
    let length = receive_one(current, open, &mut message.header, flags).await?;
    message.length = u32::try_from(length).unwrap_or(u32::MAX);
    current.mm.write(at, &message).await
}

/// Receives into what `header` describes, and notes there what came beside the bytes.
async fn receive_one(
    current: &Current,
    open: &OpenFile,
    header: &mut MessageHeader,
    flags: MessageFlags,
) -> SyscallResult {
    let mut buffers = user_buffers(current, header).await?;
    let received = receive(current, open, &mut buffers, flags).await?;
    let length = answered_length(&received, flags);
    let mut answered = flags & MessageFlags::CLOSE_ON_EXEC;
    answered.set(MessageFlags::TRUNCATED, received.length > received.count);
    let kind = socket(open)?.socket().kind();
    answered.set(
        MessageFlags::END_OF_RECORD,
        received.end_of_record && kind == crate::net::SocketKind::SequencedPacket,
    );
    if header.name != 0 {
        let room = usize::try_from(header.name_length).unwrap_or(MAX_ADDRESS);
        let address = received.address.get(..room.min(received.address.len()));
        current.mm.copy_out(UserAddress(header.name), address.unwrap_or_default()).await?;
    }
    header.name_length = u32::try_from(received.address.len()).unwrap_or(0);
    let pass_credentials = socket(open)?.socket().options().lock().pass_credentials;
    let room = usize::try_from(header.control_length).unwrap_or(usize::MAX);
    let (bytes, truncated) = control::encode(current, received, pass_credentials, room, flags);
    current.mm.copy_out(UserAddress(header.control), &bytes).await?;
    header.control_length = bytes.len() as u64;
    header.flags = (answered | truncated).bits();
    Ok(length)
}

/// What the call returns: with MSG_TRUNC the length of the whole message.
fn answered_length(received: &Received, flags: MessageFlags) -> u64 {
    let whole = flags.contains(MessageFlags::TRUNCATED);
    (if whole { received.length } else { received.count }) as u64
}

async fn receive(
    current: &Current,
    open: &OpenFile,
    buffers: &mut UserBuffers<'_>,
    flags: MessageFlags,
) -> Result<Received> {
    let file = socket(open)?;
    if flags.contains(MessageFlags::OUT_OF_BAND) {
        return Err(Errno::EINVAL);
    }
    let timeout = file.socket().options().lock().receive_timeout;
    let blocking = blocking(current, open, flags, timeout);
    let attempt = || file.socket().try_receive(buffers, flags);
    let mut received = current.retry(file, PollEvents::IN, blocking, attempt).await?;
    let all = flags.contains(MessageFlags::WAIT_ALL)
        && !flags.contains(MessageFlags::PEEK)
        && !file.socket().kind().has_messages();
    if all && received.count > 0 {
        Box::pin(receive_rest(current, file, buffers, flags, blocking, &mut received)).await;
    }
    Ok(received)
}

/// Goes on until all that was asked has come (MSG_WAITALL), or files, the end or an error have.
async fn receive_rest(
    current: &Current,
    file: &SocketFile,
    buffers: &mut UserBuffers<'_>,
    flags: MessageFlags,
    blocking: Blocking,
    received: &mut Received,
) {
    while Destination::remaining(buffers) > 0 && received.files.is_empty() {
        let attempt = || file.socket().try_receive(buffers, flags);
        let Ok(more) = current.retry(file, PollEvents::IN, blocking, attempt).await else { return };
        if more.count == 0 {
            return;
        }
        received.count += more.count;
        received.length = received.count;
        received.files = more.files;
    }
}
