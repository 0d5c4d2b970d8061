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

/// How a call names its file.
#[derive(Clone, Copy)]
enum Subject {
    /// By a name; a symbolic link is followed.
    Name(UserAddress),
    /// By a name; a symbolic link is the file itself.
    Link(UserAddress),
    /// By a descriptor.
    Open(FileDescriptor),
}

impl Subject {
    async fn find(self, current: &Current, names: &Names) -> Result<Path> {
        let here = FileDescriptor(AT_FDCWD);
        match self {
            Self::Name(name) => place(current, names, here, name, 0).await,
            Self::Link(name) => place(current, names, here, name, AT_SYMLINK_NOFOLLOW).await,
            Self::Open(descriptor) => place_of(&*current.files.get(descriptor)?, Errno::EOPNOTSUPP),
        }
    }
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
    get(current, Subject::Name(path), name, value, size).await
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
    get(current, Subject::Link(path), name, value, size).await
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
    get(current, Subject::Open(descriptor), name, value, size).await
}

async fn get(
    current: &Current,
    subject: Subject,
    name: UserAddress,
    value: UserAddress,
    size: usize,
) -> SyscallResult {
    let names = Names::new(current);
    let path = subject.find(current, &names).await?;
    let name = read_attribute_name(current, name).await?;
    let found = operations::read_xattr(&names.context(current), &path, &name).await?;
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
    set(current, Subject::Name(path), name, (value, size), flags).await
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
    set(current, Subject::Link(path), name, (value, size), flags).await
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
    set(current, Subject::Open(descriptor), name, (value, size), flags).await
}

async fn set(
    current: &Current,
    subject: Subject,
    name: UserAddress,
    (value, size): (UserAddress, usize),
    flags: u32,
) -> SyscallResult {
    let names = Names::new(current);
    let path = subject.find(current, &names).await?;
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
    operations::set_xattr(&names.context(current), &path, &name, &value, mode).await?;
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
    list_names(current, Subject::Name(path), list, size).await
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
    list_names(current, Subject::Link(path), list, size).await
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
    list_names(current, Subject::Open(descriptor), list, size).await
}

async fn list_names(
    current: &Current,
    subject: Subject,
    list: UserAddress,
    size: usize,
) -> SyscallResult {
    let names = Names::new(current);
    let path = subject.find(current, &names).await?;
    let found = operations::list_xattrs(&names.context(current), &path).await?;
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
    remove(current, Subject::Name(path), name).await
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
    remove(current, Subject::Link(path), name).await
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
    remove(current, Subject::Open(descriptor), name).await
}

async fn remove(current: &Current, subject: Subject, name: UserAddress) -> SyscallResult {
    let names = Names::new(current);
    let path = subject.find(current, &names).await?;
    let name = read_attribute_name(current, name).await?;
    operations::remove_xattr(&names.context(current), &path, &name).await?;
    Ok(0)
}
