//! Entries of directory listings.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::EntryOut;

/// Every entry starts at a multiple of this many bytes from the start of the listing.
pub const ENTRY_ALIGNMENT: usize = 8;

/// Head of an entry of `READDIR` (`struct fuse_dirent`); the name follows without NUL, then zeros
/// up to [`ENTRY_ALIGNMENT`].
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct DirectoryEntry {
    /// Inode number on the host.
    pub inode: u64,
    /// [`super::ReadIn::offset`] to go on after this entry.
    pub offset: u64,
    /// Bytes of the name.
    pub name_length: u32,
    /// `DT_*` of readdir(3).
    pub file_type: u32,
}

/// Head of an entry of `READDIRPLUS` (`struct fuse_direntplus`); the name follows likewise.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct DirectoryEntryPlus {
    /// What a `LOOKUP` of the name would say; all zero if there is nothing to say.
    pub node: EntryOut,
    /// The entry.
    pub entry: DirectoryEntry,
}

/// Bytes that an entry of `head` bytes (the size of [`DirectoryEntry`] or [`DirectoryEntryPlus`])
/// with a name of `name_length` bytes takes in a listing; `None` if that overflows.
pub const fn padded_length(head: usize, name_length: usize) -> Option<usize> {
    match head.checked_add(name_length) {
        Some(length) => length.checked_next_multiple_of(ENTRY_ALIGNMENT),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn layout_is_that_of_linux_fuse_h() {
        assert_eq!(size_of::<DirectoryEntry>(), 24);
        assert_eq!(offset_of!(DirectoryEntry, name_length), 16);
        assert_eq!(size_of::<DirectoryEntryPlus>(), 152);
        assert_eq!(offset_of!(DirectoryEntryPlus, entry), 128);
    }

    #[test]
    fn entries_are_padded() {
        assert_eq!(padded_length(24, 1), Some(32));
        assert_eq!(padded_length(24, 8), Some(32));
        assert_eq!(padded_length(24, usize::MAX), None);
    }
}
