//! Places in the tree of mounts.

use alloc::{sync::Arc, vec::Vec};

use super::{Dentry, Inode, Mount};

/// A place: a dentry as seen through a mount.
#[derive(Clone)]
pub struct Path {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The name below its root.
    pub dentry: Arc<Dentry>,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.dentry, &other.dentry) && Arc::ptr_eq(&self.mount, &other.mount)
    }
}

impl Path {
    /// The inode there.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.dentry.inode
    }

    /// The root of what is mounted on top here, or this place itself.
    pub fn topmost(&self) -> Self {
        let mut path = self.clone();
        while path.dentry.is_mount_point()
            && let Some(mount) = path.mount.child_at(&path.dentry)
        {
            path = mount.root_path();
        }
        path
    }

    /// The directory that holds it, crossing to the mount below at the root of a mount; `None` at
    /// the root of all.
    pub fn parent(&self) -> Option<Self> {
        let mut at = self.clone();
        while Arc::ptr_eq(&at.dentry, &at.mount.root) {
            at = at.mount.place()?;
        }
        let dentry = at.dentry.parent()?;
        Some(Self { mount: at.mount, dentry })
    }

    /// Its absolute name as seen from `root` (getcwd(2), /proc/PID/fd); `None` if it is not below
    /// `root`. A removed one ends in ` (deleted)` if `mark_removed`.
    pub fn name_from(&self, root: &Self, mark_removed: bool) -> Option<Vec<u8>> {
        let mut components = Vec::new();
        let mut at = self.clone();
        while at != *root {
            components.push(at.name_below_mounts());
            at = at.parent()?;
        }
        let mut name = Vec::new();
        for component in components.iter().rev() {
            name.push(b'/');
            name.extend_from_slice(component);
        }
        if name.is_empty() {
            name.push(b'/');
        }
        if mark_removed && self.dentry.is_removed() {
            name.extend_from_slice(b" (deleted)");
        }
        Some(name)
    }

    /// Its absolute name as seen from the root of its mounts, wherever that is.
    pub fn name_in_namespace(&self) -> Vec<u8> {
        self.name_from(&self.root_of_tree(), false).unwrap_or_default()
    }

    /// The root of the mounts it is in.
    pub fn root_of_tree(&self) -> Self {
        let mut root = self.clone();
        while let Some(parent) = root.parent() {
            root = parent;
        }
        root
    }

    /// The last component of its name: for the root of a mount that of the mount point.
    fn name_below_mounts(&self) -> super::Name {
        let mut at = self.clone();
        while Arc::ptr_eq(&at.dentry, &at.mount.root)
            && let Some(place) = at.mount.place()
        {
            at = place;
        }
        at.dentry.name()
    }
}
