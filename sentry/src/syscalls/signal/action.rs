//! Actions, masks and the alternate stack (sigaction(2), sigprocmask(2), sigaltstack(2)).

use super::abi::{UserAction, check_size, read_set};
use crate::{
    errno::{Errno, Result},
    kernel::{
        Current,
        signal::{
            Signal, SignalAction, SignalSet, UserStack, alternate_stack_from_user,
            return_from_handler,
        },
    },
    mm::UserAddress,
    syscalls::SyscallResult,
};

/// rt_sigaction(2).
pub async fn rt_sigaction(
    current: &mut Current,
    signal: i32,
    action: UserAddress,
    old: UserAddress,
    size: usize,
) -> SyscallResult {
    check_size(size)?;
    let signal = Signal::from_number(signal)?;
    let new: Option<SignalAction> = if action.is_null() {
        None
    } else {
        Some(SignalAction::from(&current.mm.read::<UserAction>(action).await?))
    };
    if new.is_some() && SignalSet::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let before = match new {
        Some(new) => current.process().set_signal_action(signal, new),
        None => *current.process().signal_actions().lock().get(signal),
    };
    if !old.is_null() {
        current.mm.write(old, &UserAction::from(&before)).await?;
    }
    Ok(0)
}

/// rt_sigprocmask(2).
pub async fn rt_sigprocmask(
    current: &mut Current,
    how: i32,
    set: UserAddress,
    old: UserAddress,
    size: usize,
) -> SyscallResult {
    check_size(size)?;
    let before = current.task.blocked_signals();
    if !set.is_null() {
        let set = read_set(current, set, size).await?;
        let mask = match how {
            0 => before.union(set),
            1 => before.difference(set),
            2 => set,
            _ => return Err(Errno::EINVAL),
        };
        current.task.set_blocked_signals(mask);
    }
    if !old.is_null() {
        current.mm.write(old, &before.0).await?;
    }
    Ok(0)
}

/// rt_sigpending(2).
pub async fn rt_sigpending(current: &mut Current, set: UserAddress, size: usize) -> SyscallResult {
    if size > size_of::<SignalSet>() {
        return Err(Errno::EINVAL);
    }
    let blocked = current.task.blocked_signals();
    let pending = current.task.pending_signals().intersection(blocked);
    let bytes = pending.0.to_le_bytes();
    current.mm.copy_out(set, bytes.get(..size).unwrap_or_default()).await?;
    Ok(0)
}

/// sigaltstack(2).
pub async fn sigaltstack(
    current: &mut Current,
    new: UserAddress,
    old: UserAddress,
) -> SyscallResult {
    let stack_pointer = current.context.registers.rsp;
    let before = current.alternate_stack;
    let answer = UserStack { flags: before.flags(stack_pointer), ..UserStack::from(&before) };
    if !new.is_null() {
        let user: UserStack = current.mm.read(new).await?;
        if before.contains(stack_pointer) {
            return Err(Errno::EPERM);
        }
        current.alternate_stack = alternate_stack_from_user(&user)?;
    }
    if !old.is_null() {
        current.mm.write(old, &answer).await?;
    }
    Ok(0)
}

/// rt_sigreturn(2). A frame that cannot be read is a fault of the task.
pub async fn rt_sigreturn(current: &mut Current) -> SyscallResult {
    let restored: Result<()> = return_from_handler(current).await;
    if restored.is_err() {
        current.raise_segv();
    }
    Ok(current.context.registers.rax)
}
