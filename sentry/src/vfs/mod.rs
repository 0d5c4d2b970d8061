//! The virtual file system: names, mounts, permissions, and what file systems implement.

mod attributes;
mod caller;
mod file;
mod inode;
mod path;

pub use attributes::{AttributeChange, Attributes, DeviceNumber, FileKind, InodeKey, Timestamp};
pub use caller::Caller;
pub use file::{
    DirectoryEntry, File, OpenFile, OpenFlags, WritePosition, Written, without_waiting,
};
pub use inode::{Caching, FileSystem, Inode, NewInode, NewNode, RenameMode, Statistics, XattrMode};
pub use path::{Dentry, Mount, Path};
