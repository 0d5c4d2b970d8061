//! setsockopt(2) and getsockopt(2).

use alloc::vec::Vec;

use zerocopy::IntoBytes;

use super::{socket, socket_file, write_with_length};
use crate::{
    errno::{Errno, Result},
    kernel::{Credentials, Current},
    mm::UserAddress,
    net::{Socket, SocketOptions, buffer_size},
    syscalls::{FileDescriptor, SyscallResult, time::Timeval},
};

const SOL_SOCKET: u32 = 1;

/// Names of options at SOL_SOCKET (`<asm-generic/socket.h>`).
mod name {
    pub const DEBUG: u32 = 1;
    pub const REUSE_ADDRESS: u32 = 2;
    pub const TYPE: u32 = 3;
    pub const ERROR: u32 = 4;
    pub const DO_NOT_ROUTE: u32 = 5;
    pub const BROADCAST: u32 = 6;
    pub const SEND_BUFFER: u32 = 7;
    pub const RECEIVE_BUFFER: u32 = 8;
    pub const KEEP_ALIVE: u32 = 9;
    pub const PRIORITY: u32 = 12;
    pub const LINGER: u32 = 13;
    pub const REUSE_PORT: u32 = 15;
    pub const PASS_CREDENTIALS: u32 = 16;
    pub const PEER_CREDENTIALS: u32 = 17;
    pub const RECEIVE_LOW_WATER: u32 = 18;
    pub const SEND_LOW_WATER: u32 = 19;
    pub const RECEIVE_TIMEOUT: u32 = 20;
    pub const SEND_TIMEOUT: u32 = 21;
    pub const ACCEPTS_CONNECTIONS: u32 = 30;
    pub const SEND_BUFFER_FORCE: u32 = 32;
    pub const RECEIVE_BUFFER_FORCE: u32 = 33;
    pub const PROTOCOL: u32 = 38;
    pub const DOMAIN: u32 = 39;
}

/// setsockopt(2).
///
/// # Errors
/// As setsockopt(2).
pub async fn setsockopt(
    current: &mut Current,
    descriptor: FileDescriptor,
    level: u32,
    option: u32,
    value: UserAddress,
    length: u32,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    let options = socket(&open)?.socket().options();
    if level != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    match option {
        name::RECEIVE_TIMEOUT | name::SEND_TIMEOUT => {
            let timeout = read_timeout(current, value, length).await?;
            let mut options = options.lock();
            match option {
                name::RECEIVE_TIMEOUT => options.receive_timeout = timeout,
                _ => options.send_timeout = timeout,
            }
        }
        name::LINGER => {
            check_length(length, 8)?;
            let [on, seconds]: [u32; 2] = current.mm.read(value).await?;
            options.lock().linger = (on != 0, seconds);
        }
        _ => {
            check_length(length, 4)?;
            let value: u32 = current.mm.read(value).await?;
            set_number(&mut options.lock(), option, value)?;
        }
    }
    Ok(0)
}

const fn check_length(length: u32, needed: u32) -> Result<()> {
    if length < needed { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Reads a time-out in nanoseconds; zero is none.
async fn read_timeout(current: &Current, value: UserAddress, length: u32) -> Result<u64> {
    check_length(length, 16)?;
    let time: Timeval = current.mm.read(value).await?;
    time.to_nanoseconds().map_err(|_| Errno::EDOM)
}

fn set_number(options: &mut SocketOptions, option: u32, value: u32) -> Result<()> {
    let on = value != 0;
    match option {
        name::REUSE_ADDRESS => options.reuse_address = on,
        name::REUSE_PORT => options.reuse_port = on,
        name::KEEP_ALIVE => options.keep_alive = on,
        name::BROADCAST => options.broadcast = on,
        name::PRIORITY => options.priority = value,
        name::PASS_CREDENTIALS => options.pass_credentials = on,
        name::SEND_BUFFER | name::SEND_BUFFER_FORCE => options.send_buffer = buffer_size(value),
        name::RECEIVE_BUFFER | name::RECEIVE_BUFFER_FORCE => {
            options.receive_buffer = buffer_size(value);
        }
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// getsockopt(2).
///
/// # Errors
/// As getsockopt(2).
pub async fn getsockopt(
    current: &mut Current,
    descriptor: FileDescriptor,
    level: u32,
    option: u32,
    value: UserAddress,
    length: UserAddress,
) -> SyscallResult {
    let open = socket_file(current, descriptor)?;
    if level != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let bytes = get(&current.credentials(), &**socket(&open)?.socket(), option)?;
    write_with_length(current, &bytes, value, length).await?;
    Ok(0)
}

fn get(reader: &Credentials, socket: &dyn Socket, option: u32) -> Result<Vec<u8>> {
    let options = *socket.options().lock();
    let number = match option {
        name::TYPE => socket.kind() as u32,
        name::DOMAIN => u32::from(socket.domain()),
        name::PROTOCOL | name::DEBUG | name::DO_NOT_ROUTE => 0,
        name::ERROR => socket.take_error().map_or(0, |errno| u32::from(errno.number())),
        name::ACCEPTS_CONNECTIONS => u32::from(socket.is_listening()),
        name::REUSE_ADDRESS => u32::from(options.reuse_address),
        name::REUSE_PORT => u32::from(options.reuse_port),
        name::KEEP_ALIVE => u32::from(options.keep_alive),
        name::BROADCAST => u32::from(options.broadcast),
        name::PRIORITY => options.priority,
        name::PASS_CREDENTIALS => u32::from(options.pass_credentials),
        name::SEND_BUFFER => u32::try_from(options.send_buffer).unwrap_or(u32::MAX),
        name::RECEIVE_BUFFER => u32::try_from(options.receive_buffer).unwrap_or(u32::MAX),
        name::RECEIVE_LOW_WATER | name::SEND_LOW_WATER => 1,
        _ => return get_structure(reader, socket, &options, option),
    };
    Ok(number.to_ne_bytes().to_vec())
}

fn get_structure(
    reader: &Credentials,
    socket: &dyn Socket,
    options: &SocketOptions,
    option: u32,
) -> Result<Vec<u8>> {
    match option {
        name::LINGER => {
            let (on, seconds) = options.linger;
            Ok([u32::from(on), seconds].as_bytes().to_vec())
        }
        name::RECEIVE_TIMEOUT => Ok(timeout(options.receive_timeout)),
        name::SEND_TIMEOUT => Ok(timeout(options.send_timeout)),
        name::PEER_CREDENTIALS => {
            let peer = socket.peer_credentials()?;
            let (uid, gid) = (reader.shown_user(peer.uid), reader.shown_group(peer.gid));
            Ok([peer.pid, uid, gid].as_bytes().to_vec())
        }
        _ => Err(Errno::ENOPROTOOPT),
    }
}

fn timeout(nanoseconds: u64) -> Vec<u8> {
    Timeval::from_nanoseconds(nanoseconds).as_bytes().to_vec()
}
