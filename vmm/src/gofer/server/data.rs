//! Open files: `OPEN`, `READ`, `WRITE`, and what else concerns their data.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use guest_abi::fuse::{
    CopyFileRangeIn, FallocateIn, FlushIn, FsyncFlags, FsyncIn, InHeader, LseekIn, LseekOut,
    NO_HANDLE, OpenIn, OpenOut, ReadIn, WriteFlags, WriteIn, WriteOut,
};
use rustix::{
    fs::{
        FallocateFlags, FileType, Mode, OFlags, SeekFrom, copy_file_range, fallocate, fchmod,
        fdatasync, fsync, open, seek,
    },
    io::Errno,
};

use super::{OUT_HEADER, Outcome, Result, Server, host};
use crate::virtqueue::Chain;

/// Where the data of a `WRITE` starts in its chain.
const WRITE_DATA: usize = size_of::<InHeader>() + size_of::<WriteIn>();

/// Most bytes that one `COPY_FILE_RANGE` copies, so that it does not hold up other requests.
const MAX_COPY: u64 = 16 << 20;

/// `SEEK_DATA` and `SEEK_HOLE` of `linux/fs.h`.
const SEEK_DATA: u32 = 3;
const SEEK_HOLE: u32 = 4;

/// The part of a client's open(2) flags that the host's file is opened with.
///
/// # Errors
/// `EINVAL` for an access mode that does not exist.
pub(super) fn open_flags(flags: u32) -> Result<OFlags> {
    let flags = OFlags::from_bits_retain(flags);
    if flags & OFlags::ACCMODE == OFlags::ACCMODE {
        return Err(Errno::INVAL);
    }
    let served = OFlags::RWMODE | OFlags::TRUNC | OFlags::SYNC | OFlags::DSYNC;
    Ok((flags & served) | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK)
}

impl Server {
    pub(super) fn open(&mut self, node: u64, request: &OpenIn) -> Result {
        self.handles.check_room()?;
        let file = self.open_node(node, request.flags)?;
        let handle = self.handles.insert_file(file)?;
        self.prepare(&OpenOut { handle, ..OpenOut::default() })
    }

    /// Opens the file behind a node: a regular one only, since opening a device or a FIFO has
    /// effects on the host.
    pub(super) fn open_node(&mut self, node: u64, flags: u32) -> Result<OwnedFd> {
        let flags = open_flags(flags)?;
        let writes = flags.intersects(OFlags::RWMODE | OFlags::TRUNC);
        if self.options.read_only && writes {
            return Err(Errno::ROFS);
        }
        match self.nodes.get(node)?.kind {
            FileType::RegularFile => {}
            FileType::Directory => return Err(Errno::ISDIR),
            FileType::Symlink => return Err(Errno::LOOP),
            _ => return Err(Errno::ACCESS),
        }
        let descriptor = self.descriptor(node)?;
        host::refuse_procfs(&descriptor)?;
        open(self.options.fd_paths.path(&descriptor), flags, Mode::empty())
    }

    pub(super) fn read(&mut self, node: u64, request: &ReadIn, chain: &Chain) -> Result {
        let opened;
        let file = if request.handle == NO_HANDLE {
            opened = self.open_node(node, OFlags::RDONLY.bits())?;
            &opened
        } else {
            &**self.handles.file(request.handle)?
        };
        let size = usize::try_from(request.size).map_err(|_| Errno::INVAL)?;
        if chain.writable.len().saturating_sub(OUT_HEADER) < size {
            return Err(Errno::RANGE);
        }
        let read = chain.writable.fill_from(OUT_HEADER, size, file, request.offset);
        read.map(Outcome::InPlace).map_err(errno)
    }

    pub(super) fn write(&mut self, header: &InHeader, request: &WriteIn, chain: &Chain) -> Result {
        let size = usize::try_from(request.size).map_err(|_| Errno::INVAL)?;
        let end = u32::try_from(WRITE_DATA + size).map_err(|_| Errno::INVAL)?;
        if end > header.length {
            return Err(Errno::INVAL);
        }
        let file = self.handles.file(request.handle)?;
        let flags = WriteFlags::from_bits_retain(request.write_flags);
        let written = chain.readable.drain_to(WRITE_DATA, size, file, request.offset);
        let written = u32::try_from(written.map_err(errno)?).map_err(|_| Errno::INVAL)?;
        if flags.contains(WriteFlags::KILL_SUIDGID) {
            kill_set_id(file)?;
        }
        self.prepare(&WriteOut { size: written, padding: 0 })
    }

    /// `FLUSH` has nothing to do: what was written is in the host's page cache already.
    pub(super) fn flush(&self, request: &FlushIn) -> Result {
        self.handles.file(request.handle).map(|_| Outcome::Done)
    }

    pub(super) fn fsync(&self, request: &FsyncIn) -> Result {
        let file = self.handles.descriptor(request.handle)?;
        let flags = FsyncFlags::from_bits_retain(request.flags);
        if flags.contains(FsyncFlags::DATA_ONLY) { fdatasync(file) } else { fsync(file) }?;
        Ok(Outcome::Done)
    }

    pub(super) fn fallocate(&self, request: &FallocateIn) -> Result {
        let file = self.handles.file(request.handle)?;
        let mode = FallocateFlags::from_bits(request.mode).ok_or(Errno::OPNOTSUPP)?;
        fallocate(file, mode, request.offset, request.length)?;
        Ok(Outcome::Done)
    }

    pub(super) fn lseek(&mut self, request: &LseekIn) -> Result {
        let file = self.handles.file(request.handle)?;
        let target = match request.whence {
            SEEK_DATA => SeekFrom::Data(request.offset),
            SEEK_HOLE => SeekFrom::Hole(request.offset),
            _ => return Err(Errno::INVAL),
        };
        let offset = seek(file, target)?;
        self.prepare(&LseekOut { offset })
    }

    pub(super) fn copy_range(&mut self, request: &CopyFileRangeIn) -> Result {
        let source = self.handles.file(request.handle_in)?;
        let destination = self.handles.file(request.handle_out)?;
        let (mut from, mut to) = (request.offset_in, request.offset_out);
        let length = usize::try_from(request.length.min(MAX_COPY)).map_err(|_| Errno::INVAL)?;
        let copied = copy_file_range(source, Some(&mut from), destination, Some(&mut to), length)?;
        let size = u32::try_from(copied).map_err(|_| Errno::INVAL)?;
        self.prepare(&WriteOut { size, padding: 0 })
    }

    pub(super) fn release(&mut self, handle: u64) -> Result {
        self.handles.close(handle).map(|()| Outcome::Done)
    }
}

/// Clears the set-user-ID bit, and the set-group-ID bit if the group may execute, as a write by
/// a user without CAP_FSETID does (the kernel's `should_remove_suid`).
pub(super) fn kill_set_id(file: impl AsFd) -> Result<()> {
    let mode = Mode::from_raw_mode(u32::from(host::status(&file)?.stx_mode));
    let mut kept = mode - Mode::SUID;
    if mode.contains(Mode::XGRP) {
        kept -= Mode::SGID;
    }
    if kept == mode { Ok(()) } else { fchmod(file, kept) }
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
