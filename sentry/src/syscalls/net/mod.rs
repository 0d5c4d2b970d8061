//! Socket calls.

pub mod address;
mod control;
pub mod create;
pub mod message;
pub mod options;

use alloc::{sync::Arc, vec::Vec};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::FileDescriptor;
use crate::{
    errno::{Errno, Result},
    kernel::{Current, Deadline},
    mm::UserAddress,
    net::{SocketFile, message::MessageFlags},
    vfs::{Blocking, OpenFile, OpenFlags},
};

/// Size of `struct sockaddr_storage`.
const MAX_ADDRESS: usize = 128;

/// The open file behind `descriptor`, which must be a socket.
///
/// # Errors
/// EBADF, ENOTSOCK.
fn socket_file(current: &Current, descriptor: FileDescriptor) -> Result<Arc<OpenFile>> {
    let open = current.files.get(descriptor)?;
    if open.downcast::<SocketFile>().is_none() {
        return Err(Errno::ENOTSOCK);
    }
    Ok(open)
}

/// The socket of a file that [`socket_file`] answered.
fn socket(open: &OpenFile) -> Result<&SocketFile> {
    open.downcast().ok_or(Errno::ENOTSOCK)
}

/// Reads a socket address of `length` bytes.
///
/// # Errors
/// EINVAL if the length cannot be right, EFAULT.
async fn read_address(current: &Current, address: UserAddress, length: u32) -> Result<Vec<u8>> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_ADDRESS {
        return Err(Errno::EINVAL);
    }
    current.mm.read_array(address, length).await
}

/// Writes `value` to `address`, cut to the length that is at `length`, and its real length there.
///
/// # Errors
/// EINVAL if the length is negative, EFAULT.
async fn write_with_length(
    current: &Current,
    value: &[u8],
    address: UserAddress,
    length: UserAddress,
) -> Result<()> {
    let room: i32 = current.mm.read(length).await?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let fitting = value.get(..room.min(value.len())).unwrap_or_default();
    current.mm.copy_out(address, fitting).await?;
    let real = u32::try_from(value.len()).map_err(|_| Errno::EINVAL)?;
    current.mm.write(length, &real).await
}

/// How long a call with `flags` on `open` waits, if the socket's own time-out is `timeout`
/// nanoseconds (0 is for ever).
fn blocking(current: &Current, open: &OpenFile, flags: MessageFlags, timeout: u64) -> Blocking {
    if flags.contains(MessageFlags::DO_NOT_WAIT) || open.flags().contains(OpenFlags::NON_BLOCKING) {
        return Blocking::Never;
    }
    if timeout == 0 {
        return Blocking::Forever;
    }
    let now = current.kernel.platform.monotonic_nanoseconds();
    Blocking::Until(Deadline(now.saturating_add(timeout)))
}

/// `struct msghdr`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MessageHeader {
    name: u64,
    name_length: u32,
    padding: u32,
    iovecs: u64,
    iovec_count: u64,
    control: u64,
    control_length: u64,
    flags: u32,
    padding_after: u32,
}

/// `struct mmsghdr`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ManyMessageHeader {
    header: MessageHeader,
    length: u32,
    padding: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_linux() {
        assert_eq!(size_of::<MessageHeader>(), 56);
        assert_eq!(size_of::<ManyMessageHeader>(), 64);
    }
}
