//! flock(2) and the record locks of fcntl(2).

use alloc::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, Result},
    kernel::{Current, PollEvents, WaitReason},
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{InodeKey, LockOwner, OpenFile, RangeLock},
};

const LOCK_SH: u32 = 1;
const LOCK_EX: u32 = 2;
const LOCK_NB: u32 = 4;
const LOCK_UN: u32 = 8;

const F_RDLCK: i16 = 0;
const F_WRLCK: i16 = 1;
const F_UNLCK: i16 = 2;

/// struct flock of x86-64.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    padding: u32,
    start: i64,
    length: i64,
    pid: i32,
    padding_end: u32,
}

/// flock(2).
///
/// # Errors
/// As flock(2).
pub async fn flock(
    current: &mut Current,
    descriptor: FileDescriptor,
    operation: u32,
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    let key = key(&open).await?;
    let owner = open.lock_owner();
    let locks = &current.kernel.vfs.locks;
    let exclusive = match operation & !LOCK_NB {
        LOCK_UN => {
            locks.unlock_whole(key, owner);
            return Ok(0);
        }
        LOCK_SH => false,
        LOCK_EX => true,
        _ => return Err(Errno::EINVAL),
    };
    open.note_locks(locks, key);
    let wait = operation & LOCK_NB == 0;
    acquire(current, wait, || locks.try_lock_whole(key, owner, exclusive)).await
}

/// fcntl(2) F_GETLK, or F_OFD_GETLK if `owned` by the description.
///
/// # Errors
/// As fcntl(2).
pub(super) async fn query(
    current: &Current,
    open: &Arc<OpenFile>,
    owned: bool,
    address: UserAddress,
) -> SyscallResult {
    let mut flock: Flock = current.mm.read(address).await?;
    if flock.kind == F_UNLCK || owned && flock.pid != 0 {
        return Err(Errno::EINVAL);
    }
    let wanted = range(current, open, owned, &flock).await?;
    match current.kernel.vfs.locks.conflict(key(open).await?, &wanted) {
        None => flock.kind = F_UNLCK,
        Some(lock) => {
            flock.kind = if lock.exclusive { F_WRLCK } else { F_RDLCK };
            flock.whence = 0;
            flock.start = lock.start.cast_signed();
            flock.length = match lock.last {
                u64::MAX => 0,
                last => (last - lock.start + 1).cast_signed(),
            };
            let by_process = matches!(lock.owner, LockOwner::Process(_));
            flock.pid = if by_process { lock.pid.cast_signed() } else { -1 };
        }
    }
    current.mm.write(address, &flock).await?;
    Ok(0)
}

/// fcntl(2) F_SETLK, and F_SETLKW if it may `wait`.
///
/// # Errors
/// As fcntl(2), but no EDEADLK: a deadlock ends by a signal.
pub(super) async fn set(
    current: &Current,
    open: &Arc<OpenFile>,
    owned: bool,
    wait: bool,
    address: UserAddress,
) -> SyscallResult {
    let flock: Flock = current.mm.read(address).await?;
    if owned && flock.pid != 0 {
        return Err(Errno::EINVAL);
    }
    let lock = range(current, open, owned, &flock).await?;
    let key = key(open).await?;
    let locks = &current.kernel.vfs.locks;
    match flock.kind {
        F_UNLCK => {
            locks.unlock_range(key, &lock);
            return Ok(0);
        }
        F_RDLCK if !open.flags().readable() => return Err(Errno::EBADF),
        F_WRLCK if !open.flags().writable() => return Err(Errno::EBADF),
        F_RDLCK | F_WRLCK => {}
        _ => return Err(Errno::EINVAL),
    }
    if owned {
        open.note_locks(locks, key);
    } else {
        current.files.note_locks(locks);
        open.note_key(key);
    }
    acquire(current, wait, || locks.try_lock_range(key, lock)).await
}

/// Takes a lock, waiting for it if that is wanted.
async fn acquire(
    current: &Current,
    wait: bool,
    mut attempt: impl FnMut() -> bool + Send,
) -> SyscallResult {
    if attempt() {
        return Ok(0);
    }
    if !wait {
        return Err(Errno::EAGAIN);
    }
    let queue = current.kernel.vfs.locks.wait_queue();
    let taken = queue.wait_until(PollEvents::OUT, || attempt().then_some(0));
    let waited = current.wait(WaitReason::FileLock, None, taken).await;
    waited.map_err(|_| Errno::ERESTARTSYS)
}

async fn key(open: &OpenFile) -> Result<InodeKey> {
    match &open.path {
        Some(path) => Ok(path.inode().attributes().await?.key()),
        None => Ok(open.file.anonymous().attributes().key()),
    }
}

/// The bytes that `flock` means, and whose lock it is.
async fn range(
    current: &Current,
    open: &Arc<OpenFile>,
    owned: bool,
    flock: &Flock,
) -> Result<RangeLock> {
    let base = match flock.whence {
        0 => 0,
        1 => open.offset().lock().cast_signed(),
        2 => {
            let path = open.path.as_ref().ok_or(Errno::EINVAL)?;
            path.inode().attributes().await?.size.cast_signed()
        }
        _ => return Err(Errno::EINVAL),
    };
    let (start, last) = bounds(base, flock.start, flock.length)?;
    let (owner, pid) = if owned {
        (open.lock_owner(), 0)
    } else {
        (current.files.lock_owner(), current.process().pid())
    };
    Ok(RangeLock { owner, pid, start, last, exclusive: flock.kind == F_WRLCK })
}

/// First and last byte; a negative length reaches back from the start.
fn bounds(base: i64, start: i64, length: i64) -> Result<(u64, u64)> {
    let start = base.checked_add(start).ok_or(Errno::EOVERFLOW)?;
    let (first, last) = match length {
        0 => (start, None),
        1.. => (start, Some(start.checked_add(length - 1).ok_or(Errno::EOVERFLOW)?)),
        _ => (start.checked_add(length).ok_or(Errno::EINVAL)?, Some(start - 1)),
    };
    let first = u64::try_from(first).map_err(|_| Errno::EINVAL)?;
    let last = last.map_or(Ok(u64::MAX), u64::try_from).map_err(|_| Errno::EINVAL)?;
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_reach_both_ways() {
        assert_eq!(size_of::<Flock>(), 32);
        assert_eq!(bounds(10, 0, 5), Ok((10, 14)));
        assert_eq!(bounds(10, 0, -5), Ok((5, 9)));
        assert_eq!(bounds(0, 7, 0), Ok((7, u64::MAX)));
        assert_eq!(bounds(0, -1, 0), Err(Errno::EINVAL));
        assert_eq!(bounds(i64::MAX, 1, 0), Err(Errno::EOVERFLOW));
    }
}
