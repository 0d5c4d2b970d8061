//! Nodes and their attributes: `LOOKUP`, `FORGET`, `GETATTR`, and the way from a node to a
//! descriptor.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use guest_abi::fuse::{AttributesOut, EntryOut, GetattrFlags, GetattrIn, ROOT_NODE};
use rustix::{
    fs::{Mode, OFlags, Statx},
    io::Errno,
};

use super::{
    Outcome, Result, Server, host,
    nodes::Location,
    request::{Forgets, Name},
};

/// A path for one openat2(2) is cut before it gets longer than this (PATH_MAX is 4096).
const MAX_PATH: usize = 3800;

/// More ancestors than this are a loop, which moves behind our back can make of stale locations.
const MAX_DEPTH: usize = 4096;

impl Server {
    pub(super) fn lookup(&mut self, parent: u64, name: Name<'_>) -> Result {
        let directory = self.descriptor(parent)?;
        let status = host::status_at(&directory, name.as_c_str())?;
        let entry = self.enter(parent, name.as_c_str(), &status)?;
        self.prepare(&entry)
    }

    /// Counts a lookup that found `name` in `parent`.
    pub(super) fn enter(&mut self, parent: u64, name: &CStr, status: &Statx) -> Result<EntryOut> {
        let (identity, kind) = (host::identity(status), host::kind(status));
        let node = self.nodes.look_up(parent, name, identity, kind)?;
        Ok(EntryOut { node, attributes: host::attributes(status), ..EntryOut::default() })
    }

    pub(super) fn forget(&mut self, node: u64, lookups: u64) -> Result {
        for gone in self.nodes.forget(node, lookups) {
            self.descriptors.remove(gone);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn forget_all(&mut self, forgets: Forgets<'_>) -> Result {
        for forget in forgets.iter() {
            self.forget(forget.node, forget.lookups)?;
        }
        Ok(Outcome::Done)
    }

    pub(super) fn getattr(&mut self, node: u64, request: &GetattrIn) -> Result {
        let by_handle =
            GetattrFlags::from_bits_retain(request.flags).contains(GetattrFlags::HANDLE);
        let descriptor = if by_handle {
            Arc::clone(self.handles.descriptor(request.handle)?)
        } else {
            self.descriptor(node)?
        };
        self.answer_attributes(&descriptor)
    }

    pub(super) fn answer_attributes(&mut self, descriptor: impl AsFd) -> Result {
        let attributes = host::attributes(&host::status(descriptor)?);
        self.prepare(&AttributesOut { attributes, ..AttributesOut::default() })
    }

    pub(super) fn readlink(&mut self, node: u64) -> Result {
        let link = self.descriptor(node)?;
        let target = rustix::fs::readlinkat(&link, c"", std::mem::take(&mut self.reply))?;
        self.reply = target.into_bytes();
        Ok(Outcome::Prepared)
    }

    /// An O_PATH descriptor of the node: one still open, or one opened anew.
    ///
    /// # Errors
    /// `ESTALE` if the client does not know the node, or if what is found where the node was is
    /// another inode; those of openat2(2).
    pub(super) fn descriptor(&mut self, node: u64) -> Result<Arc<OwnedFd>> {
        if let Some(descriptor) = self.open_descriptor(node) {
            return Ok(descriptor);
        }
        let descriptor = Arc::new(self.reopen(node)?);
        self.descriptors.insert(node, Arc::clone(&descriptor));
        Ok(descriptor)
    }

    fn open_descriptor(&mut self, node: u64) -> Option<Arc<OwnedFd>> {
        if node == ROOT_NODE {
            return Some(Arc::clone(&self.root));
        }
        self.descriptors.get(node)
    }

    /// Opens a node by its path from the nearest ancestor that is open.
    fn reopen(&mut self, node: u64) -> Result<OwnedFd> {
        let (start, names) = self.path_to(node)?;
        let mut directory = start;
        let mut path = Vec::new();
        for name in names.iter().rev() {
            if path.len() + name.as_bytes().len() > MAX_PATH {
                let opened = open_path(&directory, std::mem::take(&mut path))?;
                directory = Arc::new(opened);
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
        }
        let opened = open_path(&directory, path)?;
        let status = host::status(&opened)?;
        let expected = self.nodes.get(node)?;
        if host::identity(&status) != expected.identity || host::kind(&status) != expected.kind {
            return Err(Errno::STALE);
        }
        Ok(opened)
    }

    /// The nearest open ancestor of a node, and the names from the node up to it.
    fn path_to(&mut self, node: u64) -> Result<(Arc<OwnedFd>, Vec<CString>)> {
        let mut names = Vec::new();
        let mut current = node;
        while names.len() < MAX_DEPTH {
            let location = self.nodes.get(current)?.location.clone();
            let Location { parent, name } = location.ok_or(Errno::STALE)?;
            names.push(name);
            if let Some(descriptor) = self.open_descriptor(parent) {
                return Ok((descriptor, names));
            }
            current = parent;
        }
        Err(Errno::STALE)
    }
}

/// Opens a path that names known nodes. That one of them is gone means that it is stale.
fn open_path(directory: impl AsFd, path: Vec<u8>) -> Result<OwnedFd> {
    let path = CString::new(path).map_err(|_| Errno::INVAL)?;
    host::open_beneath(directory, &path, OFlags::PATH, Mode::empty()).map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV => Errno::STALE,
        other => other,
    })
}
