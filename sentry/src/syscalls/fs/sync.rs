//! fsync(2) and its relatives, and advice about files.

use alloc::{sync::Arc, vec::Vec};

use crate::{
    errno::Errno,
    kernel::Current,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{FileSystem, OpenFile},
};

/// Most bytes read ahead by one call of readahead(2).
const MAX_READAHEAD: usize = 2 << 20;

/// sync(2). What cannot be written is not reported, as on Linux.
///
/// # Errors
/// None.
pub async fn sync(current: &mut Current) -> SyscallResult {
    let mounts = current.fs.namespace().mounts();
    let mut done: Vec<Arc<dyn FileSystem>> = Vec::new();
    for mount in mounts {
        if !done.iter().any(|other| Arc::ptr_eq(other, &mount.file_system)) {
            let _ = mount.file_system.sync().await;
            done.push(mount.file_system.clone());
        }
    }
    Ok(0)
}

/// syncfs(2).
///
/// # Errors
/// As syncfs(2).
pub async fn syncfs(current: &mut Current, descriptor: FileDescriptor) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    if let Some(path) = &open.path {
        path.mount.file_system.sync().await?;
    }
    Ok(0)
}

/// fsync(2).
///
/// # Errors
/// As fsync(2).
pub async fn fsync(current: &mut Current, descriptor: FileDescriptor) -> SyscallResult {
    current.files.get(descriptor)?.file.sync(false).await?;
    Ok(0)
}

/// fdatasync(2).
///
/// # Errors
/// As fdatasync(2).
pub async fn fdatasync(current: &mut Current, descriptor: FileDescriptor) -> SyscallResult {
    current.files.get(descriptor)?.file.sync(true).await?;
    Ok(0)
}

/// sync_file_range(2): writes the whole file.
///
/// # Errors
/// As sync_file_range(2).
pub async fn sync_file_range(
    current: &mut Current,
    descriptor: FileDescriptor,
    offset: i64,
    count: i64,
    flags: u32,
) -> SyscallResult {
    super::check_flags(flags, 7)?;
    let open = seekable(current, descriptor)?;
    if offset < 0 || count < 0 || offset.checked_add(count).is_none() {
        return Err(Errno::EINVAL);
    }
    open.file.sync(true).await?;
    Ok(0)
}

/// posix_fadvise(2): valid advice is taken note of and changes nothing.
///
/// # Errors
/// As posix_fadvise(2).
pub fn fadvise64(
    current: &mut Current,
    descriptor: FileDescriptor,
    _offset: i64,
    length: i64,
    advice: u32,
) -> SyscallResult {
    seekable(current, descriptor)?;
    if length < 0 || advice > 5 {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

/// readahead(2).
///
/// # Errors
/// As readahead(2).
pub async fn readahead(
    current: &mut Current,
    descriptor: FileDescriptor,
    offset: i64,
    count: usize,
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    if !open.flags().readable() {
        return Err(Errno::EBADF);
    }
    let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let cache = open.file.page_cache().map_err(|_| Errno::EINVAL)?;
    cache.fetch(offset, count.min(MAX_READAHEAD)).await?;
    Ok(0)
}

fn seekable(current: &Current, descriptor: FileDescriptor) -> crate::errno::Result<Arc<OpenFile>> {
    let open = current.files.get(descriptor)?;
    if open.file.is_seekable() { Ok(open) } else { Err(Errno::ESPIPE) }
}
