//! Open files and directories.

use std::{os::fd::OwnedFd, sync::Arc};

use rustix::io::Errno;

use super::{IdMap, Result};

/// What a handle stands for.
#[derive(Clone, Debug)]
enum Handle {
    File(Arc<OwnedFd>),
    Directory(OpenDirectory),
}

/// An open directory.
#[derive(Clone, Debug)]
pub struct OpenDirectory {
    /// Its descriptor, which holds the position.
    pub descriptor: Arc<OwnedFd>,
    /// Its node.
    pub node: u64,
}

/// All handles of a server.
#[derive(Debug)]
pub struct Handles {
    open: IdMap<Handle>,
    next: u64,
    limit: usize,
}

impl Handles {
    /// An empty table for at most `limit` handles.
    pub fn new(limit: usize) -> Self {
        Self { open: IdMap::default(), next: 1, limit }
    }

    /// Whether one more fits.
    ///
    /// # Errors
    /// `ENFILE` if not.
    pub fn check_room(&self) -> Result<()> {
        if self.open.len() < self.limit { Ok(()) } else { Err(Errno::NFILE) }
    }

    /// A handle of an open file.
    ///
    /// # Errors
    /// `ENFILE` if there are too many.
    pub fn insert_file(&mut self, descriptor: OwnedFd) -> Result<u64> {
        self.insert(Handle::File(Arc::new(descriptor)))
    }

    /// A handle of an open directory.
    ///
    /// # Errors
    /// `ENFILE` if there are too many.
    pub fn insert_directory(&mut self, descriptor: OwnedFd, node: u64) -> Result<u64> {
        let descriptor = Arc::new(descriptor);
        self.insert(Handle::Directory(OpenDirectory { descriptor, node }))
    }

    fn insert(&mut self, handle: Handle) -> Result<u64> {
        self.check_room()?;
        let id = self.next;
        self.next += 1;
        self.open.insert(id, handle);
        Ok(id)
    }

    /// The file behind a handle.
    ///
    /// # Errors
    /// `EBADF` if there is no such handle or it is a directory's.
    pub fn file(&self, id: u64) -> Result<&Arc<OwnedFd>> {
        match self.open.get(&id) {
            Some(Handle::File(descriptor)) => Ok(descriptor),
            _ => Err(Errno::BADF),
        }
    }

    /// The directory behind a handle.
    ///
    /// # Errors
    /// `EBADF` if there is no such handle or it is a file's.
    pub fn directory(&self, id: u64) -> Result<&OpenDirectory> {
        match self.open.get(&id) {
            Some(Handle::Directory(directory)) => Ok(directory),
            _ => Err(Errno::BADF),
        }
    }

    /// The descriptor behind a handle.
    ///
    /// # Errors
    /// `EBADF` if there is no such handle.
    pub fn descriptor(&self, id: u64) -> Result<&Arc<OwnedFd>> {
        match self.open.get(&id).ok_or(Errno::BADF)? {
            Handle::File(descriptor) => Ok(descriptor),
            Handle::Directory(directory) => Ok(&directory.descriptor),
        }
    }

    /// Closes a handle.
    ///
    /// # Errors
    /// `EBADF` if there is no such handle.
    pub fn close(&mut self, id: u64) -> Result<()> {
        self.open.remove(&id).map(|_| ()).ok_or(Errno::BADF)
    }
}
