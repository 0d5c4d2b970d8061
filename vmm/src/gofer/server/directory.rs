//! Listing directories: `OPENDIR`, `READDIR`, `READDIRPLUS`.

use std::{ffi::CStr, mem::MaybeUninit, os::fd::OwnedFd};

use guest_abi::fuse::{
    DirectoryEntry, DirectoryEntryPlus, EntryOut, MAX_NAME, NO_HANDLE, OpenOut, ReadIn,
    padded_length,
};
use rustix::{
    fs::{FileType, Mode, OFlags, RawDir, RawDirEntry, SeekFrom, seek},
    io::Errno,
};
use zerocopy::IntoBytes;

use super::{OUT_HEADER, Outcome, Result, Server, handles::OpenDirectory, host};
use crate::virtqueue::Chain;

/// Bounds of what one getdents64(2) fills, in bytes. One entry with the longest name always fits.
const MIN_LISTING: usize = 1024;
const MAX_LISTING: usize = 32 << 10;

/// What to list: names, or names with attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Names,
    Attributes,
}

impl Listing {
    /// Bytes of an entry before its name.
    const fn head(self) -> usize {
        match self {
            Self::Names => size_of::<DirectoryEntry>(),
            Self::Attributes => size_of::<DirectoryEntryPlus>(),
        }
    }
}

impl Server {
    pub(super) fn opendir(&mut self, node: u64) -> Result {
        self.handles.check_room()?;
        let directory = self.open_directory(node)?;
        let handle = self.handles.insert_directory(directory, node)?;
        self.prepare(&OpenOut { handle, ..OpenOut::default() })
    }

    fn open_directory(&mut self, node: u64) -> Result<OwnedFd> {
        let descriptor = self.descriptor(node)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        host::open_beneath(&descriptor, c".", flags, Mode::empty())
    }

    /// Lists entries from the request's offset on, as many as fit. The host's offsets are used as
    /// they are; each request seeks, so no state is kept between requests.
    pub(super) fn readdir(
        &mut self,
        node: u64,
        request: &ReadIn,
        chain: &Chain,
        listing: Listing,
    ) -> Result {
        let directory = if request.handle == NO_HANDLE {
            OpenDirectory { descriptor: self.open_directory(node)?.into(), node }
        } else {
            self.handles.directory(request.handle)?.clone()
        };
        let size = usize::try_from(request.size).map_err(|_| Errno::INVAL)?;
        let room = size.min(chain.writable.len().saturating_sub(OUT_HEADER));
        seek(&directory.descriptor, SeekFrom::Start(request.offset))?;
        // What getdents64 reads beyond the reply is read again: so its buffer is as large as what
        // the reply takes, or smaller.
        let entries = room / (listing.head() + 16) * 32;
        let mut buffer = std::mem::take(&mut self.listing);
        buffer.resize(entries.clamp(MIN_LISTING, MAX_LISTING), MaybeUninit::uninit());
        let result = self.list(&directory, &mut buffer, room, listing);
        self.listing = buffer;
        result.map(|()| Outcome::Prepared)
    }

    fn list(
        &mut self,
        directory: &OpenDirectory,
        buffer: &mut [MaybeUninit<u8>],
        room: usize,
        listing: Listing,
    ) -> Result<()> {
        let mut entries = RawDir::new(&*directory.descriptor, buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let length = entry.file_name().count_bytes();
            let padded = padded_length(listing.head(), length).ok_or(Errno::INVAL)?;
            if length > MAX_NAME {
                continue;
            }
            if self.reply.len() + padded > room {
                // A first entry that does not fit is an error, as in getdents(2).
                return if self.reply.is_empty() { Err(Errno::INVAL) } else { Ok(()) };
            }
            let end = self.reply.len() + padded;
            self.append(directory, &entry, listing)?;
            self.reply.resize(end, 0);
        }
        Ok(())
    }

    fn append(
        &mut self,
        directory: &OpenDirectory,
        entry: &RawDirEntry<'_>,
        listing: Listing,
    ) -> Result<()> {
        let name = entry.file_name();
        let head = DirectoryEntry {
            inode: entry.ino(),
            offset: entry.next_entry_cookie(),
            name_length: u32::try_from(name.count_bytes()).map_err(|_| Errno::INVAL)?,
            file_type: directory_type(entry.file_type()),
        };
        match listing {
            Listing::Names => self.reply.extend_from_slice(head.as_bytes()),
            Listing::Attributes => {
                let node = self.enter_listed(directory, name);
                let head = DirectoryEntryPlus { node, entry: head };
                self.reply.extend_from_slice(head.as_bytes());
            }
        }
        self.reply.extend_from_slice(name.to_bytes());
        Ok(())
    }

    /// The lookup of a listed name; nothing for `.` and `..`, and if it fails.
    fn enter_listed(&mut self, directory: &OpenDirectory, name: &CStr) -> EntryOut {
        if matches!(name.to_bytes(), b"." | b"..") {
            return EntryOut::default();
        }
        host::status_at(&directory.descriptor, name)
            .and_then(|status| self.enter(directory.node, name, &status))
            .unwrap_or_default()
    }
}

/// `DT_*` of readdir(3).
const fn directory_type(kind: FileType) -> u32 {
    match kind {
        FileType::Fifo => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 4,
        FileType::BlockDevice => 6,
        FileType::RegularFile => 8,
        FileType::Symlink => 10,
        FileType::Socket => 12,
        FileType::Unknown => 0,
    }
}
