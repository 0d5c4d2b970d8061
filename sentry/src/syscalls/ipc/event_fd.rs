//! eventfd(2).

use super::{NewDescriptor, answer};
use crate::{fs::event_fd::EventFd, kernel::Current, syscalls::SyscallResult};

const EFD_SEMAPHORE: u32 = 1;

/// eventfd(2) without flags.
///
/// # Errors
/// As eventfd(2).
pub fn eventfd(current: &mut Current, initial: u32) -> SyscallResult {
    eventfd2(current, initial, 0)
}

/// eventfd(2).
///
/// # Errors
/// As eventfd(2).
pub fn eventfd2(current: &mut Current, initial: u32, flags: u32) -> SyscallResult {
    let new = NewDescriptor::new(flags, EFD_SEMAPHORE)?;
    let file = EventFd::new(initial, flags & EFD_SEMAPHORE != 0);
    answer(new.install(current, file)?)
}
