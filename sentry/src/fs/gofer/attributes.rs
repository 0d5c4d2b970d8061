//! Attributes between the server's form and the VFS's.

use guest_abi::fuse::{FileAttributes, SetattrIn, SetattrValid};

use crate::{
    errno::{Errno, Result},
    vfs::{AttributeChange, Attributes, DeviceNumber, FileKind, Timestamp},
};

/// Block size where the server gives none.
const DEFAULT_BLOCK_SIZE: u32 = 4096;

/// The attributes of an inode of file system `device`.
///
/// # Errors
/// EIO if the mode names no file type.
pub(super) fn from_server(device: DeviceNumber, from: &FileAttributes) -> Result<Attributes> {
    Ok(Attributes {
        device,
        inode: from.inode,
        kind: FileKind::from_mode(from.mode).ok_or(Errno::EIO)?,
        permissions: (from.mode & 0o7777) as u16,
        links: from.links,
        uid: from.uid,
        gid: from.gid,
        device_node: decode_device(from.device),
        // Offsets are signed.
        size: from.size.min(i64::MAX.unsigned_abs()),
        block_size: match from.block_size {
            0 => DEFAULT_BLOCK_SIZE,
            size => size,
        },
        blocks: from.blocks,
        accessed: timestamp(from.atime, from.atime_nanoseconds),
        modified: timestamp(from.mtime, from.mtime_nanoseconds),
        changed: timestamp(from.ctime, from.ctime_nanoseconds),
        created: None,
    })
}

/// The request that makes `change`; `handle` is used where one is open.
pub(super) fn to_server(change: &AttributeChange, handle: Option<u64>) -> SetattrIn {
    let mut valid = SetattrValid::empty();
    valid.set(SetattrValid::MODE, change.permissions.is_some());
    valid.set(SetattrValid::UID, change.uid.is_some());
    valid.set(SetattrValid::GID, change.gid.is_some());
    valid.set(SetattrValid::SIZE, change.size.is_some());
    valid.set(SetattrValid::ATIME, change.accessed.is_some());
    valid.set(SetattrValid::MTIME, change.modified.is_some());
    valid.set(SetattrValid::HANDLE, handle.is_some());
    let accessed = change.accessed.unwrap_or_default();
    let modified = change.modified.unwrap_or_default();
    SetattrIn {
        valid: valid.bits(),
        handle: handle.unwrap_or(0),
        size: change.size.unwrap_or(0),
        atime: accessed.seconds.cast_unsigned(),
        mtime: modified.seconds.cast_unsigned(),
        atime_nanoseconds: accessed.nanoseconds,
        mtime_nanoseconds: modified.nanoseconds,
        mode: change.permissions.unwrap_or(0).into(),
        uid: change.uid.unwrap_or(0),
        gid: change.gid.unwrap_or(0),
        ..SetattrIn::default()
    }
}

/// Applies what the server has done to attributes that are kept without asking it again.
pub(super) const fn apply(change: &AttributeChange, to: &mut Attributes, now: Timestamp) {
    if let Some(permissions) = change.permissions {
        to.permissions = permissions;
    }
    if let Some(uid) = change.uid {
        to.uid = uid;
    }
    if let Some(gid) = change.gid {
        to.gid = gid;
    }
    if let Some(accessed) = change.accessed {
        to.accessed = accessed;
    }
    if let Some(size) = change.size {
        to.size = size;
        to.modified = now;
    }
    if let Some(modified) = change.modified {
        to.modified = modified;
    }
    to.changed = now;
}

/// From the encoding of `new_decode_dev` in `linux/kdev_t.h`.
pub(super) const fn decode_device(encoded: u32) -> DeviceNumber {
    DeviceNumber {
        major: (encoded >> 8) & 0xfff,
        minor: (encoded & 0xff) | ((encoded >> 12) & 0xf_ff00),
    }
}

/// To the same encoding; bits it has no room for are lost, as on Linux.
pub(super) const fn encode_device(device: DeviceNumber) -> u32 {
    (device.minor & 0xff) | ((device.major & 0xfff) << 8) | ((device.minor & 0xf_ff00) << 12)
}

fn timestamp(seconds: u64, nanoseconds: u32) -> Timestamp {
    Timestamp { seconds: seconds.cast_signed(), nanoseconds: nanoseconds.min(999_999_999) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive() {
        for (major, minor) in [(1, 3), (0xfff, 0xf_ffff), (136, 0x12345)] {
            let device = DeviceNumber { major, minor };
            assert_eq!(decode_device(encode_device(device)), device);
        }
    }

    #[test]
    fn a_mode_without_type_is_refused() {
        let attributes = FileAttributes::default();
        assert!(from_server(DeviceNumber::default(), &attributes).is_err());
    }

    #[test]
    fn times_before_1970_and_odd_nanoseconds_are_kept_in_range() {
        let from = FileAttributes {
            mode: 0o100_644,
            mtime: u64::MAX,
            mtime_nanoseconds: u32::MAX,
            ..FileAttributes::default()
        };
        let modified = from_server(DeviceNumber::default(), &from).unwrap().modified;
        assert_eq!((modified.seconds, modified.nanoseconds), (-1, 999_999_999));
    }
}
