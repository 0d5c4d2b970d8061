//! What a file system implements for each file: the inode.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::any::Any;

use async_trait::async_trait;

use super::{
    Caller,
    attributes::{AttributeChange, Attributes, DeviceNumber, FileKind},
    file::{File, OpenFlags},
};
use crate::errno::{Errno, Result};

/// A file system instance.
#[async_trait]
pub trait FileSystem: Send + Sync {
    /// Its type, as /proc/mounts shows it.
    fn name(&self) -> &'static str;

    /// Its root.
    fn root(&self) -> Arc<dyn Inode>;

    /// statfs(2).
    ///
    /// # Errors
    /// As statfs(2).
    async fn statistics(&self) -> Result<Statistics>;

    /// Writes everything dirty to where it is kept.
    ///
    /// # Errors
    /// EIO, ENOSPC.
    async fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// Answer to statfs(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Magic number of the type (`<linux/magic.h>`).
    pub magic: u64,
    /// Block size in bytes.
    pub block_size: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks for unprivileged users.
    pub blocks_available: u64,
    /// Number of inodes.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

/// Identity of a new inode.
#[derive(Clone, Debug)]
pub struct NewInode {
    /// What to make.
    pub node: NewNode,
    /// Permission bits, with the umask applied.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What to make.
#[derive(Clone, Debug)]
pub enum NewNode {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    SymbolicLink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
    /// A character device node.
    CharacterDevice(DeviceNumber),
    /// A block device node.
    BlockDevice(DeviceNumber),
}

/// How a rename treats an existing target (renameat2(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// Replaces it.
    Replace,
    /// Fails with EEXIST (RENAME_NOREPLACE).
    NoReplace,
    /// Swaps the two (RENAME_EXCHANGE).
    Exchange,
}

/// How setxattr(2) treats an existing attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// Creates or replaces.
    Any,
    /// Fails with EEXIST (XATTR_CREATE).
    Create,
    /// Fails with ENODATA (XATTR_REPLACE).
    Replace,
}

/// How long what a directory says of a name stays true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Until the sandbox itself changes it: dentries, also negative ones, may be kept.
    Stable,
    /// As `Stable`, but others change it now and then: the directory is looked at again from time to
    /// time ([`Inode::names_are_current`]).
    Checked,
    /// Others change it too: each walk asks again, but the same inode object may be found.
    Revalidate,
    /// Entries come and go by themselves (proc): nothing is kept.
    Volatile,
}

/// One file, directory or other node of a file system.
///
/// Permission checks, mount flags and name rules are the VFS's; an inode does what it is asked.
/// Names are single components: not empty, no `/`, not `.` or `..`, at most 255 bytes.
#[async_trait]
pub trait Inode: Any + Send + Sync {
    /// The attributes, if they are at hand.
    fn cached_attributes(&self) -> Option<Attributes>;

    /// The attributes.
    ///
    /// # Errors
    /// EIO; ESTALE if the file is gone from a remote server.
    async fn attributes(&self) -> Result<Attributes> {
        self.cached_attributes().ok_or(Errno::EIO)
    }

    /// Its type; never changes.
    fn kind(&self) -> FileKind;

    /// Changes attributes and returns the new ones.
    ///
    /// # Errors
    /// EROFS, EIO, ENOSPC, EPERM where it keeps no attributes.
    async fn set_attributes(&self, _change: AttributeChange) -> Result<Attributes> {
        Err(Errno::EPERM)
    }

    /// How long lookups in this directory stay true.
    fn caching(&self) -> Caching {
        Caching::Stable
    }

    /// Whether names of this directory may be used as they are known; else [`Self::attributes`]
    /// looks for changes. For [`Caching::Checked`].
    fn names_are_current(&self) -> bool {
        true
    }

    /// How often names in this directory were found changed by others. For [`Caching::Checked`].
    fn foreign_changes(&self) -> u64 {
        0
    }

    /// The inode called `name` in this directory.
    ///
    /// # Errors
    /// ENOENT; ENOTDIR if this is no directory.
    async fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOTDIR)
    }

    /// Makes a new inode called `name`.
    ///
    /// # Errors
    /// EEXIST, ENOSPC, EROFS, ENOTDIR, EPERM where the file system makes no such node.
    async fn create(&self, _name: &[u8], _new: NewInode) -> Result<Arc<dyn Inode>> {
        Err(Errno::EPERM)
    }

    /// Makes a regular file without a name in this directory's file system (O_TMPFILE).
    ///
    /// # Errors
    /// ENOSPC, EROFS, EOPNOTSUPP where there is no such thing.
    async fn create_unnamed(&self, _new: NewInode) -> Result<Arc<dyn Inode>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes `name` another link to `target`, an inode of the same file system.
    ///
    /// # Errors
    /// EEXIST, EMLINK, ENOSPC, EROFS, EPERM where there are no links.
    async fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Removes the link `name` to `target`, which is no directory.
    ///
    /// # Errors
    /// ENOENT, EROFS, EPERM.
    async fn unlink(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Removes the empty directory `name`.
    ///
    /// # Errors
    /// ENOENT, ENOTEMPTY, EROFS, EPERM.
    async fn remove_directory(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Moves `name` to `new_name` in `new_directory`, an inode of the same file system.
    ///
    /// # Errors
    /// ENOENT, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, EROFS, EINVAL for an unsupported mode.
    async fn rename(
        &self,
        _name: &[u8],
        _new_directory: &Arc<dyn Inode>,
        _new_name: &[u8],
        _mode: RenameMode,
    ) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// EINVAL if this is none.
    async fn read_link(&self, _caller: Caller<'_>) -> Result<Vec<u8>> {
        Err(Errno::EINVAL)
    }

    /// Where a magic link (/proc/PID/fd/N, /proc/PID/exe) leads without reading its name.
    ///
    /// # Errors
    /// ENOENT, EACCES.
    async fn follow_magic_link(&self, _caller: Caller<'_>) -> Result<Option<super::Path>> {
        Ok(None)
    }

    /// Opens it.
    ///
    /// # Errors
    /// ENXIO, EROFS, EIO, ENOMEM, as open(2).
    async fn open(self: Arc<Self>, caller: Caller<'_>, flags: OpenFlags) -> Result<Arc<dyn File>>;

    /// Value of an extended attribute.
    ///
    /// # Errors
    /// ENODATA, EOPNOTSUPP.
    async fn xattr(&self, _name: &[u8]) -> Result<Vec<u8>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// EEXIST, ENODATA, ENOSPC, EROFS, EOPNOTSUPP.
    async fn set_xattr(&self, _name: &[u8], _value: &[u8], _mode: XattrMode) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Names of the extended attributes.
    ///
    /// # Errors
    /// EOPNOTSUPP.
    async fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// ENODATA, EROFS, EOPNOTSUPP.
    async fn remove_xattr(&self, _name: &[u8]) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
}
