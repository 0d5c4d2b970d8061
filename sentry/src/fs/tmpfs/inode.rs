//! Inodes of tmpfs.
//!
//! Lock order: a directory's entries, then metadata or extended attributes of any inode.

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};
use core::{
    any::Any,
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use super::{
    Store,
    directory::{Directory, DirectoryFile},
    regular::{Contents, RegularFile},
};
use crate::{
    errno::{Errno, Result},
    memory::PAGE_SIZE,
    mm::PageCache,
    vfs::{
        AttributeChange, Attributes, Caller, DeviceNumber, File, FileKind, Inode, NewInode,
        NewNode, OpenFlags, RenameMode, Timestamp, XattrMode,
    },
};

/// A file, directory or other node in memory.
pub struct TmpfsInode {
    pub(super) store: Arc<Store>,
    number: u64,
    kind: FileKind,
    device_node: DeviceNumber,
    created: Timestamp,
    metadata: SpinMutex<Metadata>,
    xattrs: SpinMutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(super) body: Body,
}

/// What differs by kind.
pub(super) enum Body {
    Regular(Contents),
    Directory(Directory),
    SymbolicLink(Vec<u8>),
    /// Device nodes, FIFOs and sockets: a name for something elsewhere.
    Special,
}

/// What changes during an inode's life.
struct Metadata {
    permissions: u16,
    uid: u32,
    gid: u32,
    links: u32,
    accessed: Timestamp,
    modified: Timestamp,
    changed: Timestamp,
}

/// Largest target of a symbolic link in bytes (PATH_MAX with its NUL).
const MAX_TARGET: usize = 4095;

/// Bytes of all extended attributes of one inode.
const MAX_XATTR_BYTES: usize = 128 * 1024;

impl TmpfsInode {
    /// An inode without a name and with no link; a directory has one, of itself.
    pub fn new(store: &Arc<Store>, new: NewInode) -> Arc<Self> {
        let device_node = match &new.node {
            NewNode::CharacterDevice(device) | NewNode::BlockDevice(device) => *device,
            _ => DeviceNumber::default(),
        };
        let (kind, body) = match new.node {
            NewNode::Regular => (FileKind::Regular, Body::Regular(Contents::new(store))),
            NewNode::Directory => (FileKind::Directory, Body::Directory(Directory::default())),
            NewNode::SymbolicLink(target) => (FileKind::SymbolicLink, Body::SymbolicLink(target)),
            NewNode::Fifo => (FileKind::Fifo, Body::Special),
            NewNode::Socket => (FileKind::Socket, Body::Special),
            NewNode::CharacterDevice(_) => (FileKind::CharacterDevice, Body::Special),
            NewNode::BlockDevice(_) => (FileKind::BlockDevice, Body::Special),
        };
        let identity = (new.permissions, new.uid, new.gid);
        Self::with_body(store, kind, device_node, body, identity)
    }

    /// A regular file, without a name, whose contents are `cache`; the backing of that supplies
    /// the first `backed` bytes, which truncation lowers.
    pub fn of_cache(
        store: &Arc<Store>,
        cache: Arc<PageCache>,
        backed: Arc<AtomicU64>,
        permissions: u16,
        uid: u32,
        gid: u32,
    ) -> Arc<Self> {
        let body = Body::Regular(Contents::of_cache(cache, backed));
        let identity = (permissions, uid, gid);
        Self::with_body(store, FileKind::Regular, DeviceNumber::default(), body, identity)
    }

    fn with_body(
        store: &Arc<Store>,
        kind: FileKind,
        device_node: DeviceNumber,
        body: Body,
        (permissions, uid, gid): (u16, u32, u32),
    ) -> Arc<Self> {
        let now = store.now();
        let links = u32::from(kind == FileKind::Directory);
        let metadata =
            Metadata { permissions, uid, gid, links, accessed: now, modified: now, changed: now };
        Arc::new(Self {
            number: store.add_inode(),
            store: store.clone(),
            kind,
            device_node,
            created: now,
            metadata: SpinMutex::new(metadata),
            xattrs: SpinMutex::default(),
            body,
        })
    }

    /// Its number.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Its attributes now.
    pub fn attributes_now(&self) -> Attributes {
        let (size, pages) = match &self.body {
            Body::Regular(contents) => (contents.cache().size(), contents.occupied_pages()),
            Body::Directory(directory) => (directory.size(), 0),
            Body::SymbolicLink(target) => (target.len() as u64, 0),
            Body::Special => (0, 0),
        };
        let metadata = self.metadata.lock();
        Attributes {
            device: self.store.device,
            inode: self.number,
            kind: self.kind,
            permissions: metadata.permissions,
            links: metadata.links,
            uid: metadata.uid,
            gid: metadata.gid,
            device_node: self.device_node,
            size,
            block_size: PAGE_SIZE as u32,
            blocks: pages * (PAGE_SIZE as u64 / 512),
            accessed: metadata.accessed,
            modified: metadata.modified,
            changed: metadata.changed,
            created: Some(self.created),
        }
    }

    /// The contents of a regular file.
    ///
    /// # Errors
    /// EINVAL if it is none.
    pub fn page_cache(&self) -> Result<&Arc<PageCache>> {
        self.contents().map(Contents::cache)
    }

    pub(super) const fn contents(&self) -> Result<&Contents> {
        match &self.body {
            Body::Regular(contents) => Ok(contents),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) const fn directory(&self) -> Result<&Directory> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Makes a root directory its own parent.
    pub(super) fn be_own_parent(&self) {
        if let Body::Directory(directory) = &self.body {
            directory.set_parent(self.number);
            self.change_links(1);
        }
    }

    /// Adds to the number of links; the time of change is now.
    pub fn change_links(&self, difference: i32) {
        let mut metadata = self.metadata.lock();
        metadata.links = metadata.links.saturating_add_signed(difference);
        metadata.changed = self.store.now();
    }

    /// The contents, or the entries, have changed.
    pub fn touch(&self) {
        let now = self.store.now();
        let mut metadata = self.metadata.lock();
        metadata.modified = now;
        metadata.changed = now;
    }

    /// Makes times and links those of `original`, which it replaces (copy-up).
    pub fn copy_times(&self, original: &Attributes) {
        let mut metadata = self.metadata.lock();
        metadata.accessed = original.accessed;
        metadata.modified = original.modified;
        metadata.changed = original.changed;
        metadata.links = original.links;
    }

    /// Changes attributes; see [`Inode::set_attributes`].
    ///
    /// # Errors
    /// EINVAL for a size of what has none; EPERM if a seal forbids it.
    pub fn change(&self, change: AttributeChange) -> Result<Attributes> {
        if let Some(size) = change.size {
            self.contents()?.set_size(&self.store, size)?;
        }
        let now = self.store.now();
        let mut metadata = self.metadata.lock();
        metadata.permissions = change.permissions.unwrap_or(metadata.permissions);
        metadata.uid = change.uid.unwrap_or(metadata.uid);
        metadata.gid = change.gid.unwrap_or(metadata.gid);
        metadata.accessed = change.accessed.unwrap_or(metadata.accessed);
        metadata.modified = change.modified.unwrap_or(metadata.modified);
        metadata.changed = now;
        drop(metadata);
        Ok(self.attributes_now())
    }

    /// Sets an extended attribute; see [`Inode::set_xattr`].
    ///
    /// # Errors
    /// EEXIST, ENODATA, ENOSPC.
    pub fn put_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        let mut xattrs = self.xattrs.lock();
        match (mode, xattrs.contains_key(name)) {
            (XattrMode::Create, true) => return Err(Errno::EEXIST),
            (XattrMode::Replace, false) => return Err(Errno::ENODATA),
            _ => {}
        }
        let others = xattrs.iter().filter(|(key, _)| key.as_slice() != name);
        let used: usize = others.map(|(key, value)| key.len() + value.len()).sum();
        if used + name.len() + value.len() > MAX_XATTR_BYTES {
            return Err(Errno::ENOSPC);
        }
        xattrs.insert(name.to_vec(), value.to_vec());
        drop(xattrs);
        self.metadata.lock().changed = self.store.now();
        Ok(())
    }

    /// Removes everything below a directory, without recursion: nesting is the user's choice.
    pub(super) fn clear(&self) {
        let mut pending: Vec<Arc<Self>> = match &self.body {
            Body::Directory(directory) => directory.take_all(),
            _ => return,
        };
        while let Some(inode) = pending.pop() {
            if let Body::Directory(directory) = &inode.body {
                pending.append(&mut directory.take_all());
            }
        }
    }
}

impl Drop for TmpfsInode {
    fn drop(&mut self) {
        self.clear();
        if let Body::Regular(contents) = &self.body {
            contents.uncount(&self.store);
        }
        self.store.remove_inode();
    }
}

/// The tmpfs inode behind `inode`.
///
/// # Errors
/// EXDEV if it is of another file system.
pub(super) fn downcast(inode: &Arc<dyn Inode>) -> Result<Arc<TmpfsInode>> {
    let any: Arc<dyn Any + Send + Sync> = inode.clone();
    any.downcast().map_err(|_| Errno::EXDEV)
}

#[async_trait]
impl Inode for TmpfsInode {
    fn cached_attributes(&self) -> Option<Attributes> {
        Some(self.attributes_now())
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    async fn set_attributes(&self, change: AttributeChange) -> Result<Attributes> {
        self.change(change)
    }

    async fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        Ok(self.directory()?.find(name)?)
    }

    async fn create(&self, name: &[u8], new: NewInode) -> Result<Arc<dyn Inode>> {
        if matches!(&new.node, NewNode::SymbolicLink(target) if target.len() > MAX_TARGET) {
            return Err(Errno::ENAMETOOLONG);
        }
        self.store.check_inode_limit()?;
        let child = Self::new(&self.store, new);
        self.add_entry(name, &child)?;
        Ok(child)
    }

    async fn create_unnamed(&self, new: NewInode) -> Result<Arc<dyn Inode>> {
        self.store.check_inode_limit()?;
        Ok(Self::new(&self.store, new))
    }

    async fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.add_entry(name, &downcast(target)?)
    }

    async fn unlink(&self, name: &[u8], _target: &Arc<dyn Inode>) -> Result<()> {
        let removed = self.directory()?.remove(name)?;
        removed.change_links(-1);
        self.touch();
        Ok(())
    }

    async fn remove_directory(&self, name: &[u8], _target: &Arc<dyn Inode>) -> Result<()> {
        let directory = self.directory()?;
        directory.find(name)?.directory()?.close()?;
        let removed = directory.remove(name)?;
        removed.change_links(-2);
        self.change_links(-1);
        self.touch();
        Ok(())
    }

    async fn rename(
        &self,
        name: &[u8],
        new_directory: &Arc<dyn Inode>,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        self.rename_entry(name, &*downcast(new_directory)?, new_name, mode)
    }

    async fn read_link(&self, _caller: Caller<'_>) -> Result<Vec<u8>> {
        match &self.body {
            Body::SymbolicLink(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    async fn open(
        self: Arc<Self>,
        _caller: Caller<'_>,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn File>> {
        match &self.body {
            Body::Regular(_) => Ok(Arc::new(RegularFile::new(self))),
            Body::Directory(_) => Ok(Arc::new(DirectoryFile::new(self))),
            Body::SymbolicLink(_) => Err(Errno::ELOOP),
            Body::Special => Err(Errno::ENXIO),
        }
    }

    async fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.xattrs.lock().get(name).cloned().ok_or(Errno::ENODATA)
    }

    async fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        self.put_xattr(name, value, mode)
    }

    async fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        Ok(self.xattrs.lock().keys().cloned().collect())
    }

    async fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        self.xattrs.lock().remove(name).map(|_| ()).ok_or(Errno::ENODATA)
    }
}

/// Numbers the entries of all directories, so that a position in one stays valid when others come
/// and go.
pub(super) static NEXT_POSITION: AtomicU64 = AtomicU64::new(2);

pub(super) fn next_position() -> u64 {
    NEXT_POSITION.fetch_add(1, Ordering::Relaxed)
}
