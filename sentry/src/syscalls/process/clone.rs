//! New tasks (clone(2), clone3(2), fork(2), vfork(2)).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    errno::{Errno, Result},
    kernel::{CloneFlags, CloneRequest, Current, signal::Signal},
    mm::UserAddress,
    syscalls::SyscallResult,
};

/// The exit signal in the flags of clone(2) (CSIGNAL).
const EXIT_SIGNAL_MASK: u64 = 0xff;

/// Size of the first version of `struct clone_args`.
const FIRST_SIZE: usize = 64;

/// `struct clone_args`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

impl CloneArguments {
    fn request(&self) -> Result<CloneRequest> {
        let flags = CloneFlags::from_bits(self.flags).ok_or(Errno::EINVAL)?;
        let has_stack = self.stack != 0;
        let valid = has_stack == (self.stack_size != 0)
            && self.set_tid_size == 0
            && !flags.intersects(CloneFlags::DETACHED)
            && !(flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT)
                && self.exit_signal != 0);
        if !valid {
            return Err(Errno::EINVAL);
        }
        Ok(CloneRequest {
            flags,
            exit_signal: u32::try_from(self.exit_signal).map_err(|_| Errno::EINVAL)?,
            stack: self.stack.wrapping_add(self.stack_size),
            parent_tid: UserAddress(self.parent_tid),
            child_tid: UserAddress(self.child_tid),
            tls: self.tls,
            pidfd: UserAddress(self.pidfd),
        })
    }
}

/// clone(2).
pub async fn clone(
    current: &mut Current,
    flags: u64,
    stack: u64,
    parent_tid: UserAddress,
    child_tid: UserAddress,
    tls: u64,
) -> SyscallResult {
    let exit_signal = u32::try_from(flags & EXIT_SIGNAL_MASK).map_err(|_| Errno::EINVAL)?;
    // The high half means nothing here, and the obsolete flag does nothing.
    let flags = CloneFlags::from_bits_truncate(flags & !EXIT_SIGNAL_MASK & 0xffff_ffff);
    if flags.contains(CloneFlags::PIDFD)
        && flags.intersects(CloneFlags::PARENT_SET_TID | CloneFlags::DETACHED)
    {
        return Err(Errno::EINVAL);
    }
    let flags = flags - CloneFlags::DETACHED;
    let pidfd = parent_tid;
    let request = CloneRequest { flags, exit_signal, stack, parent_tid, child_tid, tls, pidfd };
    current.clone_task(&request).await.map(u64::from)
}

/// clone3(2).
pub async fn clone3(current: &mut Current, arguments: UserAddress, size: usize) -> SyscallResult {
    let mut bytes = [0; size_of::<CloneArguments>()];
    if size < FIRST_SIZE {
        return Err(Errno::EINVAL);
    }
    if size > crate::memory::PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    let known = size.min(bytes.len());
    current.mm.copy_in(arguments, bytes.get_mut(..known).unwrap_or_default()).await?;
    check_rest_is_zero(current, arguments, known, size).await?;
    let arguments = CloneArguments::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
    let request = arguments.request()?;
    current.clone_task(&request).await.map(u64::from)
}

/// Fields of a later version must be zero (clone3(2), E2BIG).
async fn check_rest_is_zero(
    current: &Current,
    arguments: UserAddress,
    known: usize,
    size: usize,
) -> Result<()> {
    for at in known..size {
        let byte: u8 = current.mm.read(arguments.offset(at as u64)?).await?;
        if byte != 0 {
            return Err(Errno::E2BIG);
        }
    }
    Ok(())
}

fn plain(flags: CloneFlags) -> CloneRequest {
    CloneRequest {
        flags,
        exit_signal: u32::from(Signal::CHLD.number()),
        stack: 0,
        parent_tid: UserAddress(0),
        child_tid: UserAddress(0),
        tls: 0,
        pidfd: UserAddress(0),
    }
}

/// fork(2).
pub async fn fork(current: &mut Current) -> SyscallResult {
    current.clone_task(&plain(CloneFlags::empty())).await.map(u64::from)
}

/// vfork(2).
pub async fn vfork(current: &mut Current) -> SyscallResult {
    let flags = CloneFlags::VFORK | CloneFlags::VM;
    current.clone_task(&plain(flags)).await.map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_and_size_come_together() {
        let arguments = CloneArguments { stack: 0x1000, ..CloneArguments::default() };
        assert!(matches!(arguments.request(), Err(Errno::EINVAL)));
        let arguments = CloneArguments { stack_size: 0x1000, ..arguments };
        assert_eq!(arguments.request().unwrap().stack, 0x2000);
    }
}
