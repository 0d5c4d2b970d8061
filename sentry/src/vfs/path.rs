//! Places in the tree of mounts.

use alloc::sync::Arc;

use super::{FileSystem, Inode};

/// A name in the cache of names: one per known path of a file system.
pub struct Dentry {
    /// What it names.
    pub inode: Arc<dyn Inode>,
}

/// A file system at its place.
pub struct Mount {
    /// What is mounted.
    pub file_system: Arc<dyn FileSystem>,
}

/// A place: a dentry as seen through a mount.
#[derive(Clone)]
pub struct Path {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The name below its root.
    pub dentry: Arc<Dentry>,
}
