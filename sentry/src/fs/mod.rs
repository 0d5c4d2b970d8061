//! File systems, and the files that have no name.

mod byte_ring;
pub mod cgroup;
pub mod dev;
pub mod devpts;
pub mod epoll;
pub mod event_fd;
pub mod gofer;
pub mod inotify;
pub mod mqueue;
pub mod namespace;
pub mod overlay;
pub mod pid_fd;
pub mod pipe;
mod pipe_packets;
pub mod proc;
pub mod pseudo;
mod record;
pub mod signal_fd;
pub mod sys;
#[cfg(test)]
pub mod testing;
pub mod timer_fd;
pub mod tmpfs;

pub use byte_ring::ByteRing;

use core::sync::atomic::{AtomicU64, Ordering};

use crate::{errno::Result, kernel::Current, mm::UserAddress};

/// A new inode number for a file without a name.
pub(crate) fn next_inode() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(2);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// ioctl(2) command that asks for the number of bytes that can be read.
pub(crate) const FIONREAD: u32 = 0x541b;

/// Writes a number of bytes to where ioctl(2) wants it, as an `int`.
///
/// # Errors
/// EFAULT.
pub(crate) async fn write_count(current: &Current, argument: u64, count: usize) -> Result<u64> {
    let count: i32 = i32::try_from(count).unwrap_or(i32::MAX);
    current.mm.write(UserAddress(argument), &count).await?;
    Ok(0)
}
