//! stat(2), statx(2), statfs(2), access(2) and their relatives.

use alloc::sync::Arc;

use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::{
    AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW, Names, check_flags,
    place, place_of, read_optional_name, resolve, start,
};
use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Credentials, Current},
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{
        AccessMode, Attributes, FileSystem, MountFlags, OpenFile, Path, Statistics, Timestamp,
        operations,
    },
};

const HERE: FileDescriptor = FileDescriptor(AT_FDCWD);

/// AT_STATX_SYNC_TYPE: how fresh the attributes must be. They always are.
const AT_STATX_SYNC_TYPE: u32 = 0x6000;
/// STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID.
const STATX_ANSWERED: u32 = 0x1fff;
const STATX_BTIME: u32 = 0x800;
const STATX_RESERVED: u32 = 0x8000_0000;
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
/// ST_VALID of statfs(2).
const ST_VALID: u64 = 0x20;
/// ST_RELATIME; mount(2) has another number for it.
const ST_RELATIME: u64 = 0x1000;
/// ST_NOSYMFOLLOW; likewise.
const ST_NOSYMFOLLOW: u64 = 0x2000;

/// struct stat of x86-64 (`<asm/stat.h>`).
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct Stat {
    device: u64,
    inode: u64,
    links: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    padding: u32,
    device_node: u64,
    size: i64,
    block_size: i64,
    blocks: i64,
    times: [[i64; 2]; 3],
    unused: [i64; 3],
}

/// struct statx_timestamp.
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct StatxTime {
    seconds: i64,
    nanoseconds: u32,
    reserved: u32,
}

/// struct statx (`<linux/stat.h>`).
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct Statx {
    mask: u32,
    block_size: u32,
    attributes: u64,
    links: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    padding: u16,
    inode: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    accessed: StatxTime,
    created: StatxTime,
    changed: StatxTime,
    modified: StatxTime,
    node_major: u32,
    node_minor: u32,
    device_major: u32,
    device_minor: u32,
    mount: u64,
    spare: [u64; 13],
}

/// struct statfs of x86-64 (`<asm-generic/statfs.h>`).
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct StatFs {
    magic: u64,
    block_size: u64,
    blocks: u64,
    blocks_free: u64,
    blocks_available: u64,
    inodes: u64,
    inodes_free: u64,
    id: [u32; 2],
    name_length: u64,
    fragment_size: u64,
    flags: u64,
    spare: [u64; 4],
}

/// stat(2).
///
/// # Errors
/// As stat(2).
pub async fn stat(current: &mut Current, name: UserAddress, buffer: UserAddress) -> SyscallResult {
    newfstatat(current, HERE, name, buffer, 0).await
}

/// lstat(2).
///
/// # Errors
/// As lstat(2).
pub async fn lstat(current: &mut Current, name: UserAddress, buffer: UserAddress) -> SyscallResult {
    newfstatat(current, HERE, name, buffer, AT_SYMLINK_NOFOLLOW).await
}

/// fstat(2).
///
/// # Errors
/// As fstat(2).
pub async fn fstat(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
) -> SyscallResult {
    let open = current.files.get_any(descriptor)?;
    let attributes = seen(current, of_open(&open).await?);
    current.mm.write(buffer, &Stat::from(&attributes)).await?;
    Ok(0)
}

/// newfstatat(2), known as fstatat(2).
///
/// # Errors
/// As fstatat(2).
pub async fn newfstatat(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    buffer: UserAddress,
    flags: u32,
) -> SyscallResult {
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)?;
    let (attributes, _) = attributes(current, directory, name, flags).await?;
    current.mm.write(buffer, &Stat::from(&attributes)).await?;
    Ok(0)
}

/// statx(2).
///
/// # Errors
/// As statx(2).
pub async fn statx(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    flags: u32,
    mask: u32,
    buffer: UserAddress,
) -> SyscallResult {
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    check_flags(flags, known)?;
    if mask & STATX_RESERVED != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL);
    }
    let (attributes, place) = attributes(current, directory, name, flags).await?;
    current.mm.write(buffer, &Statx::new(&attributes, place.as_ref())).await?;
    Ok(0)
}

/// The attributes of what an *at call names, and its place unless it has none.
async fn attributes(
    current: &Current,
    directory: FileDescriptor,
    name: UserAddress,
    flags: u32,
) -> Result<(Attributes, Option<Path>)> {
    let name = read_optional_name(current, name, flags).await?;
    if name.is_empty() && flags & AT_EMPTY_PATH != 0 && directory.0 != AT_FDCWD {
        let open = current.files.get_any(directory)?;
        return Ok((seen(current, of_open(&open).await?), open.path.clone()));
    }
    let names = Names::new(current);
    let start = start(current, directory, &name)?;
    let path = resolve(current, &names, &start, &name, flags).await?;
    let attributes = of_path(&path).await?;
    Ok((seen(current, attributes), Some(path)))
}

/// `attributes` with the ids that the caller's user namespace has for the owner and the group.
fn seen(current: &Current, attributes: Attributes) -> Attributes {
    let own = current.credentials();
    let (uid, gid) = (own.shown_user(attributes.uid), own.shown_group(attributes.gid));
    Attributes { uid, gid, ..attributes }
}

async fn of_path(path: &Path) -> Result<Attributes> {
    match path.inode().cached_attributes() {
        Some(attributes) => Ok(attributes),
        None => path.inode().attributes().await,
    }
}

async fn of_open(open: &Arc<OpenFile>) -> Result<Attributes> {
    match &open.path {
        Some(path) => of_path(path).await,
        None => Ok(open.file.anonymous().attributes()),
    }
}

const fn seconds_and_nanoseconds(time: Timestamp) -> [i64; 2] {
    [time.seconds, time.nanoseconds as i64]
}

impl From<&Attributes> for Stat {
    fn from(attributes: &Attributes) -> Self {
        let times = [attributes.accessed, attributes.modified, attributes.changed];
        Self {
            device: attributes.device.to_user(),
            inode: attributes.inode,
            links: u64::from(attributes.links),
            mode: attributes.mode(),
            uid: attributes.uid,
            gid: attributes.gid,
            padding: 0,
            device_node: attributes.device_node.to_user(),
            size: attributes.size.cast_signed(),
            block_size: i64::from(attributes.block_size),
            blocks: attributes.blocks.cast_signed(),
            times: times.map(seconds_and_nanoseconds),
            unused: [0; 3],
        }
    }
}

impl From<Timestamp> for StatxTime {
    fn from(time: Timestamp) -> Self {
        Self { seconds: time.seconds, nanoseconds: time.nanoseconds, reserved: 0 }
    }
}

impl Statx {
    fn new(attributes: &Attributes, place: Option<&Path>) -> Self {
        let is_mount_root = place.is_some_and(|path| Arc::ptr_eq(&path.dentry, &path.mount.root));
        Self {
            mask: STATX_ANSWERED & !if attributes.created.is_none() { STATX_BTIME } else { 0 },
            block_size: attributes.block_size,
            attributes: if is_mount_root { STATX_ATTR_MOUNT_ROOT } else { 0 },
            links: attributes.links,
            uid: attributes.uid,
            gid: attributes.gid,
            mode: (attributes.mode() & 0xffff) as u16,
            padding: 0,
            inode: attributes.inode,
            size: attributes.size,
            blocks: attributes.blocks,
            attributes_mask: STATX_ATTR_MOUNT_ROOT,
            accessed: attributes.accessed.into(),
            created: attributes.created.unwrap_or_default().into(),
            changed: attributes.changed.into(),
            modified: attributes.modified.into(),
            node_major: attributes.device_node.major,
            node_minor: attributes.device_node.minor,
            device_major: attributes.device.major,
            device_minor: attributes.device.minor,
            mount: place.map_or(0, |path| path.mount.id),
            spare: [0; 13],
        }
    }
}

/// statfs(2).
///
/// # Errors
/// As statfs(2).
pub async fn statfs(
    current: &mut Current,
    name: UserAddress,
    buffer: UserAddress,
) -> SyscallResult {
    let names = Names::new(current);
    let path = place(current, &names, HERE, name, 0).await?;
    write_statistics(current, &path, buffer).await
}

/// fstatfs(2).
///
/// # Errors
/// As fstatfs(2).
pub async fn fstatfs(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
) -> SyscallResult {
    let open = current.files.get_any(descriptor)?;
    let path = place_of(&open, Errno::ENOSYS)?;
    write_statistics(current, &path, buffer).await
}

async fn write_statistics(current: &Current, path: &Path, buffer: UserAddress) -> SyscallResult {
    let statistics: Statistics = FileSystem::statistics(&*path.mount.file_system).await?;
    let flags = path.mount.flags();
    let shown = flags - MountFlags::RELATIVE_ACCESS_TIME - MountFlags::NO_LINKS;
    let bit = |flag, bit| if flags.contains(flag) { bit } else { 0 };
    let answer = StatFs {
        magic: statistics.magic,
        block_size: statistics.block_size,
        blocks: statistics.blocks,
        blocks_free: statistics.blocks_free,
        blocks_available: statistics.blocks_available,
        inodes: statistics.inodes,
        inodes_free: statistics.inodes_free,
        id: [0; 2],
        name_length: crate::vfs::NAME_MAX as u64,
        fragment_size: statistics.block_size,
        flags: shown.bits()
            | ST_VALID
            | bit(MountFlags::RELATIVE_ACCESS_TIME, ST_RELATIME)
            | bit(MountFlags::NO_LINKS, ST_NOSYMFOLLOW),
        spare: [0; 4],
    };
    current.mm.write(buffer, &answer).await?;
    Ok(0)
}

/// access(2).
///
/// # Errors
/// As access(2).
pub async fn access(current: &mut Current, name: UserAddress, mode: u32) -> SyscallResult {
    faccessat2(current, HERE, name, mode, 0).await
}

/// faccessat(2) as the kernel has it, without flags.
///
/// # Errors
/// As faccessat(2).
pub async fn faccessat(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    mode: u32,
) -> SyscallResult {
    faccessat2(current, directory, name, mode, 0).await
}

/// faccessat2(2).
///
/// # Errors
/// As faccessat2(2).
pub async fn faccessat2(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    mode: u32,
    flags: u32,
) -> SyscallResult {
    check_flags(flags, AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let wanted = u16::try_from(mode).ok().and_then(AccessMode::from_bits).ok_or(Errno::EINVAL)?;
    let mut names = Names::new(current);
    if flags & AT_EACCESS == 0 {
        names.credentials = Arc::new(real(&names.credentials));
    }
    let path = place(current, &names, directory, name, flags).await?;
    operations::check_access(&names.context(current), &path, wanted).await?;
    Ok(0)
}

/// The credentials access(2) checks with: real ids in place of effective ones.
fn real(credentials: &Credentials) -> Credentials {
    let is_root = credentials.root() == Some(credentials.uid);
    let effective = if is_root { credentials.permitted } else { Capabilities::empty() };
    Credentials {
        fs_uid: credentials.uid,
        fs_gid: credentials.gid,
        effective,
        ..credentials.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_sizes_of_the_abi() {
        assert_eq!(size_of::<Stat>(), 144);
        assert_eq!(size_of::<Statx>(), 256);
        assert_eq!(size_of::<StatFs>(), 120);
        assert_eq!(core::mem::offset_of!(Stat, size), 48);
        assert_eq!(core::mem::offset_of!(Statx, mount), 144);
    }
}
