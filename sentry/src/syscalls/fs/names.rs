//! Calls that make, move and remove names.

use alloc::{boxed::Box, vec::Vec};

use super::{
    AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, Names,
    check_flags, place, read_name, read_optional_name, start,
};
use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Current},
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{DeviceNumber, FileKind, NewNode, Path, RenameMode, operations},
};

const HERE: FileDescriptor = FileDescriptor(AT_FDCWD);

const RENAME_NOREPLACE: u32 = 1;
const RENAME_EXCHANGE: u32 = 2;

/// A name of a call, and where it starts.
async fn named(
    current: &Current,
    directory: FileDescriptor,
    name: UserAddress,
) -> Result<(Path, Vec<u8>)> {
    let name = read_name(current, name).await?;
    Ok((start(current, directory, &name)?, name))
}

/// mkdir(2).
///
/// # Errors
/// As mkdir(2).
pub async fn mkdir(current: &mut Current, name: UserAddress, mode: u32) -> SyscallResult {
    mkdirat(current, HERE, name, mode).await
}

/// mkdirat(2).
///
/// # Errors
/// As mkdirat(2).
pub async fn mkdirat(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    mode: u32,
) -> SyscallResult {
    let (start, name) = named(current, directory, name).await?;
    let names = Names::new(current);
    let permissions = (mode & 0o7777) as u16;
    operations::make_directory(&names.context(current), &start, &name, permissions).await?;
    Ok(0)
}

/// mknod(2).
///
/// # Errors
/// As mknod(2).
pub async fn mknod(
    current: &mut Current,
    name: UserAddress,
    mode: u32,
    device: u32,
) -> SyscallResult {
    mknodat(current, HERE, name, mode, device).await
}

/// mknodat(2).
///
/// # Errors
/// As mknodat(2).
pub async fn mknodat(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    mode: u32,
    device: u32,
) -> SyscallResult {
    let device = DeviceNumber::from_user(u64::from(device));
    let node = match FileKind::from_mode(mode) {
        Some(FileKind::Regular) => NewNode::Regular,
        None if mode & 0o170_000 == 0 => NewNode::Regular,
        Some(FileKind::Fifo) => NewNode::Fifo,
        Some(FileKind::Socket) => NewNode::Socket,
        Some(FileKind::CharacterDevice) => NewNode::CharacterDevice(device),
        Some(FileKind::BlockDevice) => NewNode::BlockDevice(device),
        Some(FileKind::Directory) => return Err(Errno::EPERM),
        Some(FileKind::SymbolicLink) | None => return Err(Errno::EINVAL),
    };
    let (start, name) = named(current, directory, name).await?;
    let names = Names::new(current);
    let permissions = (mode & 0o7777) as u16;
    operations::create_node(&names.context(current), &start, &name, node, permissions).await?;
    Ok(0)
}

/// rmdir(2).
///
/// # Errors
/// As rmdir(2).
pub async fn rmdir(current: &mut Current, name: UserAddress) -> SyscallResult {
    unlinkat(current, HERE, name, AT_REMOVEDIR).await
}

/// unlink(2).
///
/// # Errors
/// As unlink(2).
pub async fn unlink(current: &mut Current, name: UserAddress) -> SyscallResult {
    unlinkat(current, HERE, name, 0).await
}

/// unlinkat(2).
///
/// # Errors
/// As unlinkat(2).
pub async fn unlinkat(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    flags: u32,
) -> SyscallResult {
    check_flags(flags, AT_REMOVEDIR)?;
    let (start, name) = named(current, directory, name).await?;
    let names = Names::new(current);
    let context = names.context(current);
    if flags & AT_REMOVEDIR != 0 {
        operations::remove_directory(&context, &start, &name).await?;
    } else {
        operations::unlink(&context, &start, &name).await?;
    }
    Ok(0)
}

/// rename(2).
///
/// # Errors
/// As rename(2).
pub async fn rename(current: &mut Current, old: UserAddress, new: UserAddress) -> SyscallResult {
    renameat2(current, HERE, old, HERE, new, 0).await
}

/// renameat(2).
///
/// # Errors
/// As renameat(2).
pub async fn renameat(
    current: &mut Current,
    old_directory: FileDescriptor,
    old: UserAddress,
    new_directory: FileDescriptor,
    new: UserAddress,
) -> SyscallResult {
    renameat2(current, old_directory, old, new_directory, new, 0).await
}

/// renameat2(2).
///
/// # Errors
/// As renameat2(2); EINVAL for RENAME_WHITEOUT.
pub async fn renameat2(
    current: &mut Current,
    old_directory: FileDescriptor,
    old: UserAddress,
    new_directory: FileDescriptor,
    new: UserAddress,
    flags: u32,
) -> SyscallResult {
    let mode = match flags {
        0 => RenameMode::Replace,
        RENAME_NOREPLACE => RenameMode::NoReplace,
        RENAME_EXCHANGE => RenameMode::Exchange,
        _ => return Err(Errno::EINVAL),
    };
    let (old_start, old) = named(current, old_directory, old).await?;
    let (new_start, new) = named(current, new_directory, new).await?;
    let names = Names::new(current);
    let (from, to) = ((&old_start, &old[..]), (&new_start, &new[..]));
    Box::pin(operations::rename(&names.context(current), from, to, mode)).await?;
    Ok(0)
}

/// link(2).
///
/// # Errors
/// As link(2).
pub async fn link(current: &mut Current, old: UserAddress, new: UserAddress) -> SyscallResult {
    linkat(current, HERE, old, HERE, new, 0).await
}

/// linkat(2).
///
/// # Errors
/// As linkat(2).
pub async fn linkat(
    current: &mut Current,
    old_directory: FileDescriptor,
    old: UserAddress,
    new_directory: FileDescriptor,
    new: UserAddress,
    flags: u32,
) -> SyscallResult {
    check_flags(flags, AT_EMPTY_PATH | AT_SYMLINK_FOLLOW)?;
    let names = Names::new(current);
    let by_descriptor = flags & AT_EMPTY_PATH != 0;
    if by_descriptor && !names.credentials.has(Capabilities::DAC_READ_SEARCH) {
        return Err(Errno::ENOENT);
    }
    let follow = if flags & AT_SYMLINK_FOLLOW == 0 { AT_SYMLINK_NOFOLLOW } else { 0 };
    let target = place(current, &names, old_directory, old, follow | flags & AT_EMPTY_PATH).await?;
    let (start, name) = named(current, new_directory, new).await?;
    operations::link(&names.context(current), &target, &start, &name).await?;
    Ok(0)
}

/// symlink(2).
///
/// # Errors
/// As symlink(2).
pub async fn symlink(
    current: &mut Current,
    target: UserAddress,
    name: UserAddress,
) -> SyscallResult {
    symlinkat(current, target, HERE, name).await
}

/// symlinkat(2).
///
/// # Errors
/// As symlinkat(2).
pub async fn symlinkat(
    current: &mut Current,
    target: UserAddress,
    directory: FileDescriptor,
    name: UserAddress,
) -> SyscallResult {
    let target = read_name(current, target).await?;
    let (start, name) = named(current, directory, name).await?;
    let names = Names::new(current);
    operations::make_symbolic_link(&names.context(current), &start, &name, &target).await?;
    Ok(0)
}

/// readlink(2).
///
/// # Errors
/// As readlink(2).
pub async fn readlink(
    current: &mut Current,
    name: UserAddress,
    buffer: UserAddress,
    size: i32,
) -> SyscallResult {
    readlinkat(current, HERE, name, buffer, size).await
}

/// readlinkat(2). An empty name means the link that the descriptor was opened at.
///
/// # Errors
/// As readlinkat(2).
pub async fn readlinkat(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    buffer: UserAddress,
    size: i32,
) -> SyscallResult {
    let size = usize::try_from(size).ok().filter(|size| *size > 0).ok_or(Errno::EINVAL)?;
    let names = Names::new(current);
    let name = read_optional_name(current, name, 0).await?;
    let start = start(current, directory, &name)?;
    let flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    let empty = name.is_empty();
    if empty && directory.0 == AT_FDCWD {
        return Err(Errno::ENOENT);
    }
    let path = super::resolve(current, &names, &start, &name, flags).await?;
    let target = match path.inode().kind() {
        FileKind::SymbolicLink => operations::read_link(&names.context(current), &path).await?,
        _ if empty => return Err(Errno::ENOENT),
        _ => return Err(Errno::EINVAL),
    };
    let shown = target.get(..size.min(target.len())).unwrap_or_default();
    current.mm.copy_out(buffer, shown).await?;
    Ok(shown.len() as u64)
}
