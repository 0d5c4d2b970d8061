//! Requests that name something in a directory, forget it, or concern its extended attributes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Request of `FORGET` (`struct fuse_forget_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct ForgetIn {
    /// How many lookups of the node are dropped.
    pub lookups: u64,
}

/// Request of `BATCH_FORGET` (`struct fuse_batch_forget_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct BatchForgetIn {
    /// How many [`ForgetOne`] follow.
    pub count: u32,
    /// Zero.
    pub padding: u32,
}

/// One part of `BATCH_FORGET` (`struct fuse_forget_one`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct ForgetOne {
    /// The node.
    pub node: u64,
    /// How many lookups of it are dropped.
    pub lookups: u64,
}

/// Request of `MKNOD` (`struct fuse_mknod_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct MknodIn {
    /// File type and permissions, umask applied.
    pub mode: u32,
    /// Device number, encoded as [`super::FileAttributes::device`].
    pub device: u32,
    /// The umask; informative.
    pub umask: u32,
    /// Zero.
    pub padding: u32,
}

/// Request of `MKDIR` (`struct fuse_mkdir_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct MkdirIn {
    /// Permissions, umask applied.
    pub mode: u32,
    /// The umask; informative.
    pub umask: u32,
}

/// Request of `RENAME2` (`struct fuse_rename2_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Rename2In {
    /// The new parent; the header names the old one.
    pub new_parent: u64,
    /// `RENAME_*` of renameat2(2).
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Request of `LINK` (`struct fuse_link_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct LinkIn {
    /// The node that gets one more name.
    pub node: u64,
}

/// Request of `SETXATTR` (the first 8 bytes of `struct fuse_setxattr_in`, which is what a peer
/// without `FUSE_SETXATTR_EXT` sends).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct SetxattrIn {
    /// Bytes of the value, which follows the name.
    pub size: u32,
    /// `XATTR_CREATE`, `XATTR_REPLACE`.
    pub flags: u32,
}

/// Request of `GETXATTR` and `LISTXATTR` (`struct fuse_getxattr_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct GetxattrIn {
    /// Most bytes of the answer; 0 asks for its size.
    pub size: u32,
    /// Zero.
    pub padding: u32,
}

/// Reply of `GETXATTR` and `LISTXATTR` for size 0 (`struct fuse_getxattr_out`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct GetxattrOut {
    /// Bytes of the value or list.
    pub size: u32,
    /// Zero.
    pub padding: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::size_of;

    #[test]
    fn layout_is_that_of_linux_fuse_h() {
        assert_eq!(size_of::<ForgetIn>(), 8);
        assert_eq!(size_of::<BatchForgetIn>(), 8);
        assert_eq!(size_of::<ForgetOne>(), 16);
        assert_eq!(size_of::<MknodIn>(), 16);
        assert_eq!(size_of::<MkdirIn>(), 8);
        assert_eq!(size_of::<Rename2In>(), 16);
        assert_eq!(size_of::<LinkIn>(), 8);
        assert_eq!(size_of::<SetxattrIn>(), 8);
        assert_eq!(size_of::<GetxattrIn>(), 8);
        assert_eq!(size_of::<GetxattrOut>(), 8);
    }
}
