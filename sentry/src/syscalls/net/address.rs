//! bind(2), connect(2), listen(2), getsockname(2), getpeername(2), shutdown(2).

use super::{blocking, read_address, socket, socket_file, write_with_length};
use crate::{
    kernel::Current,
    mm::UserAddress,
    net::{Shutdown, message::MessageFlags},
    syscalls::{FileDescriptor, SyscallResult},
};

/// bind(2).
///
/// # Errors
/// As bind(2).
pub async fn bind(
    current: &mut Current,
    descriptor: FileDescriptor,
    address: UserAddress,
    length: u32,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    let address = read_address(current, address, length).await?;
    socket(&open)?.socket().bind(current, &address).await?;
    Ok(0)
}

/// connect(2).
///
/// # Errors
/// As connect(2).
pub async fn connect(
    current: &mut Current,
    descriptor: FileDescriptor,
    address: UserAddress,
    length: u32,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    let address = read_address(current, address, length).await?;
    let file = socket(&open)?;
    let timeout = file.socket().options().lock().send_timeout;
    let blocking = blocking(current, &open, MessageFlags::empty(), timeout);
    file.socket().connect(current, file, &address, blocking).await?;
    Ok(0)
}

/// listen(2).
///
/// # Errors
/// As listen(2).
pub fn listen(current: &mut Current, descriptor: FileDescriptor, backlog: i32) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    socket(&open)?.socket().listen(current, backlog)?;
    Ok(0)
}

/// getsockname(2).
///
/// # Errors
/// As getsockname(2).
pub async fn getsockname(
    current: &mut Current,
    descriptor: FileDescriptor,
    address: UserAddress,
    length: UserAddress,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    let own = socket(&open)?.socket().local_address();
    write_with_length(current, &own, address, length).await?;
    Ok(0)
}

/// getpeername(2).
///
/// # Errors
/// As getpeername(2).
pub async fn getpeername(
    current: &mut Current,
    descriptor: FileDescriptor,
    address: UserAddress,
    length: UserAddress,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    let peer = socket(&open)?.socket().peer_address()?;
    write_with_length(current, &peer, address, length).await?;
    Ok(0)
}

/// shutdown(2).
///
/// # Errors
/// As shutdown(2).
pub fn shutdown(current: &mut Current, descriptor: FileDescriptor, how: i32) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    socket(&open)?.socket().shutdown(Shutdown::from_number(how)?)?;
    Ok(0)
}
