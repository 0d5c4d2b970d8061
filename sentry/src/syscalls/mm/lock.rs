//! mlock(2) and relatives. Nothing is ever paged out, so locking means filling in and accounting.

use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Current, Resource},
    syscalls::SyscallResult,
};

const MLOCK_ONFAULT: u32 = 1;
const MCL_CURRENT: u32 = 1;
const MCL_FUTURE: u32 = 2;
const MCL_ONFAULT: u32 = 4;

/// mlock(2).
///
/// # Errors
/// As mlock(2).
pub async fn mlock(current: &mut Current, address: u64, length: u64) -> SyscallResult {
    mlock2(current, address, length, 0).await
}

/// mlock2(2).
///
/// # Errors
/// As mlock2(2).
pub async fn mlock2(current: &mut Current, address: u64, length: u64, flags: u32) -> SyscallResult {
    if flags & !MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL);
    }
    current.mm.lock(address, length, lock_limit(current)?)?;
    if flags & MLOCK_ONFAULT == 0 {
        current.mm.populate(address, length, None).await?;
    }
    Ok(0)
}

/// munlock(2).
///
/// # Errors
/// As munlock(2).
pub fn munlock(current: &mut Current, address: u64, length: u64) -> SyscallResult {
    current.mm.unlock(address, length)?;
    Ok(0)
}

/// mlockall(2).
///
/// # Errors
/// As mlockall(2).
pub async fn mlockall(current: &mut Current, flags: u32) -> SyscallResult {
    if flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0
        || flags & (MCL_CURRENT | MCL_FUTURE) == 0
    {
        return Err(Errno::EINVAL);
    }
    let limit = lock_limit(current)?;
    current.mm.lock_all(flags & MCL_CURRENT != 0, flags & MCL_FUTURE != 0, limit)?;
    if flags & (MCL_CURRENT | MCL_ONFAULT) == MCL_CURRENT {
        for mapping in current.mm.mappings(false) {
            let length = mapping.range.end - mapping.range.start;
            // Mappings without access, or past the end of their file, stay as they are.
            let _ = current.mm.populate(mapping.range.start, length, None).await;
        }
    }
    Ok(0)
}

/// munlockall(2).
///
/// # Errors
/// None.
pub fn munlockall(current: &mut Current) -> SyscallResult {
    current.mm.unlock_all();
    Ok(0)
}

/// Bytes that the caller may lock.
fn lock_limit(current: &Current) -> Result<u64> {
    if current.task.credentials().has(Capabilities::IPC_LOCK) {
        return Ok(u64::MAX);
    }
    match current.task.process.limit(Resource::LockedMemory).soft {
        0 => Err(Errno::EPERM),
        limit => Ok(limit),
    }
}
