//! The virtual file system: names, mounts, permissions, and what file systems implement.

mod anonymous;
mod attributes;
mod blocking;
pub mod boot;
mod caller;
mod dentry;
mod dentry_cache;
mod fd_table;
mod file;
mod fs_context;
mod inode;
mod locks;
mod mount;
pub mod operations;
mod path;
pub mod permission;
mod sleep_mutex;
mod state;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod walk;

pub use anonymous::{Anonymous, place_of_open_file};
pub use attributes::{AttributeChange, Attributes, DeviceNumber, FileKind, InodeKey, Timestamp};
pub use blocking::Blocking;
pub use caller::Caller;
pub use dentry::{Cached, Dentry, Name, StaleAnswer};
pub use dentry_cache::{DEFAULT_LIMIT, DentryCache};
pub use fd_table::{FdTable, MAX_DESCRIPTORS};
pub use file::{
    DirectoryEntry, File, OpenFile, OpenFlags, WritePosition, Written, without_waiting,
};
pub use fs_context::FsContext;
pub use inode::{Caching, FileSystem, Inode, NewInode, NewNode, RenameMode, Statistics, XattrMode};
pub use locks::{LockOwner, Locks, RangeLock};
pub use mount::{Mount, MountFlags, Namespace};
pub use path::Path;
pub use permission::AccessMode;
pub use sleep_mutex::{SleepGuard, SleepMutex};
pub use state::Vfs;
pub use walk::{
    Last, NAME_MAX, PATH_MAX, WalkContext, WalkFlags, lookup_child, try_walk, walk, walk_parent,
};
