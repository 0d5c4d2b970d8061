//! Open files that no name leads to: pipes, sockets, epoll and the like.

use alloc::{boxed::Box, format, string::String, sync::Arc};
use core::any::Any;

use async_trait::async_trait;

use super::{
    Attributes, Caching, Caller, Dentry, DeviceNumber, File, FileKind, Inode, Mount, OpenFile,
    OpenFlags, Path, Timestamp,
};
use crate::{errno::Result, kernel::Kernel};

/// What fstat(2) and /proc/PID/fd tell of such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anonymous {
    /// Its type.
    pub kind: FileKind,
    /// A number, the same for all descriptions of one object.
    pub inode: u64,
    /// What it is called, such as `eventpoll`.
    pub label: &'static str,
    /// Permission bits.
    pub permissions: u16,
    /// User and group that own it.
    pub owner: (u32, u32),
}

impl Anonymous {
    /// A file of no type of its own, called `label`.
    pub const fn inode(label: &'static str) -> Self {
        let (permissions, owner) = (0o600, (0, 0));
        Self { kind: FileKind::Regular, inode: 1, label, permissions, owner }
    }

    /// A pipe of `owner` that those may open whom `permissions` let.
    pub const fn pipe(inode: u64, permissions: u16, owner: (u32, u32)) -> Self {
        Self { kind: FileKind::Fifo, inode, label: "pipe", permissions, owner }
    }

    /// A socket.
    pub const fn socket(inode: u64) -> Self {
        let (permissions, owner) = (0o777, (0, 0));
        Self { kind: FileKind::Socket, inode, label: "socket", permissions, owner }
    }

    /// Its attributes.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            device: DeviceNumber { major: 0, minor: 0 },
            inode: self.inode,
            kind: self.kind,
            permissions: self.permissions,
            links: 1,
            uid: self.owner.0,
            gid: self.owner.1,
            device_node: DeviceNumber::default(),
            size: 0,
            block_size: 4096,
            blocks: 0,
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
            created: None,
        }
    }

    /// What the link in /proc/PID/fd reads as (proc_pid_fd(5)).
    pub fn link(&self) -> String {
        match self.kind {
            FileKind::Fifo => format!("pipe:[{}]", self.inode),
            FileKind::Socket => format!("socket:[{}]", self.inode),
            // The one kind whose name Linux writes without brackets.
            _ if self.label == "inotify" => "anon_inode:inotify".into(),
            _ => format!("anon_inode:[{}]", self.label),
        }
    }
}

/// The inode of such a file, for names that lead to it after all: /proc/PID/fd/N, /dev/stdout.
struct AnonymousInode {
    file: Arc<dyn File>,
}

/// Where a magic link to `open` leads: the place it was opened at, or one outside all names.
pub fn place_of_open_file(kernel: &Kernel, open: &Arc<OpenFile>) -> Path {
    if let Some(path) = &open.path {
        return path.clone();
    }
    let mount: Arc<Mount> = kernel.vfs.memory_files(kernel).1;
    let name = open.file.anonymous().link();
    let inode = Arc::new(AnonymousInode { file: open.file.clone() });
    let dentry = Dentry::unnamed(&mount.root, name.as_bytes(), inode);
    Path { mount, dentry }
}

/// Whether `path` is the place of a file that no name leads to, so that what is opened there has
/// no name either.
pub(super) fn is_anonymous(path: &Path) -> bool {
    let inode: &dyn Any = &**path.inode();
    inode.is::<AnonymousInode>()
}

#[async_trait]
impl Inode for AnonymousInode {
    fn cached_attributes(&self) -> Option<Attributes> {
        Some(self.file.anonymous().attributes())
    }

    fn kind(&self) -> FileKind {
        self.file.anonymous().kind
    }

    fn caching(&self) -> Caching {
        Caching::Volatile
    }

    async fn open(self: Arc<Self>, _caller: Caller<'_>, flags: OpenFlags) -> Result<Arc<dyn File>> {
        self.file.clone().reopen(flags)
    }
}
