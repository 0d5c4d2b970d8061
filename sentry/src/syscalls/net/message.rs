//! Sending and receiving: send(2), recv(2) and their relatives.

use alloc::{boxed::Box, vec::Vec};

use super::{
    MAX_ADDRESS, ManyMessageHeader, MessageHeader, blocking, control, read_address, socket,
    socket_file, write_with_length,
};
use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryResult},
    kernel::{Current, Deadline, PollEvents, signal::Signal},
    mm::{UserAddress, UserBuffers, read_iovecs},
    net::{
        SocketFile, Target,
        message::{Control, MessageFlags, Received},
    },
    syscalls::{FileDescriptor, SyscallResult, time::Timespec},
    vfs::{Blocking, File, OpenFile},
};

/// The most messages that one sendmmsg(2) or recvmmsg(2) moves (UIO_MAXIOV).
const MAX_MESSAGES: u32 = 1024;

/// sendto(2).
///
/// # Errors
/// As sendto(2).
pub async fn sendto(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    length: usize,
    flags: u32,
    address: UserAddress,
    address_length: u32,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    let to = if address.is_null() {
        Vec::new()
    } else {
        read_address(current, address, address_length).await?
    };
    let mm = current.mm.clone();
    let buffers = UserBuffers::single(&mm, buffer, length);
    let control = control::decode(current, &[])?;
    send(current, &open, Outgoing { to, buffers, control, flags }).await
}

/// sendmsg(2).
///
/// # Errors
/// As sendmsg(2).
pub async fn sendmsg(
    current: &mut Current,
    descriptor: FileDescriptor,
    message: UserAddress,
    flags: u32,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    let header: MessageHeader = current.mm.read(message).await?;
    send_one(current, &open, &header, flags).await
}

/// sendmmsg(2).
///
/// # Errors
/// As sendmmsg(2), if nothing was sent.
pub async fn sendmmsg(
    current: &mut Current,
    descriptor: FileDescriptor,
    messages: UserAddress,
    count: u32,
    flags: u32,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    let mut sent = 0;
    for index in 0..u64::from(count.min(MAX_MESSAGES)) {
        let at = messages.offset(index * size_of::<ManyMessageHeader>() as u64)?;
        match send_many_one(current, &open, at, flags).await {
            Ok(()) => sent += 1,
            Err(errno) if sent == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(sent)
}

async fn send_many_one(
    current: &Current,
    open: &OpenFile,
    at: UserAddress,
    flags: u32,
) -> Result<()> {
    let mut message: ManyMessageHeader = current.mm.read(at).await?;
    let sent = send_one(current, open, &message.header, flags).await?;
    message.length = u32::try_from(sent).unwrap_or(u32::MAX);
    current.mm.write(at, &message).await
}

async fn send_one(
    current: &Current,
    open: &OpenFile,
    header: &MessageHeader,
    flags: u32,
) -> SyscallResult {
    let to = if header.name == 0 {
        Vec::new()
    } else {
        read_address(current, UserAddress(header.name), header.name_length).await?
    };
    if header.control_length > control::MAX_CONTROL {
        return Err(Errno::ENOBUFS);
    }
    let control_length = usize::try_from(header.control_length).map_err(|_| Errno::EINVAL)?;
    let bytes: Vec<u8> = current.mm.read_array(UserAddress(header.control), control_length).await?;
    let control = control::decode(current, &bytes)?;
    let buffers = user_buffers(current, header).await?;
    send(current, open, Outgoing { to, buffers, control, flags }).await
}

async fn user_buffers<'a>(current: &'a Current, header: &MessageHeader) -> Result<UserBuffers<'a>> {
    let count = usize::try_from(header.iovec_count).map_err(|_| Errno::EMSGSIZE)?;
    let iovecs = read_iovecs(&current.mm, UserAddress(header.iovecs), count).await;
    // The vector calls of files answer EINVAL for too many.
    let iovecs =
        iovecs.map_err(|errno| if errno == Errno::EINVAL { Errno::EMSGSIZE } else { errno })?;
    Ok(UserBuffers::new(&current.mm, iovecs))
}

/// A message to send.
struct Outgoing<'a> {
    /// Address; empty if none was given.
    to: Vec<u8>,
    buffers: UserBuffers<'a>,
    control: Control,
    flags: u32,
}

async fn send(current: &Current, open: &OpenFile, message: Outgoing<'_>) -> SyscallResult {
    let flags = MessageFlags::from_bits_truncate(message.flags);
    let file = socket(open)?;
    if flags.contains(MessageFlags::OUT_OF_BAND) {
        return Err(Errno::EOPNOTSUPP);
    }
    let to = if message.to.is_empty() {
        None
    } else {
        Some(file.socket().resolve(current, &message.to).await?)
    };
    let timeout = file.socket().options().lock().send_timeout;
    let blocking = blocking(current, open, flags, timeout);
    let mut buffers = message.buffers;
    let result = if file.socket().kind().has_messages() {
        send_message(current, file, to.as_ref(), &mut buffers, message.control, blocking).await
    } else {
        send_stream(current, file, to.as_ref(), &mut buffers, message.control, blocking).await
    };
    if result == Err(Errno::EPIPE)
        && file.signals_broken_pipe()
        && !flags.contains(MessageFlags::NO_SIGNAL)
    {
        current.task.send_to_itself(Signal::PIPE);
    }
    result
}

/// Sends one message. It is copied first, so that a page fault half-way cannot tear it.
async fn send_message(
    current: &Current,
    file: &SocketFile,
    to: Option<&Target>,
    buffers: &mut UserBuffers<'_>,
    mut control: Control,
    blocking: Blocking,
) -> SyscallResult {
    let limit = file.socket().options().lock().send_buffer;
    if Source::remaining(buffers) > limit {
        return Err(Errno::EMSGSIZE);
    }
    let copy = copy_in(current, file, buffers).await?;
    let attempt = || file.socket().try_send(to, &mut KernelBytes(&copy), &mut control);
    let sent = current.retry(file, PollEvents::OUT, blocking, attempt).await?;
    Ok(sent as u64)
}

async fn copy_in(
    current: &Current,
    file: &SocketFile,
    buffers: &mut UserBuffers<'_>,
) -> Result<Vec<u8>> {
    let mut copy = alloc::vec![0; Source::remaining(buffers)];
    let mut done = 0;
    while done < copy.len() {
        let rest = copy.get_mut(done..).unwrap_or_default();
        let attempt = || buffers.take(rest);
        done += current.retry(file, PollEvents::OUT, Blocking::Never, attempt).await?;
    }
    Ok(copy)
}

/// Sends all of a stream's bytes.
async fn send_stream(
    current: &Current,
    file: &SocketFile,
    to: Option<&Target>,
    buffers: &mut UserBuffers<'_>,
    mut control: Control,
    blocking: Blocking,
) -> SyscallResult {
    let mut total = 0_u64;
    loop {
        let attempt = || file.socket().try_send(to, buffers, &mut control);
        match current.retry(file, PollEvents::OUT, blocking, attempt).await {
            Ok(count) => total += count as u64,
            Err(errno) if total == 0 => return Err(errno),
            Err(_) => return Ok(total),
        }
        if Source::remaining(buffers) == 0 {
            return Ok(total);
        }
    }
}

/// A source in kernel memory.
struct KernelBytes<'a>(&'a [u8]);

impl Source for KernelBytes<'_> {
    fn remaining(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, bytes: &mut [u8]) -> TryResult<usize> {
        let (now, later) = self.0.split_at(bytes.len().min(self.0.len()));
        if let Some(place) = bytes.get_mut(..now.len()) {
            place.copy_from_slice(now);
        }
        self.0 = later;
        Ok(now.len())
    }

    fn take_physical(&mut self, _address: u64, _length: usize) -> TryResult<usize> {
        Err(Errno::EINVAL.into())
    }
}

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
