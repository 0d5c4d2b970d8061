//! Making new files: `MKNOD`, `MKDIR`, `SYMLINK`, `CREATE`.

use std::{
    ffi::CStr,
    os::fd::{AsFd, OwnedFd},
};

use guest_abi::fuse::{CreateIn, InHeader, MkdirIn, MknodIn, OpenOut};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Statx, Uid, chmod, chownat, mkdirat, mknodat,
        symlinkat, unlinkat,
    },
    io::Errno,
};
use zerocopy::IntoBytes;

use super::{Outcome, Result, Server, data, host, request::Name};

/// Permission bits of a mode, set-ID and sticky bits included.
const PERMISSIONS: u32 = 0o7777;

impl Server {
    pub(super) fn mknod(&mut self, header: &InHeader, request: &MknodIn, name: Name<'_>) -> Result {
        let kind = FileType::from_raw_mode(request.mode);
        match kind {
            FileType::RegularFile | FileType::Fifo | FileType::Socket => {}
            // A device node in a shared directory would be one for the host's users too.
            FileType::CharacterDevice | FileType::BlockDevice => return Err(Errno::PERM),
            _ => return Err(Errno::INVAL),
        }
        let directory = self.descriptor(header.node)?;
        mknodat(&directory, name.as_c_str(), kind, plain_permissions(request.mode), 0)?;
        self.finish(header, &directory, name, Some(request.mode), AtFlags::empty())
    }

    pub(super) fn mkdir(&mut self, header: &InHeader, request: &MkdirIn, name: Name<'_>) -> Result {
        let directory = self.descriptor(header.node)?;
        mkdirat(&directory, name.as_c_str(), plain_permissions(request.mode))?;
        self.finish(header, &directory, name, Some(request.mode), AtFlags::REMOVEDIR)
    }

    pub(super) fn symlink(&mut self, header: &InHeader, name: Name<'_>, target: &CStr) -> Result {
        let directory = self.descriptor(header.node)?;
        symlinkat(target, &directory, name.as_c_str())?;
        self.finish(header, &directory, name, None, AtFlags::empty())
    }

    pub(super) fn create(
        &mut self,
        header: &InHeader,
        request: &CreateIn,
        name: Name<'_>,
    ) -> Result {
        self.handles.check_room()?;
        let directory = self.descriptor(header.node)?;
        let flags = data::open_flags(request.flags)?;
        let exclusive = flags | OFlags::CREATE | OFlags::EXCL;
        let mode = plain_permissions(request.mode);
        let made = host::open_beneath(&directory, name.as_c_str(), exclusive, mode);
        let file = match made {
            Ok(file) => {
                self.finish(header, &directory, name, Some(request.mode), AtFlags::empty())?;
                file
            }
            Err(Errno::EXIST) if request.flags & OFlags::EXCL.bits() == 0 => {
                self.open_existing(header.node, &directory, name, request.flags)?
            }
            Err(error) => return Err(error),
        };
        let handle = self.handles.insert_file(file)?;
        self.reply.extend_from_slice(OpenOut { handle, ..OpenOut::default() }.as_bytes());
        Ok(Outcome::Prepared)
    }

    /// `CREATE` of a file that is there: a lookup and an open.
    fn open_existing(
        &mut self,
        parent: u64,
        directory: impl AsFd,
        name: Name<'_>,
        flags: u32,
    ) -> Result<OwnedFd> {
        let status = host::status_at(directory, name.as_c_str())?;
        let entry = self.enter(parent, name.as_c_str(), &status)?;
        let file = self.open_node(entry.node, flags);
        match file {
            Ok(_) => self.prepare(&entry).and(file),
            Err(error) => {
                self.forget(entry.node, 1)?;
                Err(error)
            }
        }
    }

    /// Gives a new file its owner and mode, and answers its node. Removes it (`removal` are the
    /// flags of unlinkat(2)) if that fails, so that a failed request leaves nothing behind.
    fn finish(
        &mut self,
        header: &InHeader,
        directory: impl AsFd,
        name: Name<'_>,
        mode: Option<u32>,
        removal: AtFlags,
    ) -> Result {
        let entry = self
            .adopt(header, &directory, name.as_c_str(), mode)
            .and_then(|status| self.enter(header.node, name.as_c_str(), &status));
        match entry {
            Ok(entry) => self.prepare(&entry),
            Err(error) => {
                unlinkat(directory, name.as_c_str(), removal)?;
                Err(error)
            }
        }
    }

    /// Sets owner and mode of a new file where they are not yet as asked. (The directory's
    /// set-group-ID bit or default ACL may have decided otherwise, and chown(2) clears set-ID
    /// bits.) Answers the attributes.
    fn adopt(
        &self,
        header: &InHeader,
        directory: impl AsFd,
        name: &CStr,
        mode: Option<u32>,
    ) -> Result<Statx> {
        let status = host::status_at(&directory, name)?;
        let owned = (status.stx_uid, status.stx_gid) == (header.uid, header.gid);
        let wanted = mode.map(|mode| mode & PERMISSIONS);
        let exact = wanted.is_none_or(|mode| mode == u32::from(status.stx_mode) & PERMISSIONS);
        if owned && exact {
            return Ok(status);
        }
        let file = host::open_beneath(directory, name, OFlags::PATH, Mode::empty())?;
        if !owned {
            give_away(&file, header.uid, header.gid)?;
        }
        if let Some(mode) = wanted {
            chmod(self.options.fd_paths.path(&file), permissions(mode))?;
        }
        host::status(&file)
    }
}

/// Changes the owner of a new file. A gofer without CAP_CHOWN cannot: its files stay its user's,
/// as with any program that runs without privileges.
fn give_away(file: &OwnedFd, uid: u32, gid: u32) -> Result<()> {
    let (uid, gid) = (Uid::from_raw_unchecked(uid), Gid::from_raw_unchecked(gid));
    match chownat(file, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH) {
        Err(Errno::PERM) if !rustix::process::geteuid().is_root() => Ok(()),
        result => result,
    }
}

/// The permission bits of a mode.
const fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & PERMISSIONS)
}

/// Those that a file may have before it has its owner: a set-ID bit would be this process's.
const fn plain_permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o777)
}
