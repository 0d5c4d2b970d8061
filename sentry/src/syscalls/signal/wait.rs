//! Waiting for signals (pause(2), sigsuspend(2), sigtimedwait(2)).

use super::abi::read_set;
use crate::{
    errno::Errno,
    kernel::{Current, WaitReason, signal::SignalSet},
    mm::UserAddress,
    syscalls::{SyscallResult, time::Timespec},
};

/// pause(2).
pub async fn pause(current: &mut Current) -> SyscallResult {
    let never = core::future::pending::<()>();
    // Nothing but a signal ends it.
    let _ = current.wait(WaitReason::Signal, None, never).await;
    Err(Errno::ERESTARTNOHAND)
}

/// rt_sigsuspend(2).
pub async fn rt_sigsuspend(current: &mut Current, mask: UserAddress, size: usize) -> SyscallResult {
    let mask = read_set(current, mask, size).await?;
    current.block_temporarily(mask);
    pause(current).await
}

/// rt_sigtimedwait(2).
pub async fn rt_sigtimedwait(
    current: &mut Current,
    set: UserAddress,
    info: UserAddress,
    timeout: UserAddress,
    size: usize,
) -> SyscallResult {
    let set = read_set(current, set, size).await?.difference(SignalSet::UNBLOCKABLE);
    let deadline = if timeout.is_null() {
        None
    } else {
        let time: Timespec = current.mm.read(timeout).await?;
        Some(current.deadline_after(time.to_nanoseconds()?))
    };
    let taken = current.await_signal(set, deadline).await?;
    if !info.is_null() {
        current.mm.copy_out(info, &taken.seen_by(&current.credentials()).to_user()).await?;
    }
    Ok(u64::from(taken.signal.number()))
}
