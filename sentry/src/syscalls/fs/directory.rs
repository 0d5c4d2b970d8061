//! getdents(2), chdir(2), getcwd(2) and their relatives.

use alloc::vec::Vec;

use super::{Names, place, place_of};
use crate::{
    errno::{Errno, Result},
    fs::inotify::Events,
    kernel::{Capabilities, Current},
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{AccessMode, DirectoryEntry, FileKind, OpenFile, Path, operations},
};

/// Largest buffer filled by one call of getdents(2), in bytes.
const MAX_BUFFER: usize = 1 << 20;

/// getdents64(2).
///
/// # Errors
/// As getdents64(2).
pub async fn getdents64(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    size: u32,
) -> SyscallResult {
    read_entries(current, descriptor, buffer, size, encode_64).await
}

/// getdents(2).
///
/// # Errors
/// As getdents(2).
pub async fn getdents(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    size: u32,
) -> SyscallResult {
    read_entries(current, descriptor, buffer, size, encode_old).await
}

/// struct linux_dirent64.
fn encode_64(entry: &DirectoryEntry, to: &mut Vec<u8>) {
    let end = to.len() + (19 + entry.name.len() + 1).next_multiple_of(8);
    push_head(entry, end - to.len(), to);
    to.push(entry.kind.directory_entry_type());
    to.extend_from_slice(&entry.name);
    to.resize(end, 0);
}

/// struct linux_dirent: the type is in the last byte.
fn encode_old(entry: &DirectoryEntry, to: &mut Vec<u8>) {
    let end = to.len() + (18 + entry.name.len() + 2).next_multiple_of(8);
    push_head(entry, end - to.len(), to);
    to.extend_from_slice(&entry.name);
    to.resize(end - 1, 0);
    to.push(entry.kind.directory_entry_type());
}

/// What both structures start with: inode, position after the entry, length.
fn push_head(entry: &DirectoryEntry, length: usize, to: &mut Vec<u8>) {
    to.extend_from_slice(&entry.inode.to_le_bytes());
    to.extend_from_slice(&entry.next.to_le_bytes());
    to.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
}

async fn read_entries(
    current: &Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    size: u32,
    encode: fn(&DirectoryEntry, &mut Vec<u8>),
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    let room = usize::try_from(size).unwrap_or(MAX_BUFFER).min(MAX_BUFFER);
    let (bytes, next) = collect(&open, room, encode).await?;
    current.mm.copy_out(buffer, &bytes).await?;
    *open.offset().lock() = next;
    open.tell(Events::ACCESS);
    Ok(bytes.len() as u64)
}

/// As many encoded entries as fit into `room` bytes, and the position after them.
async fn collect(
    open: &OpenFile,
    room: usize,
    encode: fn(&DirectoryEntry, &mut Vec<u8>),
) -> Result<(Vec<u8>, u64)> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut position = *open.offset().lock();
    loop {
        let entries = open.file.read_directory(position).await?;
        if entries.is_empty() {
            return Ok((bytes, position));
        }
        for entry in &entries {
            let start = bytes.len();
            encode(entry, &mut bytes);
            if bytes.len() > room {
                bytes.truncate(start);
                let first = start == 0;
                return if first { Err(Errno::EINVAL) } else { Ok((bytes, position)) };
            }
            position = entry.next;
        }
    }
}

/// chdir(2).
///
/// # Errors
/// As chdir(2).
pub async fn chdir(current: &mut Current, name: UserAddress) -> SyscallResult {
    let names = Names::new(current);
    let here = FileDescriptor(super::AT_FDCWD);
    let path = place(current, &names, here, name, 0).await?;
    check_enterable(current, &names, &path).await?;
    current.fs.set_working_directory(path);
    Ok(0)
}

/// fchdir(2).
///
/// # Errors
/// As fchdir(2).
pub async fn fchdir(current: &mut Current, descriptor: FileDescriptor) -> SyscallResult {
    let open = current.files.get_any(descriptor)?;
    let path = place_of(&open, Errno::ENOTDIR)?;
    check_enterable(current, &Names::new(current), &path).await?;
    current.fs.set_working_directory(path);
    Ok(0)
}

/// chroot(2).
///
/// # Errors
/// As chroot(2).
pub async fn chroot(current: &mut Current, name: UserAddress) -> SyscallResult {
    let names = Names::new(current);
    let here = FileDescriptor(super::AT_FDCWD);
    let path = place(current, &names, here, name, 0).await?;
    check_enterable(current, &names, &path).await?;
    if !names.credentials.has_in_own(Capabilities::SYS_CHROOT) {
        return Err(Errno::EPERM);
    }
    current.fs.set_root(path);
    Ok(0)
}

async fn check_enterable(current: &Current, names: &Names, path: &Path) -> Result<()> {
    if path.inode().kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    operations::check_access(&names.context(current), path, AccessMode::EXECUTE).await?;
    Ok(())
}

/// getcwd(2). A directory outside the root is shown as `(unreachable)`, as Linux does.
///
/// # Errors
/// ENOENT if it was removed; ERANGE, EFAULT.
pub async fn getcwd(current: &mut Current, buffer: UserAddress, size: usize) -> SyscallResult {
    let directory = current.fs.working_directory();
    if directory.dentry.is_removed() {
        return Err(Errno::ENOENT);
    }
    let mut name = match directory.name_from(&current.fs.root(), false) {
        Some(name) => name,
        None => [&b"(unreachable)"[..], &directory.name_in_namespace()].concat(),
    };
    name.push(0);
    if name.len() > size {
        return Err(Errno::ERANGE);
    }
    current.mm.copy_out(buffer, &name).await?;
    Ok(name.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8]) -> DirectoryEntry {
        DirectoryEntry { inode: 7, kind: FileKind::Directory, name: name.to_vec(), next: 9 }
    }

    #[test]
    fn entries_are_encoded_as_the_abi_says() {
        let mut bytes = Vec::new();
        encode_64(&entry(b"usr"), &mut bytes);
        assert_eq!(bytes.len(), 24);
        assert_eq!(bytes[16..18], [24, 0]);
        assert_eq!(&bytes[18..], b"\x04usr\0\0");
        // The name ends in a NUL even where it fills its eight bytes without.
        encode_64(&entry(b"media"), &mut bytes);
        assert_eq!(bytes[24 + 16..24 + 18], [32, 0]);
        assert_eq!(&bytes[24 + 18..], b"\x04media\0\0\0\0\0\0\0\0");
        let mut bytes = Vec::new();
        encode_old(&entry(b"usr"), &mut bytes);
        assert_eq!(bytes.len(), 24);
        assert_eq!(&bytes[18..], b"usr\0\0\x04");
    }
}
