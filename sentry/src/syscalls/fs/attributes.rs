//! chmod(2), chown(2), utimensat(2), truncate(2), fallocate(2), umask(2) and their relatives.

use super::{
    AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, Names, check_flags, place, place_of,
    read_write::exceed_file_size,
};
use crate::{
    errno::{Errno, Result},
    fs::inotify::Events,
    kernel::{Current, Resource},
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{
        FileKind, Path, Timestamp,
        operations::{self, TimeChange},
    },
};

const HERE: FileDescriptor = FileDescriptor(AT_FDCWD);
const UTIME_NOW: i64 = (1 << 30) - 1;
const UTIME_OMIT: i64 = (1 << 30) - 2;

/// chmod(2).
///
/// # Errors
/// As chmod(2).
pub async fn chmod(current: &mut Current, name: UserAddress, mode: u32) -> SyscallResult {
    fchmodat2(current, HERE, name, mode, 0).await
}

/// fchmod(2).
///
/// # Errors
/// As fchmod(2).
pub async fn fchmod(current: &mut Current, descriptor: FileDescriptor, mode: u32) -> SyscallResult {
    let path = place_of(&*current.files.get(descriptor)?, Errno::EINVAL)?;
    set_mode(current, &Names::new(current), &path, mode).await
}

/// fchmodat(2) as the kernel has it, without flags.
///
/// # Errors
/// As fchmodat(2).
pub async fn fchmodat(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    mode: u32,
) -> SyscallResult {
    fchmodat2(current, directory, name, mode, 0).await
}

/// fchmodat2(2).
///
/// # Errors
/// As fchmodat2(2).
pub async fn fchmodat2(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    mode: u32,
    flags: u32,
) -> SyscallResult {
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let names = Names::new(current);
    let path = place(current, &names, directory, name, flags).await?;
    set_mode(current, &names, &path, mode).await
}

async fn set_mode(current: &Current, names: &Names, path: &Path, mode: u32) -> SyscallResult {
    let permissions = (mode & 0o7777) as u16;
    operations::change_mode(&names.context(current), path, permissions).await?;
    Ok(0)
}

/// chown(2).
///
/// # Errors
/// As chown(2).
pub async fn chown(current: &mut Current, name: UserAddress, uid: u32, gid: u32) -> SyscallResult {
    fchownat(current, HERE, name, uid, gid, 0).await
}

/// lchown(2).
///
/// # Errors
/// As lchown(2).
pub async fn lchown(current: &mut Current, name: UserAddress, uid: u32, gid: u32) -> SyscallResult {
    fchownat(current, HERE, name, uid, gid, AT_SYMLINK_NOFOLLOW).await
}

/// fchown(2).
///
/// # Errors
/// As fchown(2).
pub async fn fchown(
    current: &mut Current,
    descriptor: FileDescriptor,
    uid: u32,
    gid: u32,
) -> SyscallResult {
    let path = place_of(&*current.files.get(descriptor)?, Errno::EINVAL)?;
    set_owner(current, &Names::new(current), &path, uid, gid).await
}

/// fchownat(2).
///
/// # Errors
/// As fchownat(2).
pub async fn fchownat(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    uid: u32,
    gid: u32,
    flags: u32,
) -> SyscallResult {
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let names = Names::new(current);
    let path = place(current, &names, directory, name, flags).await?;
    set_owner(current, &names, &path, uid, gid).await
}

async fn set_owner(
    current: &Current,
    names: &Names,
    path: &Path,
    uid: u32,
    gid: u32,
) -> SyscallResult {
    let own = &names.credentials;
    let uid = (uid != u32::MAX).then(|| own.named_user(uid)).transpose()?;
    let gid = (gid != u32::MAX).then(|| own.named_group(gid)).transpose()?;
    operations::change_owner(&names.context(current), path, uid, gid).await?;
    Ok(0)
}

/// utimensat(2).
///
/// # Errors
/// As utimensat(2).
pub async fn utimensat(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    times: UserAddress,
    flags: u32,
) -> SyscallResult {
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let (accessed, modified) = if times.is_null() {
        (TimeChange::Now, TimeChange::Now)
    } else {
        let [accessed, modified]: [[i64; 2]; 2] = current.mm.read(times).await?;
        (time_change(accessed)?, time_change(modified)?)
    };
    if name.is_null() && directory.0 != AT_FDCWD {
        // futimens(3).
        check_flags(flags, AT_EMPTY_PATH)?;
        let path = place_of(&*current.files.get(directory)?, Errno::EINVAL)?;
        return set_times(current, &Names::new(current), &path, accessed, modified).await;
    }
    let names = Names::new(current);
    let path = place(current, &names, directory, name, flags).await?;
    set_times(current, &names, &path, accessed, modified).await
}

/// What a struct timespec of utimensat(2) asks for.
fn time_change([seconds, nanoseconds]: [i64; 2]) -> Result<TimeChange> {
    match nanoseconds {
        UTIME_NOW => Ok(TimeChange::Now),
        UTIME_OMIT => Ok(TimeChange::Keep),
        0..1_000_000_000 => {
            let nanoseconds = u32::try_from(nanoseconds).map_err(|_| Errno::EINVAL)?;
            Ok(TimeChange::At(Timestamp { seconds, nanoseconds }))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// utimes(2).
///
/// # Errors
/// As utimes(2).
pub async fn utimes(current: &mut Current, name: UserAddress, times: UserAddress) -> SyscallResult {
    futimesat(current, HERE, name, times).await
}

/// futimesat(2).
///
/// # Errors
/// As futimesat(2).
pub async fn futimesat(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    times: UserAddress,
) -> SyscallResult {
    let (accessed, modified) = if times.is_null() {
        (TimeChange::Now, TimeChange::Now)
    } else {
        let [accessed, modified]: [[i64; 2]; 2] = current.mm.read(times).await?;
        (from_microseconds(accessed)?, from_microseconds(modified)?)
    };
    let names = Names::new(current);
    let path = if name.is_null() {
        place_of(&*current.files.get(directory)?, Errno::EINVAL)?
    } else {
        place(current, &names, directory, name, 0).await?
    };
    set_times(current, &names, &path, accessed, modified).await
}

/// The time in a struct timeval.
fn from_microseconds([seconds, microseconds]: [i64; 2]) -> Result<TimeChange> {
    if !(0..1_000_000).contains(&microseconds) {
        return Err(Errno::EINVAL);
    }
    time_change([seconds, microseconds * 1000])
}

/// utime(2).
///
/// # Errors
/// As utime(2).
pub async fn utime(current: &mut Current, name: UserAddress, times: UserAddress) -> SyscallResult {
    let (accessed, modified) = if times.is_null() {
        (TimeChange::Now, TimeChange::Now)
    } else {
        let [accessed, modified]: [i64; 2] = current.mm.read(times).await?;
        (time_change([accessed, 0])?, time_change([modified, 0])?)
    };
    let names = Names::new(current);
    let path = place(current, &names, HERE, name, 0).await?;
    set_times(current, &names, &path, accessed, modified).await
}

async fn set_times(
    current: &Current,
    names: &Names,
    path: &Path,
    accessed: TimeChange,
    modified: TimeChange,
) -> SyscallResult {
    operations::set_times(&names.context(current), path, accessed, modified).await?;
    Ok(0)
}

/// truncate(2).
///
/// # Errors
/// As truncate(2).
pub async fn truncate(current: &mut Current, name: UserAddress, size: i64) -> SyscallResult {
    let size = checked_size(current, size)?;
    let names = Names::new(current);
    let path = place(current, &names, HERE, name, 0).await?;
    operations::truncate(&names.context(current), &path, size).await?;
    Ok(0)
}

/// ftruncate(2).
///
/// # Errors
/// As ftruncate(2).
pub async fn ftruncate(
    current: &mut Current,
    descriptor: FileDescriptor,
    size: i64,
) -> SyscallResult {
    let size = checked_size(current, size)?;
    let open = current.files.get(descriptor)?;
    let path = place_of(&open, Errno::EINVAL)?;
    if !open.flags().writable() || path.inode().kind() != FileKind::Regular {
        return Err(Errno::EINVAL);
    }
    let names = Names::new(current);
    let attributes = path.inode().attributes().await?;
    operations::set_size(&names.context(current), &path, &attributes, size).await?;
    Ok(0)
}

/// A size that is not negative and within RLIMIT_FSIZE.
fn checked_size(current: &Current, size: i64) -> Result<u64> {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size > current.process().limit(Resource::FileSize).soft {
        return Err(exceed_file_size(current));
    }
    Ok(size)
}

/// fallocate(2).
///
/// # Errors
/// As fallocate(2).
pub async fn fallocate(
    current: &mut Current,
    descriptor: FileDescriptor,
    mode: u32,
    offset: i64,
    length: i64,
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    if !open.flags().writable() {
        return Err(Errno::EBADF);
    }
    let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    let path = place_of(&open, Errno::ESPIPE)?;
    match path.inode().kind() {
        FileKind::Regular => {}
        FileKind::Directory => return Err(Errno::EISDIR),
        FileKind::Fifo => return Err(Errno::ESPIPE),
        _ => return Err(Errno::ENODEV),
    }
    if offset.checked_add(length).is_none_or(|end| i64::try_from(end).is_err()) {
        return Err(Errno::EFBIG);
    }
    open.file.allocate(mode, offset, length).await?;
    open.tell(Events::MODIFY);
    Ok(0)
}

/// umask(2).
///
/// # Errors
/// None.
pub fn umask(current: &mut Current, mask: u32) -> SyscallResult {
    Ok(u64::from(current.fs.set_umask((mask & 0o777) as u16)))
}
