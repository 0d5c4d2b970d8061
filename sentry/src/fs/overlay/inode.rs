//! Inodes of the overlay: a lower one, a tmpfs one in its place once changed, or only the latter.
//!
//! Lock order: `changes` of a directory, then `known` of the layer.

use alloc::{
    boxed::Box,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::{
    any::Any,
    sync::atomic::{AtomicI32, Ordering},
};

use async_trait::async_trait;
use spin::{Once, mutex::SpinMutex};

use super::{Layer, changes::Changes, directory::OverlayDirectory, file::LowerFile};
use crate::{
    errno::{Errno, Result},
    fs::tmpfs::{RegularFile, TmpfsInode},
    vfs::{
        AttributeChange, Attributes, Caching, Caller, File, FileKind, Inode, NewInode, OpenFlags,
        RenameMode, SleepMutex, XattrMode,
    },
};

/// An inode of the overlay.
pub(super) struct OverlayInode {
    pub layer: Arc<Layer>,
    pub itself: Weak<Self>,
    pub lower: Option<Arc<dyn Inode>>,
    pub upper: Once<Upper>,
    pub changes: SpinMutex<Changes>,
    /// Held while the upper inode is made.
    pub copying: SleepMutex,
    /// Links added and removed before the upper inode was made.
    link_difference: AtomicI32,
    kind: FileKind,
}

/// The changeable side of an inode.
pub(super) struct Upper {
    pub node: Arc<TmpfsInode>,
    /// The number shown: that of the lower inode if there is one.
    pub number: u64,
}

impl OverlayInode {
    /// An inode that shows `lower`.
    pub fn of_lower(layer: Arc<Layer>, lower: Arc<dyn Inode>) -> Arc<Self> {
        let kind = lower.kind();
        Self::with(layer, Some(lower), Once::new(), kind)
    }

    /// An inode that only the overlay has.
    pub fn of_upper(layer: Arc<Layer>, node: Arc<TmpfsInode>) -> Arc<Self> {
        let kind = node.kind();
        let number = node.number();
        Self::with(layer, None, Once::initialized(Upper { node, number }), kind)
    }

    fn with(
        layer: Arc<Layer>,
        lower: Option<Arc<dyn Inode>>,
        upper: Once<Upper>,
        kind: FileKind,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            layer,
            itself: itself.clone(),
            lower,
            upper,
            changes: SpinMutex::default(),
            copying: SleepMutex::new(),
            link_difference: AtomicI32::new(0),
            kind,
        })
    }

    /// The tmpfs inode, if it was changed.
    pub fn upper_node(&self) -> Option<&Arc<TmpfsInode>> {
        self.upper.get().map(|upper| &upper.node)
    }

    /// The lower inode of one that was not changed.
    ///
    /// # Errors
    /// EIO if there is neither, which cannot be.
    pub fn lower(&self) -> Result<&Arc<dyn Inode>> {
        self.lower.as_ref().ok_or(Errno::EIO)
    }

    fn upper_attributes(&self, upper: &Upper) -> Attributes {
        let mut attributes = upper.node.attributes_now();
        attributes.inode = upper.number;
        self.adjust(attributes)
    }

    fn lower_attributes(&self, mut attributes: Attributes) -> Attributes {
        let difference = self.link_difference.load(Ordering::Relaxed);
        attributes.links = attributes.links.saturating_add_signed(difference);
        self.adjust(attributes)
    }

    /// Makes attributes those of the overlay. The links of a directory that is merged are not
    /// counted, which 1 tells programs.
    fn adjust(&self, mut attributes: Attributes) -> Attributes {
        attributes.device = self.layer.store.device();
        if self.kind == FileKind::Directory && self.lower.is_some() {
            attributes.links = 1;
        }
        attributes
    }

    /// Links from before the copy-up, which the tmpfs inode is to start with.
    pub fn copied_links(&self, lower: u32) -> u32 {
        lower.saturating_add_signed(self.link_difference.load(Ordering::Relaxed))
    }

    /// Adds to the number of links. One without links is kept no longer.
    pub async fn change_links(&self, difference: i32) -> Result<()> {
        if let Some(node) = self.upper_node() {
            node.change_links(difference);
        } else {
            self.link_difference.fetch_add(difference, Ordering::Relaxed);
        }
        let Some(lower) = &self.lower else { return Ok(()) };
        let attributes = self.attributes().await?;
        if attributes.links == 0 || self.kind == FileKind::Directory {
            self.layer.release(lower);
        } else {
            self.keep();
        }
        Ok(())
    }

    /// Keeps this inode though no dentry may refer to it.
    pub fn keep(&self) {
        if let (Some(lower), Some(itself)) = (&self.lower, self.itself.upgrade()) {
            self.layer.keep(lower, &itself);
        }
    }
}

impl Drop for OverlayInode {
    fn drop(&mut self) {
        if let Some(lower) = &self.lower {
            self.layer.forget(lower, self);
        }
        // Without recursion: nesting is the user's choice.
        let mut pending: Vec<Arc<Self>> = self.changes.get_mut().take_all();
        while let Some(inode) = pending.pop() {
            if let Some(mut inode) = Arc::into_inner(inode) {
                pending.append(&mut inode.changes.get_mut().take_all());
            }
        }
    }
}

/// The overlay inode behind `inode`.
///
/// # Errors
/// EXDEV if it is of another file system.
pub(super) fn downcast(inode: &Arc<dyn Inode>) -> Result<Arc<OverlayInode>> {
    let any: Arc<dyn Any + Send + Sync> = inode.clone();
    any.downcast().map_err(|_| Errno::EXDEV)
}

#[async_trait]
impl Inode for OverlayInode {
    fn cached_attributes(&self) -> Option<Attributes> {
        match self.upper.get() {
            Some(upper) => Some(self.upper_attributes(upper)),
            None => {
                let attributes = self.lower.as_ref()?.cached_attributes()?;
                Some(self.lower_attributes(attributes))
            }
        }
    }

    async fn attributes(&self) -> Result<Attributes> {
        match self.upper.get() {
            Some(upper) => Ok(self.upper_attributes(upper)),
            None => Ok(self.lower_attributes(self.lower()?.attributes().await?)),
        }
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    async fn set_attributes(&self, change: AttributeChange) -> Result<Attributes> {
        let upper = self.copy_up(change.size == Some(0)).await?;
        upper.node.change(change)?;
        Ok(self.upper_attributes(upper))
    }

    fn caching(&self) -> Caching {
        match self.lower.as_ref().map(|lower| lower.caching()) {
            // Below an overlay nobody is to change files.
            None | Some(Caching::Checked) => Caching::Stable,
            Some(caching) => caching,
        }
    }

    async fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        Ok(self.find(name).await?)
    }

    async fn create(&self, name: &[u8], new: NewInode) -> Result<Arc<dyn Inode>> {
        Ok(self.create_child(name, new).await?)
    }

    async fn create_unnamed(&self, new: NewInode) -> Result<Arc<dyn Inode>> {
        Ok(self.layer.create(new))
    }

    async fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.link_child(name, downcast(target)?).await
    }

    async fn unlink(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.unlink_child(name, &*downcast(target)?).await
    }

    async fn remove_directory(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.remove_child_directory(name, &*downcast(target)?).await
    }

    async fn rename(
        &self,
        name: &[u8],
        new_directory: &Arc<dyn Inode>,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        self.rename_child(name, &*downcast(new_directory)?, new_name, mode).await
    }

    async fn read_link(&self, caller: Caller<'_>) -> Result<Vec<u8>> {
        match self.upper_node() {
            Some(node) => node.read_link(caller).await,
            None => self.lower()?.read_link(caller).await,
        }
    }

    async fn open(self: Arc<Self>, caller: Caller<'_>, flags: OpenFlags) -> Result<Arc<dyn File>> {
        match self.kind {
            FileKind::Directory => Ok(OverlayDirectory::open(self, caller).await?),
            FileKind::SymbolicLink => Err(Errno::ELOOP),
            FileKind::Regular if flags.writable() => {
                let upper = self.copy_up(flags.contains(OpenFlags::TRUNCATE)).await?;
                Ok(Arc::new(RegularFile::new(upper.node.clone())))
            }
            FileKind::Regular => match self.upper_node() {
                Some(node) => Ok(Arc::new(RegularFile::new(node.clone()))),
                None => {
                    let lower = self.lower()?.clone().open(caller, flags).await?;
                    Ok(LowerFile::new(self, lower))
                }
            },
            _ => Err(Errno::ENXIO),
        }
    }

    async fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        match self.upper_node() {
            Some(node) => node.xattr(name).await,
            None => self.lower()?.xattr(name).await,
        }
    }

    async fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        self.copy_up(false).await?.node.put_xattr(name, value, mode)
    }

    async fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        match self.upper_node() {
            Some(node) => node.xattr_names().await,
            None => self.lower()?.xattr_names().await,
        }
    }

    async fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        self.xattr(name).await?;
        self.copy_up(false).await?.node.remove_xattr(name).await
    }
}
