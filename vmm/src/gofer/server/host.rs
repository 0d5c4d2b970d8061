//! Files of the host, reached so that a name never leads out of the served tree.

use std::{
    ffi::CStr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use guest_abi::fuse::FileAttributes;
use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, RawMode, ResolveFlags, Statx, StatxFlags, openat2, statx,
    },
    io::Errno,
};

use super::{Result, nodes::Identity};

/// Names open descriptors by path: what a system call cannot do with an O_PATH descriptor, it can
/// with the path of its entry in /proc/self/fd, which leads to exactly that file (proc(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdPaths(&'static str);

impl FdPaths {
    /// Where procfs is mounted as usual.
    pub const PROC: Self = Self("/proc/self/fd");

    /// In the jail, whose root directory is /proc/self/fd.
    pub const JAIL: Self = Self("");

    /// The path that leads to the file of `descriptor`.
    pub fn path(self, descriptor: impl AsFd) -> String {
        format!("{}/{}", self.0, descriptor.as_fd().as_raw_fd())
    }
}

/// What every request asks of statx(2).
const STATUS: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);

/// Attributes of an open file.
///
/// # Errors
/// Those of statx(2).
pub fn status(descriptor: impl AsFd) -> Result<Statx> {
    statx(descriptor, c"", AtFlags::EMPTY_PATH, STATUS)
}

/// Attributes of `name` in `directory`; of a symbolic link itself.
///
/// # Errors
/// Those of statx(2).
pub fn status_at(directory: impl AsFd, name: &CStr) -> Result<Statx> {
    statx(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, STATUS)
}

/// Opens `path` below `directory` without following any symbolic link.
///
/// # Errors
/// Those of openat2(2): `EXDEV` or `ELOOP` for a path that would leave or that has a link in it.
pub fn open_beneath(
    directory: impl AsFd,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(directory, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode, resolve)
}

/// Which inode it is.
pub const fn identity(status: &Statx) -> Identity {
    Identity {
        mount: status.stx_mnt_id,
        device: (status.stx_dev_major, status.stx_dev_minor),
        inode: status.stx_ino,
    }
}

/// Its type.
pub fn kind(status: &Statx) -> FileType {
    FileType::from_raw_mode(RawMode::from(status.stx_mode))
}

/// Its attributes as the protocol has them.
pub fn attributes(status: &Statx) -> FileAttributes {
    FileAttributes {
        inode: status.stx_ino,
        size: status.stx_size,
        blocks: status.stx_blocks,
        atime: status.stx_atime.tv_sec.cast_unsigned(),
        mtime: status.stx_mtime.tv_sec.cast_unsigned(),
        ctime: status.stx_ctime.tv_sec.cast_unsigned(),
        atime_nanoseconds: status.stx_atime.tv_nsec,
        mtime_nanoseconds: status.stx_mtime.tv_nsec,
        ctime_nanoseconds: status.stx_ctime.tv_nsec,
        mode: u32::from(status.stx_mode),
        links: status.stx_nlink,
        uid: status.stx_uid,
        gid: status.stx_gid,
        device: encode_device(status.stx_rdev_major, status.stx_rdev_minor),
        block_size: status.stx_blksize,
        flags: 0,
    }
}

/// A device number as `new_encode_dev` of `linux/kdev_t.h` encodes it.
const fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// Magic number of procfs (`PROC_SUPER_MAGIC` of `linux/magic.h`).
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// Refuses files of procfs, through which a client could reach into this very process
/// (/proc/self/mem); the sentry has a procfs of its own.
///
/// # Errors
/// `EACCES` for a file of procfs.
pub fn refuse_procfs(descriptor: impl AsFd) -> Result<()> {
    let magic = rustix::fs::fstatfs(descriptor)?.f_type;
    if magic == PROC_SUPER_MAGIC { Err(Errno::ACCESS) } else { Ok(()) }
}
