//! Contents of a directory: parsing what the server lists, and the list as it is kept.

use alloc::{sync::Arc, vec::Vec};

use guest_abi::fuse::{self, DirectoryEntryPlus, EntryOut, MAX_NAME, padded_length};
use zerocopy::FromBytes;

use super::inode::GoferInode;
use crate::{
    errno::{Errno, Result},
    vfs::{DirectoryEntry, FileKind},
};

/// Most entries of a directory; more is taken for a server that never ends.
pub(super) const MAX_ENTRIES: usize = 4 << 20;

/// Entries given out by one call of [`Listing::entries_from`].
const ENTRIES_AT_ONCE: usize = 256;

/// An entry as the server sent it.
#[derive(Debug)]
pub(super) struct RawEntry<'a> {
    /// What a lookup of the name would say, if the server says so.
    pub(super) node: Option<EntryOut>,
    /// Inode number.
    pub(super) inode: u64,
    /// Type.
    pub(super) kind: FileKind,
    /// Name; valid as one component.
    pub(super) name: &'a [u8],
    /// Where the listing goes on.
    pub(super) next: u64,
}

/// Which entries a listing request returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// READDIR.
    Names,
    /// READDIRPLUS.
    Attributes,
}

impl Format {
    const fn head(self) -> usize {
        match self {
            Self::Names => size_of::<fuse::DirectoryEntry>(),
            Self::Attributes => size_of::<DirectoryEntryPlus>(),
        }
    }

    /// Bytes of the longest possible entry. A reply that leaves as much room is the last.
    pub(super) const fn longest_entry(self) -> usize {
        match padded_length(self.head(), MAX_NAME) {
            Some(length) => length,
            None => usize::MAX,
        }
    }
}

/// Parses the body of a reply.
///
/// # Errors
/// EIO if it is malformed: a truncated entry, or a name that is none.
pub(super) fn parse(mut bytes: &[u8], format: Format) -> Result<Vec<RawEntry<'_>>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (entry, rest) = parse_entry(bytes, format)?;
        entries.push(entry);
        bytes = rest;
    }
    Ok(entries)
}

fn parse_entry(bytes: &[u8], format: Format) -> Result<(RawEntry<'_>, &[u8])> {
    let (node, head) = parse_head(bytes, format).ok_or(Errno::EIO)?;
    let name_length = usize::try_from(head.name_length).map_err(|_| Errno::EIO)?;
    let end = format.head().checked_add(name_length).ok_or(Errno::EIO)?;
    let name = bytes.get(format.head()..end).ok_or(Errno::EIO)?;
    check_name(name)?;
    let padded = padded_length(format.head(), name_length).ok_or(Errno::EIO)?;
    let entry = RawEntry {
        node: node.filter(|node| node.node != 0),
        inode: head.inode,
        kind: kind_of(&head, node),
        name,
        next: head.offset,
    };
    // The padding of the last entry may be missing, as in a listing cut to size.
    Ok((entry, bytes.get(padded..).unwrap_or_default()))
}

fn parse_head(bytes: &[u8], format: Format) -> Option<(Option<EntryOut>, fuse::DirectoryEntry)> {
    match format {
        Format::Names => {
            let (head, _) = fuse::DirectoryEntry::read_from_prefix(bytes).ok()?;
            Some((None, head))
        }
        Format::Attributes => {
            let (head, _) = DirectoryEntryPlus::read_from_prefix(bytes).ok()?;
            Some((Some(head.node), head.entry))
        }
    }
}

/// The type: by the entry, or by the attributes if the host's file system does not tell.
fn kind_of(head: &fuse::DirectoryEntry, node: Option<EntryOut>) -> FileKind {
    FileKind::from_mode((head.file_type & 0xf) << 12)
        .or_else(|| FileKind::from_mode(node?.attributes.mode))
        .unwrap_or(FileKind::Regular)
}

fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME || name.iter().any(|byte| matches!(byte, 0 | b'/'))
    {
        return Err(Errno::EIO);
    }
    Ok(())
}

/// One entry of a [`Listing`].
pub(super) struct Entry {
    /// Inode number.
    pub(super) inode: u64,
    /// Type.
    pub(super) kind: FileKind,
    /// Name.
    pub(super) name: Arc<[u8]>,
    /// The inode, if the server introduced it.
    pub(super) child: Option<Arc<GoferInode>>,
}

/// All entries of a directory at one time, `.` and `..` included. Positions are indices, so they
/// stay true for who reads on while the directory changes.
pub(super) struct Listing {
    entries: Vec<Entry>,
    /// Indices into `entries`, sorted by name.
    by_name: Vec<u32>,
}

impl Listing {
    /// Makes a listing.
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        let mut by_name: Vec<u32> = (0_u32..).zip(&entries).map(|(index, _)| index).collect();
        by_name.sort_unstable_by_key(|&index| entries.get(index as usize).map(|e| &e.name));
        Self { entries, by_name }
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry called `name`.
    pub(super) fn find(&self, name: &[u8]) -> Option<&Entry> {
        let order = |&index: &u32| match self.entries.get(index as usize) {
            Some(entry) => (*entry.name).cmp(name),
            None => core::cmp::Ordering::Greater,
        };
        let place = self.by_name.binary_search_by(order).ok()?;
        self.entries.get(*self.by_name.get(place)? as usize)
    }

    /// Some entries from `position` on.
    pub(super) fn entries_from(&self, position: u64) -> Vec<DirectoryEntry> {
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        let entries = self.entries.get(start..).unwrap_or_default().iter().take(ENTRIES_AT_ONCE);
        let listed = |(next, entry): (u64, &Entry)| DirectoryEntry {
            inode: entry.inode,
            kind: entry.kind,
            name: entry.name.to_vec(),
            next,
        };
        (position.saturating_add(1)..).zip(entries).map(listed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    fn encoded(name: &[u8], length: u32) -> Vec<u8> {
        let head = fuse::DirectoryEntry { inode: 9, offset: 3, name_length: length, file_type: 4 };
        let mut bytes = [head.as_bytes(), name].concat();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn entries_follow_each_other() {
        let bytes = [encoded(b"one", 3), encoded(b"three", 5)].concat();
        let entries = parse(&bytes, Format::Names).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[1].name, entries[1].kind), (&b"three"[..], FileKind::Directory));
    }

    #[test]
    fn impossible_names_and_lengths_are_refused() {
        for (name, length) in
            [(&b"a/b"[..], 3), (b"a\0b", 3), (b"", 0), (b"abc", 9), (b"abc", u32::MAX)]
        {
            let bytes = encoded(name, length);
            assert_eq!(parse(&bytes, Format::Names).err(), Some(Errno::EIO));
        }
        assert!(parse(&[0; 256 + 24], Format::Names).is_err());
    }

    #[test]
    fn names_are_found_and_positions_are_indices() {
        let entry = |name: &[u8]| Entry {
            inode: 1,
            kind: FileKind::Regular,
            name: Arc::from(name),
            child: None,
        };
        let listing = Listing::new(vec![entry(b"zebra"), entry(b"ant"), entry(b"mole")]);
        assert_eq!(&*listing.find(b"mole").unwrap().name, b"mole");
        assert!(listing.find(b"cat").is_none());
        let rest = listing.entries_from(2);
        assert_eq!((rest.len(), rest[0].next), (1, 3));
        assert!(listing.entries_from(u64::MAX).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            for format in [Format::Names, Format::Attributes] {
                if let Ok(entries) = parse(&bytes, format) {
                    prop_assert!(entries.iter().all(|entry| !entry.name.is_empty()));
                }
            }
        }
    }
}
