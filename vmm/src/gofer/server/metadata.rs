//! Changing attributes, and the file system's own: `SETATTR`, `STATFS`.

use std::{os::fd::OwnedFd, sync::Arc};

use guest_abi::fuse::{SetattrIn, SetattrValid, StatfsOut};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid,
        chmod, chownat, fstatfs, ftruncate, utimensat,
    },
    io::Errno,
};

use super::{Result, Server, data::kill_set_id};

impl Server {
    pub(super) fn setattr(&mut self, node: u64, request: &SetattrIn) -> Result {
        let valid = SetattrValid::from_bits(request.valid).ok_or(Errno::INVAL)?;
        let times = times(valid, request)?;
        let target = if valid.contains(SetattrValid::HANDLE) {
            Arc::clone(self.handles.descriptor(request.handle)?)
        } else {
            self.descriptor(node)?
        };
        if valid.intersects(SetattrValid::UID | SetattrValid::GID) {
            change_owner(&target, valid, request)?;
        }
        if valid.contains(SetattrValid::SIZE) {
            self.truncate(node, valid, request)?;
        }
        if valid.contains(SetattrValid::MODE) {
            self.change_mode(node, &target, request.mode)?;
        }
        if let Some(times) = times {
            utimensat(&target, c"", &times, AtFlags::EMPTY_PATH)?;
        }
        self.answer_attributes(&target)
    }

    fn truncate(&mut self, node: u64, valid: SetattrValid, request: &SetattrIn) -> Result<()> {
        let file = if valid.contains(SetattrValid::HANDLE) {
            Arc::clone(self.handles.file(request.handle)?)
        } else {
            Arc::new(self.open_node(node, OFlags::WRONLY.bits())?)
        };
        ftruncate(&file, request.size)?;
        if valid.contains(SetattrValid::KILL_SUIDGID) { kill_set_id(&file) } else { Ok(()) }
    }

    fn change_mode(&self, node: u64, target: &OwnedFd, mode: u32) -> Result<()> {
        if self.nodes.get(node)?.kind == FileType::Symlink {
            return Err(Errno::OPNOTSUPP);
        }
        chmod(self.options.fd_paths.path(target), Mode::from_raw_mode(mode & 0o7777))
    }

    pub(super) fn statfs(&mut self, node: u64) -> Result {
        let descriptor = self.descriptor(node)?;
        let status = fstatfs(&descriptor)?;
        let small = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        self.prepare(&StatfsOut {
            blocks: status.f_blocks,
            blocks_free: status.f_bfree,
            blocks_available: status.f_bavail,
            files: status.f_files,
            files_free: status.f_ffree,
            block_size: small(status.f_bsize),
            name_length: small(status.f_namelen),
            fragment_size: small(status.f_frsize),
            ..StatfsOut::default()
        })
    }
}

fn change_owner(target: &OwnedFd, valid: SetattrValid, request: &SetattrIn) -> Result<()> {
    // chown(2) takes -1 for "leave as is", so it is no id.
    if request.uid == u32::MAX || request.gid == u32::MAX {
        return Err(Errno::INVAL);
    }
    let uid = valid.contains(SetattrValid::UID).then(|| Uid::from_raw(request.uid));
    let gid = valid.contains(SetattrValid::GID).then(|| Gid::from_raw(request.gid));
    chownat(target, c"", uid, gid, AtFlags::EMPTY_PATH)
}

/// The time stamps to set, if any.
fn times(valid: SetattrValid, request: &SetattrIn) -> Result<Option<Timestamps>> {
    let access = SetattrValid::ATIME | SetattrValid::ATIME_NOW;
    let modification = SetattrValid::MTIME | SetattrValid::MTIME_NOW;
    if !valid.intersects(access | modification) {
        return Ok(None);
    }
    let now = valid.contains(SetattrValid::ATIME_NOW);
    let set = valid.contains(SetattrValid::ATIME);
    let last_access = time(now, set, request.atime, request.atime_nanoseconds)?;
    let now = valid.contains(SetattrValid::MTIME_NOW);
    let set = valid.contains(SetattrValid::MTIME);
    let last_modification = time(now, set, request.mtime, request.mtime_nanoseconds)?;
    Ok(Some(Timestamps { last_access, last_modification }))
}

/// One time stamp as utimensat(2) takes it.
fn time(now: bool, set: bool, seconds: u64, nanoseconds: u32) -> Result<Timespec> {
    let (tv_sec, tv_nsec) = match (now, set) {
        (true, _) => (0, UTIME_NOW),
        (false, false) => (0, UTIME_OMIT),
        (false, true) if nanoseconds < 1_000_000_000 => {
            (seconds.cast_signed(), i64::from(nanoseconds))
        }
        (false, true) => return Err(Errno::INVAL),
    };
    Ok(Timespec { tv_sec, tv_nsec })
}
