//! Extended attributes (xattr(7)).

use alloc::vec::Vec;

use super::{AT_FDCWD, AT_SYMLINK_NOFOLLOW, Names, place, place_of};
use crate::{
    errno::{Errno, Result},
    kernel::Current,
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{
        Path, XattrMode,
        operations::{self, XATTR_VALUE_LIMIT},
    },
};

const XATTR_CREATE: u32 = 1;
const XATTR_REPLACE: u32 = 2;

/// Longest name with its NUL.
const NAME_ROOM: usize = 256;

async fn named(current: &Current, names: &Names, path: UserAddress, flags: u32) -> Result<Path> {
    place(current, names, FileDescriptor(AT_FDCWD), path, flags).await
}

fn opened(current: &Current, descriptor: FileDescriptor) -> Result<Path> {
    place_of(&*current.files.get(descriptor)?, Errno::EOPNOTSUPP)
}

async fn read_attribute_name(current: &Current, name: UserAddress) -> Result<Vec<u8>> {
    current.mm.read_string(name, NAME_ROOM).await?.ok_or(Errno::ERANGE)
}

/// Writes `bytes` to a buffer of `size` bytes; of size 0 if only the length is asked for.
async fn answer(
    current: &Current,
    buffer: UserAddress,
    size: usize,
    bytes: &[u8],
) -> SyscallResult {
    if size > 0 {
        if bytes.len() > size {
            return Err(Errno::ERANGE);
        }
        current.mm.copy_out(buffer, bytes).await?;
    }
    Ok(bytes.len() as u64)
}

/// getxattr(2).
///
/// # Errors
/// As getxattr(2).
pub async fn getxattr(
    current: &mut Current,
    path: UserAddress,
    name: UserAddress,
    value: UserAddress,
    size: usize,
) -> SyscallResult {
    let names = Names::new(current);
    let path = named(current, &names, path, 0).await?;
    get(current, &names, &path, name, value, size).await
}

/// lgetxattr(2).
///
/// # Errors
/// As lgetxattr(2).
pub async fn lgetxattr(
    current: &mut Current,
    path: UserAddress,
    name: UserAddress,
    value: UserAddress,
    size: usize,
) -> SyscallResult {
    let names = Names::new(current);
    let path = named(current, &names, path, AT_SYMLINK_NOFOLLOW).await?;
    get(current, &names, &path, name, value, size).await
}

/// fgetxattr(2).
///
/// # Errors
/// As fgetxattr(2).
pub async fn fgetxattr(
    current: &mut Current,
    descriptor: FileDescriptor,
    name: UserAddress,
    value: UserAddress,
    size: usize,
) -> SyscallResult {
    let path = opened(current, descriptor)?;
    get(current, &Names::new(current), &path, name, value, size).await
}

async fn get(
    current: &Current,
    names: &Names,
    path: &Path,
    name: UserAddress,
    value: UserAddress,
    size: usize,
) -> SyscallResult {
    let name = read_attribute_name(current, name).await?;
    let found = operations::read_xattr(&names.context(current), path, &name).await?;
    answer(current, value, size, &found).await
}

/// setxattr(2).
///
/// # Errors
/// As setxattr(2).
pub async fn setxattr(
    current: &mut Current,
    path: UserAddress,
    name: UserAddress,
    value: UserAddress,
    size: usize,
    flags: u32,
) -> SyscallResult {
    let names = Names::new(current);
    let path = named(current, &names, path, 0).await?;
    set(current, &names, &path, name, (value, size), flags).await
}

/// lsetxattr(2).
///
/// # Errors
/// As lsetxattr(2).
pub async fn lsetxattr(
    current: &mut Current,
    path: UserAddress,
    name: UserAddress,
    value: UserAddress,
    size: usize,
    flags: u32,
) -> SyscallResult {
    let names = Names::new(current);
    let path = named(current, &names, path, AT_SYMLINK_NOFOLLOW).await?;
    set(current, &names, &path, name, (value, size), flags).await
}

/// fsetxattr(2).
///
/// # Errors
/// As fsetxattr(2).
pub async fn fsetxattr(
    current: &mut Current,
    descriptor: FileDescriptor,
    name: UserAddress,
    value: UserAddress,
    size: usize,
    flags: u32,
) -> SyscallResult {
    let path = opened(current, descriptor)?;
    set(current, &Names::new(current), &path, name, (value, size), flags).await
}

async fn set(
    current: &Current,
    names: &Names,
    path: &Path,
    name: UserAddress,
    (value, size): (UserAddress, usize),
    flags: u32,
) -> SyscallResult {
    let mode = match flags {
        0 => XattrMode::Any,
        XATTR_CREATE => XattrMode::Create,
        XATTR_REPLACE => XattrMode::Replace,
        _ => return Err(Errno::EINVAL),
    };
    if size > XATTR_VALUE_LIMIT {
        return Err(Errno::E2BIG);
    }
    let name = read_attribute_name(current, name).await?;
    let value: Vec<u8> = current.mm.read_array(value, size).await?;
    operations::set_xattr(&names.context(current), path, &name, &value, mode).await?;
    Ok(0)
}

/// listxattr(2).
///
/// # Errors
/// As listxattr(2).
pub async fn listxattr(
    current: &mut Current,
    path: UserAddress,
    list: UserAddress,
    size: usize,
) -> SyscallResult {
    let names = Names::new(current);
    let path = named(current, &names, path, 0).await?;
    list_names(current, &names, &path, list, size).await
}

/// llistxattr(2).
///
/// # Errors
/// As llistxattr(2).
pub async fn llistxattr(
    current: &mut Current,
    path: UserAddress,
    list: UserAddress,
    size: usize,
) -> SyscallResult {
    let names = Names::new(current);
    let path = named(current, &names, path, AT_SYMLINK_NOFOLLOW).await?;
    list_names(current, &names, &path, list, size).await
}

/// flistxattr(2).
///
/// # Errors
/// As flistxattr(2).
pub async fn flistxattr(
    current: &mut Current,
    descriptor: FileDescriptor,
    list: UserAddress,
    size: usize,
) -> SyscallResult {
    let path = opened(current, descriptor)?;
    list_names(current, &Names::new(current), &path, list, size).await
}

async fn list_names(
    current: &Current,
    names: &Names,
    path: &Path,
    list: UserAddress,
    size: usize,
) -> SyscallResult {
    let found = operations::list_xattrs(&names.context(current), path).await?;
    let mut bytes = Vec::new();
    for name in found {
        bytes.extend_from_slice(&name);
        bytes.push(0);
    }
    answer(current, list, size, &bytes).await
}

/// removexattr(2).
///
/// # Errors
/// As removexattr(2).
pub async fn removexattr(
    current: &mut Current,
    path: UserAddress,
    name: UserAddress,
) -> SyscallResult {
    let names = Names::new(current);
    let path = named(current, &names, path, 0).await?;
    remove(current, &names, &path, name).await
}

/// lremovexattr(2).
///
/// # Errors
/// As lremovexattr(2).
pub async fn lremovexattr(
    current: &mut Current,
    path: UserAddress,
    name: UserAddress,
) -> SyscallResult {
    let names = Names::new(current);
    let path = named(current, &names, path, AT_SYMLINK_NOFOLLOW).await?;
    remove(current, &names, &path, name).await
}

/// fremovexattr(2).
///
/// # Errors
/// As fremovexattr(2).
pub async fn fremovexattr(
    current: &mut Current,
    descriptor: FileDescriptor,
    name: UserAddress,
) -> SyscallResult {
    let path = opened(current, descriptor)?;
    remove(current, &Names::new(current), &path, name).await
}

async fn remove(current: &Current, names: &Names, path: &Path, name: UserAddress) -> SyscallResult {
    let name = read_attribute_name(current, name).await?;
    operations::remove_xattr(&names.context(current), path, &name).await?;
    Ok(0)
}
