//! Directories of the overlay: the lower one with its changes applied.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use super::{changes::Change, inode::OverlayInode};
use crate::{
    errno::{Errno, Result},
    io::{Destination, TryResult},
    vfs::{Caller, DirectoryEntry, File, FileKind, Inode, NewInode, OpenFlags, RenameMode},
};

/// Entries returned by one call of [`File::read_directory`] of a merged directory.
const BATCH: usize = 128;

impl OverlayInode {
    fn check_directory(&self) -> Result<()> {
        if self.kind() == FileKind::Directory { Ok(()) } else { Err(Errno::ENOTDIR) }
    }

    /// The inode called `name`.
    pub async fn find(&self, name: &[u8]) -> Result<Arc<Self>> {
        self.check_directory()?;
        match self.changes.lock().get(name) {
            Some(Change::Whiteout) => return Err(Errno::ENOENT),
            Some(Change::Present { inode, .. }) => return Ok(inode.clone()),
            None => {}
        }
        let lower = self.lower.as_ref().ok_or(Errno::ENOENT)?;
        Ok(self.layer.wrap(lower.lookup(name).await?))
    }

    /// Whether the lower directory has `name`.
    async fn lower_has(&self, name: &[u8]) -> Result<bool> {
        if let Some(known) = self.changes.lock().hides_lower(name) {
            return Ok(known);
        }
        let Some(lower) = &self.lower else { return Ok(false) };
        match lower.lookup(name).await {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Adds `inode` as `name`, which the VFS has found free.
    async fn add(&self, name: &[u8], inode: Arc<Self>) -> Result<()> {
        self.check_directory()?;
        let upper = self.copy_up(false).await?;
        let number = upper.number;
        let mut changes = self.changes.lock();
        changes.check_open()?;
        let hides_lower = match changes.get(name) {
            Some(Change::Present { .. }) => return Err(Errno::EEXIST),
            Some(Change::Whiteout) => true,
            None => false,
        };
        if inode.kind() == FileKind::Directory {
            inode.changes.lock().parent = Some(number);
        }
        changes.set(name, inode, hides_lower);
        drop(changes);
        upper.node.touch();
        Ok(())
    }

    /// See [`Inode::create`].
    pub async fn create_child(&self, name: &[u8], new: NewInode) -> Result<Arc<Self>> {
        let child = self.layer.create(new);
        self.add(name, child.clone()).await?;
        if let Some(node) = child.upper_node() {
            node.change_links(1);
        }
        self.count_subdirectory(&child, 1);
        Ok(child)
    }

    /// See [`Inode::link`].
    pub async fn link_child(&self, name: &[u8], target: Arc<Self>) -> Result<()> {
        self.add(name, target.clone()).await?;
        target.change_links(1).await
    }

    /// See [`Inode::unlink`].
    pub async fn unlink_child(&self, name: &[u8], target: &Self) -> Result<()> {
        let upper = self.copy_up(false).await?;
        self.changes.lock().remove(name);
        upper.node.touch();
        target.change_links(-1).await
    }

    /// See [`Inode::remove_directory`].
    pub async fn remove_child_directory(&self, name: &[u8], target: &Self) -> Result<()> {
        target.close().await?;
        let upper = self.copy_up(false).await?;
        self.changes.lock().remove(name);
        upper.node.touch();
        self.count_subdirectory(target, -1);
        target.change_links(-2).await
    }

    /// See [`Inode::rename`]. The VFS has checked that the kinds fit, and holds both directories
    /// still.
    pub async fn rename_child(
        &self,
        name: &[u8],
        new_parent: &Self,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        let source = self.find(name).await?;
        let target = match new_parent.find(new_name).await {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        let hides_lower = new_parent.lower_has(new_name).await?;
        let source_hides = self.lower_has(name).await?;
        self.copy_up(false).await?.node.touch();
        new_parent.copy_up(false).await?.node.touch();
        match (target, mode) {
            (Some(_), RenameMode::NoReplace) => return Err(Errno::EEXIST),
            (None, RenameMode::Exchange) => return Err(Errno::ENOENT),
            (Some(target), RenameMode::Exchange) => {
                self.changes.lock().set(name, target.clone(), source_hides);
                new_parent.moved_out(&target);
                self.moved_in(&target);
            }
            (target, _) => {
                if let Some(target) = target {
                    new_parent.replace(&target).await?;
                }
                new_parent.changes.lock().check_open()?;
                self.changes.lock().remove(name);
            }
        }
        new_parent.changes.lock().set(new_name, source.clone(), hides_lower);
        self.moved_out(&source);
        new_parent.moved_in(&source);
        Ok(())
    }

    /// Takes away `target`, which is renamed over.
    async fn replace(&self, target: &Self) -> Result<()> {
        if target.kind() == FileKind::Directory {
            target.close().await?;
            self.count_subdirectory(target, -1);
            return target.change_links(-2).await;
        }
        target.change_links(-1).await
    }

    fn moved_out(&self, child: &Self) {
        self.count_subdirectory(child, -1);
    }

    /// A lower directory that moved is named only by the change that moved it, but its lower inode
    /// must keep leading to it.
    fn moved_in(&self, child: &Self) {
        if child.kind() == FileKind::Directory {
            child.changes.lock().parent = self.upper.get().map(|upper| upper.number);
            self.count_subdirectory(child, 1);
        }
    }

    /// The `..` of a subdirectory is a link to this directory.
    fn count_subdirectory(&self, child: &Self, difference: i32) {
        if child.kind() == FileKind::Directory
            && let Some(node) = self.upper_node()
        {
            node.change_links(difference);
        }
    }

    /// Refuses new entries from now on.
    async fn close(&self) -> Result<()> {
        if self.merged().await?.iter().any(|entry| !is_own(&entry.name)) {
            return Err(Errno::ENOTEMPTY);
        }
        self.changes.lock().close();
        Ok(())
    }

    /// All entries, those of the lower directory first.
    async fn merged(&self) -> Result<Vec<DirectoryEntry>> {
        let mut entries = match &self.lower {
            Some(lower) => read_all(&self.layer, lower).await?,
            None => Vec::new(),
        };
        let own_number = self.attributes().await?.inode;
        let added: Vec<_> = {
            let changes = self.changes.lock();
            entries.retain(|entry| changes.get(&entry.name).is_none() && !is_own(&entry.name));
            let parent = changes.parent.unwrap_or(own_number);
            let own = [(&b"."[..], own_number), (b"..", parent)].map(|(name, inode)| {
                let kind = FileKind::Directory;
                DirectoryEntry { inode, kind, name: name.to_vec(), next: 0 }
            });
            entries.splice(0..0, own);
            changes.present().map(|(name, inode)| (name.clone(), inode.clone())).collect()
        };
        for (name, inode) in added {
            let number = inode.attributes().await?.inode;
            let (kind, name) = (inode.kind(), name.to_vec());
            entries.push(DirectoryEntry { inode: number, kind, name, next: 0 });
        }
        (1..).zip(&mut entries).for_each(|(next, entry)| entry.next = next);
        Ok(entries)
    }
}

fn is_own(name: &[u8]) -> bool {
    name == b"." || name == b".."
}

async fn read_all(layer: &super::Layer, directory: &Arc<dyn Inode>) -> Result<Vec<DirectoryEntry>> {
    let kernel = layer.kernel()?;
    let caller = layer.caller(&kernel);
    let file = directory.clone().open(caller, OpenFlags::DIRECTORY).await?;
    let mut entries: Vec<DirectoryEntry> = Vec::new();
    loop {
        let position = entries.last().map_or(0, |entry| entry.next);
        let mut more = file.read_directory(position).await?;
        if more.is_empty() {
            return Ok(entries);
        }
        entries.append(&mut more);
    }
}

/// An open directory.
pub(super) struct OverlayDirectory {
    inode: Arc<OverlayInode>,
    lower: Option<Arc<dyn File>>,
    /// The merged entries as of the last reading from the start; `None` if the lower directory is
    /// read as it is.
    snapshot: SpinMutex<Option<Arc<Vec<DirectoryEntry>>>>,
}

impl OverlayDirectory {
    /// Opens `inode`, a directory.
    pub async fn open(inode: Arc<OverlayInode>, caller: Caller<'_>) -> Result<Arc<Self>> {
        let lower = match &inode.lower {
            Some(lower) => Some(lower.clone().open(caller, OpenFlags::DIRECTORY).await?),
            None => None,
        };
        Ok(Arc::new(Self { inode, lower, snapshot: SpinMutex::new(None) }))
    }

    /// Decides what a reading from the start shows.
    async fn rewind(&self) -> Result<()> {
        let unchanged = self.lower.is_some() && self.inode.changes.lock().is_empty();
        let entries = if unchanged { None } else { Some(Arc::new(self.inode.merged().await?)) };
        *self.snapshot.lock() = entries;
        Ok(())
    }
}

#[async_trait]
impl File for OverlayDirectory {
    fn try_read(&self, _offset: u64, _destination: &mut dyn Destination) -> TryResult<usize> {
        Err(Errno::EISDIR.into())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    async fn read_directory(&self, position: u64) -> Result<Vec<DirectoryEntry>> {
        if position == 0 {
            self.rewind().await?;
        }
        let snapshot = self.snapshot.lock().clone();
        match (snapshot, &self.lower) {
            (Some(entries), _) => {
                let start = usize::try_from(position).unwrap_or(usize::MAX);
                Ok(entries.iter().skip(start).take(BATCH).cloned().collect())
            }
            (None, Some(lower)) => lower.read_directory(position).await,
            (None, None) => Ok(Vec::new()),
        }
    }

    async fn sync(&self, _data_only: bool) -> Result<()> {
        Ok(())
    }
}
