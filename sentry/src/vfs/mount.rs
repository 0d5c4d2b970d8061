//! Mounts: file systems at their places, and the trees of them that processes see.
//!
//! A mount knows what is mounted on its own dentries, so crossing into one costs a look-up only
//! where a dentry is a mount point. Lock order: `children` of a mount, then `place`.

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

use bitflags::bitflags;
use spin::{RwLock, mutex::SpinMutex};

use super::{Dentry, DentryCache, FileSystem, Path};
use crate::errno::{Errno, Result};

bitflags! {
    /// Restrictions of a mount, with the numbers of mount(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountFlags: u64 {
        /// Nothing on it may be changed (MS_RDONLY).
        const READ_ONLY = 1;
        /// Set-id bits have no effect (MS_NOSUID).
        const NO_SET_ID = 2;
        /// Device nodes cannot be opened (MS_NODEV).
        const NO_DEVICES = 4;
        /// Nothing on it can be executed (MS_NOEXEC).
        const NO_EXECUTE = 8;
        /// Symbolic links on it are not followed (MS_NOSYMFOLLOW).
        const NO_LINKS = 256;
        /// Access times stay (MS_NOATIME).
        const NO_ACCESS_TIME = 1024;
        /// Access times of directories stay (MS_NODIRATIME).
        const NO_DIRECTORY_ACCESS_TIME = 2048;
        /// Access times change when older than the modification (MS_RELATIME).
        const RELATIVE_ACCESS_TIME = 1 << 21;
    }
}

/// A file system, or a part of one, at its place.
pub struct Mount {
    /// Number shown by mountinfo and statx(2).
    pub id: u64,
    /// What is mounted.
    pub file_system: Arc<dyn FileSystem>,
    /// What its root shows; below the root of the file system for a bind mount.
    pub root: Arc<Dentry>,
    /// What /proc/mounts calls the source.
    pub source: String,
    flags: AtomicU64,
    place: SpinMutex<Option<Path>>,
    children: RwLock<BTreeMap<usize, Arc<Mount>>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A map key for a dentry that is kept alive elsewhere.
fn key(dentry: &Arc<Dentry>) -> usize {
    Arc::as_ptr(dentry).addr()
}

impl Mount {
    /// `file_system`, not yet mounted anywhere.
    pub fn new(
        file_system: Arc<dyn FileSystem>,
        cache: &Arc<DentryCache>,
        source: &str,
        flags: MountFlags,
    ) -> Arc<Self> {
        let root = Dentry::new_root(file_system.root(), cache.clone());
        Self::of_dentry(file_system, root, source, flags)
    }

    /// Another view of what `path` shows (mount(2) MS_BIND), not yet mounted anywhere.
    pub fn bind(path: &Path) -> Arc<Self> {
        let mount = &path.mount;
        Self::of_dentry(
            mount.file_system.clone(),
            path.dentry.clone(),
            &mount.source,
            mount.flags(),
        )
    }

    fn of_dentry(
        file_system: Arc<dyn FileSystem>,
        root: Arc<Dentry>,
        source: &str,
        flags: MountFlags,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            file_system,
            root,
            source: String::from(source),
            flags: AtomicU64::new(flags.bits()),
            place: SpinMutex::new(None),
            children: RwLock::new(BTreeMap::new()),
        })
    }

    /// Its restrictions.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Changes its restrictions (mount(2) MS_REMOUNT).
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Fails with EROFS if nothing on it may be changed.
    ///
    /// # Errors
    /// EROFS.
    pub fn check_writable(&self) -> Result<()> {
        if self.flags().contains(MountFlags::READ_ONLY) {
            return Err(Errno::EROFS);
        }
        Ok(())
    }

    /// Where it is mounted; `None` for the root of a namespace and after umount(2).
    pub fn place(&self) -> Option<Path> {
        self.place.lock().clone()
    }

    /// Its root as a path.
    pub fn root_path(self: &Arc<Self>) -> Path {
        Path { mount: self.clone(), dentry: self.root.clone() }
    }

    /// What is mounted on `dentry` of this mount.
    pub fn child_at(&self, dentry: &Arc<Dentry>) -> Option<Arc<Self>> {
        self.children.read().get(&key(dentry)).cloned()
    }

    /// The mounts on dentries of this mount, in no order.
    pub fn children(&self) -> Vec<Arc<Self>> {
        self.children.read().values().cloned().collect()
    }

    /// Mounts this at `place`, over whatever is mounted there.
    ///
    /// # Errors
    /// EBUSY if it already has a place, or if another mount has just come there.
    pub fn attach(self: &Arc<Self>, place: &Path) -> Result<()> {
        let place = place.topmost();
        let mut children = place.mount.children.write();
        if self.place.lock().is_some() || children.contains_key(&key(&place.dentry)) {
            return Err(Errno::EBUSY);
        }
        children.insert(key(&place.dentry), self.clone());
        place.dentry.add_mount();
        *self.place.lock() = Some(place.clone());
        Ok(())
    }

    /// Takes this away from its place, and what is mounted below it from theirs.
    ///
    /// # Errors
    /// EINVAL if it has no place.
    pub fn detach(self: &Arc<Self>) -> Result<()> {
        let mut pending = self.children();
        if !self.leave() {
            return Err(Errno::EINVAL);
        }
        while let Some(mount) = pending.pop() {
            pending.append(&mut mount.children());
            mount.leave();
        }
        Ok(())
    }

    /// Gives up its place; false if it has none.
    fn leave(&self) -> bool {
        let Some(place) = self.place.lock().take() else { return false };
        place.mount.children.write().remove(&key(&place.dentry));
        place.dentry.remove_mount();
        true
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // With the last mount of a file system go its dentries, which refer to each other.
        if Arc::strong_count(&self.file_system) == 1 {
            let mut top = self.root.clone();
            while let Some(parent) = top.parent() {
                top = parent;
            }
            top.forget_descendants();
        }
    }
}

/// A tree of mounts (mount_namespaces(7)).
pub struct Namespace {
    root: Arc<Mount>,
}

impl Namespace {
    /// The namespace whose root is `root`.
    pub fn new(root: Arc<Mount>) -> Arc<Self> {
        Arc::new(Self { root })
    }

    /// Its root mount.
    pub fn root(&self) -> &Arc<Mount> {
        &self.root
    }

    /// All mounts, each before those mounted on it.
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        let mut found = Vec::new();
        let mut pending = alloc::vec![self.root.clone()];
        while let Some(mount) = pending.pop() {
            let mut children = mount.children();
            children.sort_unstable_by_key(|child| core::cmp::Reverse(child.id));
            pending.append(&mut children);
            found.push(mount);
        }
        found
    }
}
