//! sysinfo(2), syslog(2).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    errno::Errno,
    kernel::{Capabilities, Current},
    memory::PAGE_SIZE,
    mm::UserAddress,
    syscalls::{SyscallResult, time::SECOND},
};

/// `struct sysinfo`.
#[derive(Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Information {
    uptime: u64,
    loads: [u64; 3],
    total_memory: u64,
    free_memory: u64,
    shared_memory: u64,
    buffer_memory: u64,
    total_swap: u64,
    free_swap: u64,
    processes: u16,
    padding: [u16; 3],
    total_high: u64,
    free_high: u64,
    memory_unit: u32,
    padding2: u32,
}

/// sysinfo(2).
pub async fn sysinfo(current: &mut Current, buffer: UserAddress) -> SyscallResult {
    let kernel = &current.kernel;
    let bytes = |frames: usize| frames as u64 * PAGE_SIZE as u64;
    let information = Information {
        uptime: kernel.platform.monotonic_nanoseconds() / SECOND,
        total_memory: bytes(kernel.frames.total_frames()),
        free_memory: bytes(kernel.frames.free_frames()),
        processes: u16::try_from(current.processes().task_count()).unwrap_or(u16::MAX),
        memory_unit: 1,
        ..Information::default()
    };
    current.mm.write(buffer, &information).await?;
    Ok(0)
}

/// syslog(2): the sandbox has an empty kernel log.
pub fn syslog(current: &mut Current, kind: i32, _buffer: u64, length: i32) -> SyscallResult {
    const READ: i32 = 2;
    const READ_CLEAR: i32 = 4;
    let allowed = matches!(kind, 3 | 10) || current.credentials().has(Capabilities::SYSLOG);
    match kind {
        _ if !(0..=10).contains(&kind) => Err(Errno::EINVAL),
        _ if !allowed => Err(Errno::EPERM),
        READ..=READ_CLEAR if length < 0 => Err(Errno::EINVAL),
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_that_of_linux() {
        assert_eq!(size_of::<Information>(), 112);
    }
}
