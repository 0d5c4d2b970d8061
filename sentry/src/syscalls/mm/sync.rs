//! msync(2) and mincore(2).

use crate::{
    errno::Errno, kernel::Current, memory::PAGE_SIZE, mm::UserAddress, syscalls::SyscallResult,
};

const MS_ASYNC: u32 = 1;
const MS_INVALIDATE: u32 = 2;
const MS_SYNC: u32 = 4;

/// Pages that mincore(2) looks at in one go.
const CHUNK: u64 = 1024;

/// msync(2).
///
/// # Errors
/// As msync(2).
pub async fn msync(current: &mut Current, address: u64, length: u64, flags: u32) -> SyscallResult {
    let both = MS_ASYNC | MS_SYNC;
    if flags & !(both | MS_INVALIDATE) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let parts = current.mm.file_parts(address, length, true)?;
    if flags & MS_SYNC == 0 {
        return Ok(0);
    }
    for part in parts {
        part.cache.flush(part.offset..part.offset + part.length).await?;
        if let Some(open) = part.file {
            match open.file.sync(true).await {
                Ok(()) | Err(Errno::EINVAL) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(0)
}

/// mincore(2).
///
/// # Errors
/// As mincore(2).
pub async fn mincore(
    current: &mut Current,
    address: u64,
    length: u64,
    vector: UserAddress,
) -> SyscallResult {
    let page = PAGE_SIZE as u64;
    if !address.is_multiple_of(page) {
        return Err(Errno::EINVAL);
    }
    let pages = length.div_ceil(page);
    let mut done = 0;
    while done < pages {
        let count = CHUNK.min(pages - done);
        let start = done.checked_mul(page).and_then(|skip| address.checked_add(skip));
        let resident = current.mm.resident_pages(start.ok_or(Errno::ENOMEM)?, count)?;
        current.mm.copy_out(vector.offset(done)?, &resident).await?;
        done += count;
    }
    Ok(0)
}
