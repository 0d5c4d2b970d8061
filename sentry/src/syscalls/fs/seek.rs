//! lseek(2).

use crate::{
    errno::{Errno, Result},
    kernel::Current,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{FileKind, OpenFile},
};

const SEEK_SET: u32 = 0;
const SEEK_CUR: u32 = 1;
const SEEK_END: u32 = 2;
const SEEK_DATA: u32 = 3;
const SEEK_HOLE: u32 = 4;

/// lseek(2).
///
/// # Errors
/// As lseek(2).
pub async fn lseek(
    current: &mut Current,
    descriptor: FileDescriptor,
    offset: i64,
    whence: u32,
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    if !open.file.is_seekable() {
        return Err(Errno::ESPIPE);
    }
    match whence {
        SEEK_SET => set(&open, u64::try_from(offset).map_err(|_| Errno::EINVAL)?),
        SEEK_CUR => {
            let mut position = open.offset().lock();
            *position = checked(position.checked_add_signed(offset))?;
            Ok(*position)
        }
        SEEK_END => {
            let size = size(&open).await?;
            set(&open, checked(size.checked_add_signed(offset))?)
        }
        SEEK_DATA | SEEK_HOLE => {
            let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
            set(&open, open.file.seek_data(offset, whence == SEEK_DATA).await?)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Offsets are signed in the ABI.
fn checked(position: Option<u64>) -> Result<u64> {
    position.filter(|position| i64::try_from(*position).is_ok()).ok_or(Errno::EINVAL)
}

fn set(open: &OpenFile, position: u64) -> SyscallResult {
    *open.offset().lock() = position;
    Ok(position)
}

/// Where SEEK_END starts.
async fn size(open: &OpenFile) -> Result<u64> {
    let path = open.path.as_ref().ok_or(Errno::ESPIPE)?;
    match path.inode().kind() {
        FileKind::Regular => Ok(path.inode().attributes().await?.size),
        FileKind::Directory => Ok(i64::MAX.unsigned_abs()),
        _ => Ok(0),
    }
}
