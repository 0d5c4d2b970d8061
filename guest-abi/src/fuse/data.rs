//! Requests on open files.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Request of `OPEN` and `OPENDIR` (`struct fuse_open_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct OpenIn {
    /// Flags of open(2).
    pub flags: u32,
    /// `FUSE_OPEN_*`; none used.
    pub open_flags: u32,
}

/// Request of `CREATE` (`struct fuse_create_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct CreateIn {
    /// Flags of open(2).
    pub flags: u32,
    /// Permissions, umask applied.
    pub mode: u32,
    /// The umask; informative.
    pub umask: u32,
    /// `FUSE_OPEN_*`; none used.
    pub open_flags: u32,
}

/// Reply of `OPEN` and `OPENDIR`, and end of that of `CREATE` (`struct fuse_open_out`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct OpenOut {
    /// The handle; to be released.
    pub handle: u64,
    /// `FOPEN_*`; none used.
    pub open_flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Request of `RELEASE` and `RELEASEDIR` (`struct fuse_release_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct ReleaseIn {
    /// The handle.
    pub handle: u64,
    /// Flags of open(2); ignored.
    pub flags: u32,
    /// `FUSE_RELEASE_*`; ignored.
    pub release_flags: u32,
    /// Unused.
    pub lock_owner: u64,
}

/// Request of `FLUSH` (`struct fuse_flush_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct FlushIn {
    /// The handle.
    pub handle: u64,
    /// Zero.
    pub unused: u32,
    /// Zero.
    pub padding: u32,
    /// Unused.
    pub lock_owner: u64,
}

/// Request of `READ`, `READDIR` and `READDIRPLUS` (`struct fuse_read_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct ReadIn {
    /// The handle.
    pub handle: u64,
    /// First byte; in a directory the offset of the last entry seen, 0 at first.
    pub offset: u64,
    /// Most bytes of the reply, its header excluded.
    pub size: u32,
    /// `FUSE_READ_*`; none used.
    pub read_flags: u32,
    /// Unused.
    pub lock_owner: u64,
    /// Flags of open(2); ignored.
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Request of `WRITE` (`struct fuse_write_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct WriteIn {
    /// The handle.
    pub handle: u64,
    /// Where the first byte goes.
    pub offset: u64,
    /// Bytes that follow.
    pub size: u32,
    /// [`WriteFlags`].
    pub write_flags: u32,
    /// Unused.
    pub lock_owner: u64,
    /// Flags of open(2); ignored.
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

bitflags! {
    /// `write_flags` of [`WriteIn`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WriteFlags: u32 {
        /// The data comes from the page cache, at any time after the write; ignored.
        const CACHE = 1;
        /// `lock_owner` is valid; ignored.
        const LOCK_OWNER = 2;
        /// Clear the set-user-ID and set-group-ID bits.
        const KILL_SUIDGID = 4;
    }
}

/// Reply of `WRITE` and `COPY_FILE_RANGE` (`struct fuse_write_out`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct WriteOut {
    /// Bytes written.
    pub size: u32,
    /// Zero.
    pub padding: u32,
}

/// Request of `FSYNC` and `FSYNCDIR` (`struct fuse_fsync_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct FsyncIn {
    /// The handle.
    pub handle: u64,
    /// [`FsyncFlags`].
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

bitflags! {
    /// `flags` of [`FsyncIn`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FsyncFlags: u32 {
        /// fdatasync(2): the data only.
        const DATA_ONLY = 1;
    }
}

/// Request of `FALLOCATE` (`struct fuse_fallocate_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct FallocateIn {
    /// The handle.
    pub handle: u64,
    /// First byte of the range.
    pub offset: u64,
    /// Bytes of the range.
    pub length: u64,
    /// `FALLOC_FL_*` of fallocate(2).
    pub mode: u32,
    /// Zero.
    pub padding: u32,
}

/// Request of `LSEEK` (`struct fuse_lseek_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct LseekIn {
    /// The handle.
    pub handle: u64,
    /// Where to start.
    pub offset: u64,
    /// `SEEK_DATA` (3) or `SEEK_HOLE` (4).
    pub whence: u32,
    /// Zero.
    pub padding: u32,
}

/// Reply of `LSEEK` (`struct fuse_lseek_out`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct LseekOut {
    /// The offset found.
    pub offset: u64,
}

/// Request of `COPY_FILE_RANGE` (`struct fuse_copy_file_range_in`); the header names the source.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct CopyFileRangeIn {
    /// Handle of the source.
    pub handle_in: u64,
    /// First byte to read.
    pub offset_in: u64,
    /// Node of the destination.
    pub node_out: u64,
    /// Handle of the destination.
    pub handle_out: u64,
    /// First byte to write.
    pub offset_out: u64,
    /// Bytes to copy.
    pub length: u64,
    /// Zero.
    pub flags: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn layout_is_that_of_linux_fuse_h() {
        assert_eq!(size_of::<OpenIn>(), 8);
        assert_eq!(size_of::<CreateIn>(), 16);
        assert_eq!(size_of::<OpenOut>(), 16);
        assert_eq!(size_of::<ReleaseIn>(), 24);
        assert_eq!(size_of::<FlushIn>(), 24);
        assert_eq!(size_of::<ReadIn>(), 40);
        assert_eq!(offset_of!(ReadIn, lock_owner), 24);
        assert_eq!(size_of::<WriteIn>(), 40);
        assert_eq!(offset_of!(WriteIn, write_flags), 20);
        assert_eq!(size_of::<WriteOut>(), 8);
        assert_eq!(size_of::<FsyncIn>(), 16);
        assert_eq!(size_of::<FallocateIn>(), 32);
        assert_eq!(size_of::<LseekIn>(), 24);
        assert_eq!(size_of::<LseekOut>(), 8);
        assert_eq!(size_of::<CopyFileRangeIn>(), 56);
    }
}
