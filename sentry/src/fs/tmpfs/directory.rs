//! Directories of tmpfs.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, btree_map::Entry as Slot},
    sync::Arc,
    vec::Vec,
};
use core::ops::Bound;

use async_trait::async_trait;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use spin::mutex::SpinMutex;

use super::inode::{TmpfsInode, next_position};
use crate::{
    errno::{Errno, Result},
    vfs::{DirectoryEntry, File, FileKind, Inode, Name, RenameMode},
};

/// What `st_size` counts for each entry, `.` and `..` included, as on Linux's tmpfs.
const BYTES_PER_ENTRY: u64 = 20;

/// Entries returned by one call of [`File::read_directory`].
const BATCH: usize = 128;

/// Entries by name and by position.
#[derive(Default)]
pub(super) struct Directory(SpinMutex<Entries>);

#[derive(Default)]
struct Entries {
    by_name: HashMap<Name, u64, FxBuildHasher>,
    by_position: BTreeMap<u64, (Name, Arc<TmpfsInode>)>,
    parent: u64,
    /// Removed by rmdir(2): nothing can be added.
    closed: bool,
}

impl Directory {
    /// The inode called `name`.
    pub fn find(&self, name: &[u8]) -> Result<Arc<TmpfsInode>> {
        self.0.lock().find(name).ok_or(Errno::ENOENT)
    }

    /// `st_size`.
    pub fn size(&self) -> u64 {
        (self.0.lock().by_name.len() as u64 + 2) * BYTES_PER_ENTRY
    }

    /// Notes which inode `..` is.
    pub fn set_parent(&self, number: u64) {
        self.0.lock().parent = number;
    }

    /// Removes the entry `name`.
    pub fn remove(&self, name: &[u8]) -> Result<Arc<TmpfsInode>> {
        self.0.lock().remove(name).ok_or(Errno::ENOENT)
    }

    /// Refuses new entries from now on.
    ///
    /// # Errors
    /// ENOTEMPTY.
    pub fn close(&self) -> Result<()> {
        let mut entries = self.0.lock();
        if !entries.by_name.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        entries.closed = true;
        Ok(())
    }

    /// Removes all entries.
    pub fn take_all(&self) -> Vec<Arc<TmpfsInode>> {
        let mut entries = self.0.lock();
        entries.by_name.clear();
        let taken = core::mem::take(&mut entries.by_position);
        drop(entries);
        taken.into_values().map(|(_, inode)| inode).collect()
    }

    /// Sets the entry `name`; the old one is returned.
    fn set(&self, name: &[u8], inode: &Arc<TmpfsInode>) -> Result<Option<Arc<TmpfsInode>>> {
        let mut entries = self.0.lock();
        if entries.closed {
            return Err(Errno::ENOENT);
        }
        let old = entries.remove(name);
        entries.insert(Name::from(name), inode.clone());
        Ok(old)
    }
}

impl Entries {
    fn find(&self, name: &[u8]) -> Option<Arc<TmpfsInode>> {
        let position = self.by_name.get(name)?;
        self.by_position.get(position).map(|(_, inode)| inode.clone())
    }

    fn remove(&mut self, name: &[u8]) -> Option<Arc<TmpfsInode>> {
        let position = self.by_name.remove(name)?;
        self.by_position.remove(&position).map(|(_, inode)| inode)
    }

    fn insert(&mut self, name: Name, inode: Arc<TmpfsInode>) {
        let position = next_position();
        if let Slot::Vacant(slot) = self.by_position.entry(position) {
            slot.insert((name.clone(), inode));
            self.by_name.insert(name, position);
        }
    }
}

impl TmpfsInode {
    /// Adds `child` to this directory as `name`.
    pub(super) fn add_entry(&self, name: &[u8], child: &Arc<Self>) -> Result<()> {
        let directory = self.directory()?;
        {
            let mut entries = directory.0.lock();
            if entries.closed {
                return Err(Errno::ENOENT);
            }
            if entries.by_name.contains_key(name) {
                return Err(Errno::EEXIST);
            }
            entries.insert(Name::from(name), child.clone());
        }
        child.change_links(1);
        self.child_came(child);
        self.touch();
        Ok(())
    }

    /// Moves an entry; the VFS has checked that the kinds fit and holds both directories still.
    pub(super) fn rename_entry(
        &self,
        name: &[u8],
        new_parent: &Self,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        let (from, to) = (self.directory()?, new_parent.directory()?);
        let moved = from.find(name)?;
        match (to.find(new_name), mode) {
            (Ok(_), RenameMode::NoReplace) => return Err(Errno::EEXIST),
            (Ok(other), RenameMode::Exchange) => {
                to.set(new_name, &moved)?;
                from.set(name, &other)?;
                new_parent.child_went(&other);
                self.child_came(&other);
            }
            (Err(_), RenameMode::Exchange) => return Err(Errno::ENOENT),
            (replaced, _) => {
                if let Ok(replaced) = replaced {
                    new_parent.replace(&replaced)?;
                }
                to.set(new_name, &moved)?;
                from.remove(name)?;
            }
        }
        self.child_went(&moved);
        new_parent.child_came(&moved);
        moved.change_links(0);
        self.touch();
        new_parent.touch();
        Ok(())
    }

    /// A directory that became a child links to this one by `..`.
    fn child_came(&self, child: &Self) {
        if let Ok(directory) = child.directory() {
            directory.set_parent(self.number());
            self.change_links(1);
        }
    }

    fn child_went(&self, child: &Self) {
        if child.directory().is_ok() {
            self.change_links(-1);
        }
    }

    /// Prepares a child for being renamed over.
    fn replace(&self, replaced: &Self) -> Result<()> {
        if let Ok(directory) = replaced.directory() {
            directory.close()?;
            replaced.change_links(-1);
            self.change_links(-1);
        }
        replaced.change_links(-1);
        Ok(())
    }
}

/// An open directory.
pub(super) struct DirectoryFile {
    inode: Arc<TmpfsInode>,
}

impl DirectoryFile {
    pub const fn new(inode: Arc<TmpfsInode>) -> Self {
        Self { inode }
    }
}

#[async_trait]
impl File for DirectoryFile {
    fn try_read(
        &self,
        _offset: u64,
        _destination: &mut dyn crate::io::Destination,
    ) -> crate::io::TryResult<usize> {
        Err(Errno::EISDIR.into())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    async fn read_directory(&self, position: u64) -> Result<Vec<DirectoryEntry>> {
        let entries = self.inode.directory()?.0.lock();
        let mut found = Vec::new();
        let own = [(&b"."[..], self.inode.number()), (b"..", entries.parent)];
        for (next, (name, inode)) in (1..).zip(own) {
            if position < next {
                let kind = FileKind::Directory;
                found.push(DirectoryEntry { inode, kind, name: name.to_vec(), next });
            }
        }
        let rest = (Bound::Excluded(position.max(1)), Bound::Unbounded);
        let named = entries.by_position.range(rest).take(BATCH);
        found.extend(named.map(|(position, (name, inode))| DirectoryEntry {
            inode: inode.number(),
            kind: inode.kind(),
            name: name.to_vec(),
            next: *position,
        }));
        Ok(found)
    }

    async fn sync(&self, _data_only: bool) -> Result<()> {
        Ok(())
    }
}
