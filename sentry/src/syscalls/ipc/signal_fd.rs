//! signalfd(2).

use super::{NewDescriptor, answer};
use crate::{
    errno::Errno,
    fs::signal_fd::SignalFd,
    kernel::Current,
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult, signal::read_set},
};

/// signalfd(2) without flags.
///
/// # Errors
/// As signalfd(2).
pub async fn signalfd(
    current: &mut Current,
    descriptor: FileDescriptor,
    set: UserAddress,
    size: usize,
) -> SyscallResult {
    signalfd4(current, descriptor, set, size, 0).await
}

/// signalfd(2).
///
/// # Errors
/// As signalfd(2).
pub async fn signalfd4(
    current: &mut Current,
    descriptor: FileDescriptor,
    set: UserAddress,
    size: usize,
    flags: u32,
) -> SyscallResult {
    let new = NewDescriptor::new(flags, 0)?;
    let set = read_set(current, set, size).await?;
    if descriptor.0 == -1 {
        return answer(new.install(current, SignalFd::new(current, set))?);
    }
    let open = current.files.get(descriptor)?;
    open.downcast::<SignalFd>().ok_or(Errno::EINVAL)?.set_signals(set);
    answer(descriptor)
}
