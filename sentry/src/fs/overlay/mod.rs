//! The overlay: a file system that can be written, over one that stays as it is.
//!
//! Nothing of the lower file system is ever changed. What the sandbox changes lives in sandbox
//! memory: new and changed files are tmpfs inodes, and each directory keeps a list of the names it
//! has gained and lost, so whiteouts need no device nodes and a moved directory keeps showing its
//! lower contents. A changed lower file is copied lazily: its copy is a page cache whose backing
//! is the lower file, so even a large file is changed at once, and only pages touched cost memory.
//!
//! Names lead to changed inodes by identity: the lower file system must answer the same inode
//! object for the same file for as long as anyone holds it. So hard links stay hard links.

mod changes;
mod copy_up;
mod directory;
mod file;
mod inode;
#[cfg(test)]
mod tests;

use alloc::{boxed::Box, sync::Arc};

use async_trait::async_trait;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use spin::mutex::SpinMutex;

use self::inode::OverlayInode;
use super::tmpfs::{Store, TmpfsInode};
use crate::{
    errno::Result,
    kernel::{Credentials, Kernel},
    vfs::{Caller, FileSystem, Inode, NewInode, Statistics},
};

/// Magic number of statfs(2) (`<linux/magic.h>`).
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;

/// Numbers of inodes that exist only in the overlay start here, far from those of the lower one.
const FIRST_OWN_INODE: u64 = 1 << 48;

/// An overlay instance.
pub struct Overlay {
    layer: Arc<Layer>,
    root: Arc<OverlayInode>,
}

/// What the inodes of an overlay share.
struct Layer {
    kernel: alloc::sync::Weak<Kernel>,
    credentials: Credentials,
    store: Arc<Store>,
    /// Held so that the lower file system outlives its inodes.
    _lower: Arc<dyn FileSystem>,
    known: SpinMutex<HashMap<usize, Known, FxBuildHasher>>,
}

/// The overlay's inode for a lower one.
struct Known {
    inode: alloc::sync::Weak<OverlayInode>,
    /// Kept alive because it was changed.
    kept: Option<Arc<OverlayInode>>,
}

impl Overlay {
    /// An overlay over `lower` that may hold `size` bytes; half of sandbox memory if `None`.
    pub fn new(kernel: &Arc<Kernel>, lower: Arc<dyn FileSystem>, size: Option<u64>) -> Arc<Self> {
        let layer = Arc::new(Layer {
            kernel: Arc::downgrade(kernel),
            credentials: Credentials::kernel(),
            store: Store::new(kernel, size, FIRST_OWN_INODE),
            _lower: lower.clone(),
            known: SpinMutex::default(),
        });
        let root = layer.wrap(lower.root());
        Arc::new(Self { layer, root })
    }
}

#[async_trait]
impl FileSystem for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    async fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics { magic: OVERLAYFS_MAGIC, ..self.layer.store.statistics() })
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // Kept inodes refer to the layer.
        let known = core::mem::take(&mut *self.layer.known.lock());
        drop(known);
    }
}

/// A map key for a lower inode that the overlay's one keeps alive.
fn key(lower: &Arc<dyn Inode>) -> usize {
    Arc::as_ptr(lower).cast::<()>().addr()
}

impl Layer {
    /// The overlay's inode for a lower one.
    fn wrap(self: &Arc<Self>, lower: Arc<dyn Inode>) -> Arc<OverlayInode> {
        let mut known = self.known.lock();
        if let Some(inode) = known.get(&key(&lower)).and_then(|known| known.inode.upgrade()) {
            return inode;
        }
        let key = key(&lower);
        let inode = OverlayInode::of_lower(self.clone(), lower);
        known.insert(key, Known { inode: Arc::downgrade(&inode), kept: None });
        inode
    }

    /// An inode that only the overlay has.
    fn create(self: &Arc<Self>, new: NewInode) -> Arc<OverlayInode> {
        OverlayInode::of_upper(self.clone(), TmpfsInode::new(&self.store, new))
    }

    /// Keeps `inode`, which was changed, for as long as it has a name.
    fn keep(&self, lower: &Arc<dyn Inode>, inode: &Arc<OverlayInode>) {
        if let Some(known) = self.known.lock().get_mut(&key(lower)) {
            known.kept = Some(inode.clone());
        }
    }

    /// Keeps the inode for `lower` no longer: its last name is gone.
    fn release(&self, lower: &Arc<dyn Inode>) {
        let kept = self.known.lock().get_mut(&key(lower)).and_then(|known| known.kept.take());
        drop(kept);
    }

    /// Forgets `inode`, which goes away.
    fn forget(&self, lower: &Arc<dyn Inode>, inode: *const OverlayInode) {
        let mut known = self.known.lock();
        let key = key(lower);
        // Another may have been made for the same lower inode since the last reference went.
        if known.get(&key).is_some_and(|known| core::ptr::eq(known.inode.as_ptr(), inode)) {
            known.remove(&key);
        }
    }

    /// Runs with the sentry's own rights.
    fn caller<'a>(&'a self, kernel: &'a Arc<Kernel>) -> Caller<'a> {
        Caller { kernel, task: None, credentials: &self.credentials }
    }

    fn kernel(&self) -> Result<Arc<Kernel>> {
        self.kernel.upgrade().ok_or(crate::errno::Errno::EIO)
    }
}
