//! socket(2), socketpair(2), accept(2).

use alloc::sync::Arc;

use super::{blocking, socket, socket_file, write_with_length};
use crate::{
    errno::{Errno, Result},
    kernel::{Current, PollEvents},
    mm::UserAddress,
    net::{
        AF_UNIX, PeerCredentials, Socket, SocketFile, SocketKind, message::MessageFlags,
        unix::UnixSocket,
    },
    syscalls::{
        FileDescriptor, SyscallResult,
        ipc::{NewDescriptor, answer},
    },
    vfs::File,
};

/// The bits of a socket's type that are no flags (SOCK_TYPE_MASK).
const TYPE_MASK: u32 = 0xf;

/// PF_UNIX, the one protocol that AF_UNIX also knows by number.
const PROTOCOL_UNIX: u32 = 1;

/// What the three arguments of socket(2) ask for.
fn decode(domain: u32, kind: u32, protocol: u32) -> Result<(SocketKind, NewDescriptor)> {
    let new = NewDescriptor::new(kind & !TYPE_MASK, 0)?;
    if domain != u32::from(AF_UNIX) {
        return Err(Errno::EAFNOSUPPORT);
    }
    if protocol != 0 && protocol != PROTOCOL_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Ok((SocketKind::from_number(kind & TYPE_MASK)?, new))
}

/// socket(2).
///
/// # Errors
/// As socket(2).
pub fn socket_call(current: &mut Current, domain: u32, kind: u32, protocol: u32) -> SyscallResult {
    let (kind, new) = decode(domain, kind, protocol)?;
    let shared = current.kernel.unix_sockets.clone();
    let socket = UnixSocket::new(shared, kind, PeerCredentials::of(current));
    answer(new.install(current, Arc::new(SocketFile::new(socket)))?)
}

/// socketpair(2).
///
/// # Errors
/// As socketpair(2).
pub async fn socketpair(
    current: &mut Current,
    domain: u32,
    kind: u32,
    protocol: u32,
    descriptors: UserAddress,
) -> SyscallResult {
    let (kind, new) = decode(domain, kind, protocol)?;
    let owner = PeerCredentials::of(current);
    let (one, other) = UnixSocket::pair(&current.kernel.unix_sockets, kind, owner);
    let one: Arc<dyn File> = Arc::new(SocketFile::new(one));
    let other: Arc<dyn File> = Arc::new(SocketFile::new(other));
    NewDescriptor::install_pair(current, (new, one), (new, other), descriptors).await
}

/// accept(2).
///
/// # Errors
/// As accept(2).
pub async fn accept(
    current: &mut Current,
    descriptor: FileDescriptor,
    address: UserAddress,
    length: UserAddress,
) -> SyscallResult {
    accept4(current, descriptor, address, length, 0).await
}

/// accept4(2).
///
/// # Errors
/// As accept4(2).
pub async fn accept4(
    current: &mut Current,
    descriptor: FileDescriptor,
    address: UserAddress,
    length: UserAddress,
    flags: u32,
) -> SyscallResult {
    let new = NewDescriptor::new(flags, 0)?;
    let open = socket_file(current, descriptor)?;
    let file = socket(&open)?;
    let timeout = file.socket().options().lock().receive_timeout;
    let blocking = blocking(current, &open, MessageFlags::empty(), timeout);
    let attempt = || file.socket().try_accept();
    let accepted: Arc<dyn Socket> = current.retry(file, PollEvents::IN, blocking, attempt).await?;
    if !address.is_null() {
        let peer = accepted.peer_address().unwrap_or_default();
        write_with_length(current, &peer, address, length).await?;
    }
    answer(new.install(current, Arc::new(SocketFile::new(accepted)))?)
}
