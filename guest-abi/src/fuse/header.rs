//! Headers of requests and replies.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Start of every request (`struct fuse_in_header`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct InHeader {
    /// Bytes of the whole request, this header included.
    pub length: u32,
    /// An [`super::Opcode`].
    pub opcode: u32,
    /// Names the request; copied into the reply.
    pub unique: u64,
    /// The node it is about.
    pub node: u64,
    /// User id that owns what the request creates.
    pub uid: u32,
    /// Group id that owns what the request creates.
    pub gid: u32,
    /// Process id of the requester; informative.
    pub pid: u32,
    /// Length of extensions in units of 8 bytes; 0, as this contract has none.
    pub extension_length: u16,
    /// Zero.
    pub padding: u16,
}

/// Start of every reply (`struct fuse_out_header`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct OutHeader {
    /// Bytes of the whole reply, this header included.
    pub length: u32,
    /// 0, or a negative errno.
    pub error: i32,
    /// [`InHeader::unique`] of the request.
    pub unique: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn layout_is_that_of_linux_fuse_h() {
        assert_eq!(size_of::<InHeader>(), 40);
        assert_eq!(offset_of!(InHeader, unique), 8);
        assert_eq!(offset_of!(InHeader, node), 16);
        assert_eq!(offset_of!(InHeader, uid), 24);
        assert_eq!(offset_of!(InHeader, extension_length), 36);
        assert_eq!(size_of::<OutHeader>(), 16);
        assert_eq!(offset_of!(OutHeader, error), 4);
        assert_eq!(offset_of!(OutHeader, unique), 8);
    }
}
