//! Sending: sendto(2), sendmsg(2), sendmmsg(2).

use alloc::vec::Vec;

use super::{
    super::{
        ManyMessageHeader, MessageHeader, blocking, control, read_address, socket, socket_file,
    },
    MAX_MESSAGES, user_buffers,
};
use crate::{
    errno::{Errno, Result},
    io::{Source, TryResult},
    kernel::{Current, PollEvents, signal::Signal},
    mm::{UserAddress, UserBuffers},
    net::{
        SocketFile, Target,
        message::{Control, MessageFlags},
    },
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{Blocking, File, OpenFile},
};

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
