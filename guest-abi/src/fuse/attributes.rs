//! Attributes of nodes, and of the file system that holds them.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Attributes of a node (`struct fuse_attr`). Seconds are signed: two's complement in the `u64`.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct FileAttributes {
    /// Inode number on the host.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
    /// Last access, seconds since 1970.
    pub atime: u64,
    /// Last change of the data.
    pub mtime: u64,
    /// Last change of the attributes.
    pub ctime: u64,
    /// Nanoseconds of `atime`.
    pub atime_nanoseconds: u32,
    /// Nanoseconds of `mtime`.
    pub mtime_nanoseconds: u32,
    /// Nanoseconds of `ctime`.
    pub ctime_nanoseconds: u32,
    /// File type and permissions as in inode(7).
    pub mode: u32,
    /// Number of hard links.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, encoded as by `new_encode_dev` of `linux/kdev_t.h`: minor
    /// bits 0-7 at 0, major at 8, minor bits 8-19 at 20.
    pub device: u32,
    /// Preferred block size of I/O in bytes.
    pub block_size: u32,
    /// `FUSE_ATTR_*`; none used.
    pub flags: u32,
}

/// Reply that introduces a node (`struct fuse_entry_out`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct EntryOut {
    /// The node; the reply counts as one lookup of it.
    pub node: u64,
    /// Always 0: node ids are never used again.
    pub generation: u64,
    /// Validity of the name in seconds; 0 here.
    pub entry_valid: u64,
    /// Validity of the attributes in seconds; 0 here.
    pub attributes_valid: u64,
    /// Nanoseconds of `entry_valid`.
    pub entry_valid_nanoseconds: u32,
    /// Nanoseconds of `attributes_valid`.
    pub attributes_valid_nanoseconds: u32,
    /// Its attributes.
    pub attributes: FileAttributes,
}

/// Request of `GETATTR` (`struct fuse_getattr_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct GetattrIn {
    /// [`GetattrFlags`].
    pub flags: u32,
    /// Zero.
    pub padding: u32,
    /// An open handle, if the flags say so.
    pub handle: u64,
}

bitflags! {
    /// `flags` of [`GetattrIn`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct GetattrFlags: u32 {
        /// `handle` is valid.
        const HANDLE = 1;
    }
}

/// Reply of `GETATTR` and `SETATTR` (`struct fuse_attr_out`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct AttributesOut {
    /// Validity in seconds; 0 here.
    pub valid: u64,
    /// Nanoseconds of `valid`.
    pub valid_nanoseconds: u32,
    /// Zero.
    pub padding: u32,
    /// The attributes.
    pub attributes: FileAttributes,
}

/// Request of `SETATTR` (`struct fuse_setattr_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct SetattrIn {
    /// [`SetattrValid`]: which of the fields below are meant.
    pub valid: u32,
    /// Zero.
    pub padding: u32,
    /// Open handle.
    pub handle: u64,
    /// New size in bytes.
    pub size: u64,
    /// Unused.
    pub lock_owner: u64,
    /// New access time in seconds.
    pub atime: u64,
    /// New modification time in seconds.
    pub mtime: u64,
    /// Unused: the host sets it.
    pub ctime: u64,
    /// Nanoseconds of `atime`.
    pub atime_nanoseconds: u32,
    /// Nanoseconds of `mtime`.
    pub mtime_nanoseconds: u32,
    /// Unused.
    pub ctime_nanoseconds: u32,
    /// New permissions; the file type is ignored.
    pub mode: u32,
    /// Zero.
    pub unused4: u32,
    /// New owner.
    pub uid: u32,
    /// New group.
    pub gid: u32,
    /// Zero.
    pub unused5: u32,
}

bitflags! {
    /// `valid` of [`SetattrIn`] (`FATTR_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SetattrValid: u32 {
        /// Set the mode.
        const MODE = 1;
        /// Set the owner.
        const UID = 1 << 1;
        /// Set the group.
        const GID = 1 << 2;
        /// Set the size.
        const SIZE = 1 << 3;
        /// Set the access time.
        const ATIME = 1 << 4;
        /// Set the modification time.
        const MTIME = 1 << 5;
        /// `handle` is valid.
        const HANDLE = 1 << 6;
        /// Set the access time to the server's now.
        const ATIME_NOW = 1 << 7;
        /// Set the modification time to the server's now.
        const MTIME_NOW = 1 << 8;
        /// `lock_owner` is valid; ignored.
        const LOCK_OWNER = 1 << 9;
        /// `ctime` is valid; ignored.
        const CTIME = 1 << 10;
        /// Clear the set-user-ID and set-group-ID bits.
        const KILL_SUIDGID = 1 << 11;
    }
}

/// Reply of `STATFS` (`struct fuse_statfs_out`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct StatfsOut {
    /// Blocks of `fragment_size` bytes.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks for unprivileged users.
    pub blocks_available: u64,
    /// Inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Optimal transfer size in bytes.
    pub block_size: u32,
    /// Longest name in bytes.
    pub name_length: u32,
    /// Fragment size in bytes.
    pub fragment_size: u32,
    /// Zero.
    pub padding: u32,
    /// Zero.
    pub spare: [u32; 6],
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn layout_is_that_of_linux_fuse_h() {
        assert_eq!(size_of::<FileAttributes>(), 88);
        assert_eq!(offset_of!(FileAttributes, atime_nanoseconds), 48);
        assert_eq!(offset_of!(FileAttributes, mode), 60);
        assert_eq!(offset_of!(FileAttributes, device), 76);
        assert_eq!(size_of::<EntryOut>(), 128);
        assert_eq!(offset_of!(EntryOut, attributes), 40);
        assert_eq!(size_of::<GetattrIn>(), 16);
        assert_eq!(size_of::<AttributesOut>(), 104);
        assert_eq!(size_of::<SetattrIn>(), 88);
        assert_eq!(offset_of!(SetattrIn, atime), 32);
        assert_eq!(offset_of!(SetattrIn, mode), 68);
        assert_eq!(offset_of!(SetattrIn, uid), 76);
        assert_eq!(size_of::<StatfsOut>(), 80);
        assert_eq!(offset_of!(StatfsOut, block_size), 40);
    }
}
