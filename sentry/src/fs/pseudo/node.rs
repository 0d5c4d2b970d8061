//! One file, link or directory of a pseudo file system.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::hash::Hasher;

use async_trait::async_trait;
use rustc_hash::FxHasher;

use super::{Content, Entry, Subject, Tree, directory::OpenDirectory, file::GeneratedFile};
use crate::{
    errno::{Errno, Result},
    vfs::{
        AttributeChange, Attributes, Caching, Caller, DeviceNumber, File, FileKind, Inode,
        OpenFlags, Path, Timestamp,
    },
};

/// An entry of a table together with the subject it is about.
pub struct Node<S: 'static> {
    pub(super) tree: Arc<Tree>,
    pub(super) subject: S,
    pub(super) entry: &'static Entry<S>,
    pub(super) inode: u64,
    pub(super) parent_inode: u64,
}

impl<S: Subject> Node<S> {
    pub(super) fn root(tree: Arc<Tree>, subject: S, entry: &'static Entry<S>) -> Arc<dyn Inode> {
        Arc::new(Self { tree, subject, entry, inode: 1, parent_inode: 1 })
    }

    /// A child of this directory called `name`, about another `subject`.
    pub fn child<T: Subject>(
        &self,
        name: &[u8],
        subject: T,
        entry: &'static Entry<T>,
    ) -> Arc<dyn Inode> {
        Arc::new(Node {
            tree: self.tree.clone(),
            subject,
            entry,
            inode: child_inode(self.inode, name),
            parent_inode: self.inode,
        })
    }

    /// What it is about.
    pub const fn subject(&self) -> &S {
        &self.subject
    }

    /// What it shares with the whole tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    fn check_access(&self, caller: Caller<'_>) -> Result<()> {
        if self.entry.private { self.subject.check_access(caller) } else { Ok(()) }
    }
}

/// Inode numbers need no register: a name below a numbered directory always gives the same one.
pub(super) fn child_inode(directory: u64, name: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u64(directory);
    hasher.write(name);
    hasher.finish().max(2)
}

#[async_trait]
impl<S: Subject> Inode for Node<S> {
    fn cached_attributes(&self) -> Option<Attributes> {
        let now = Timestamp::from_nanoseconds(self.tree.kernel.platform.realtime_nanoseconds());
        let (uid, gid) = self.subject.owner();
        Some(Attributes {
            device: self.tree.device,
            inode: self.inode,
            kind: self.entry.kind(),
            permissions: self.entry.permissions,
            links: if self.entry.kind() == FileKind::Directory { 2 } else { 1 },
            uid,
            gid,
            device_node: DeviceNumber::default(),
            size: 0,
            block_size: 1024,
            blocks: 0,
            accessed: now,
            modified: now,
            changed: now,
            created: None,
        })
    }

    fn kind(&self) -> FileKind {
        self.entry.kind()
    }

    async fn set_attributes(&self, change: AttributeChange) -> Result<Attributes> {
        // Opening with O_TRUNC is common (`echo 1 > /proc/sys/...`) and does nothing. The time of
        // modification comes with it.
        let truncation = AttributeChange {
            size: change.size,
            modified: change.modified,
            ..AttributeChange::default()
        };
        if change.size.is_none() || change != truncation {
            return Err(Errno::EPERM);
        }
        self.cached_attributes().ok_or(Errno::EIO)
    }

    fn caching(&self) -> Caching {
        if self.tree.volatile { Caching::Volatile } else { Caching::Stable }
    }

    async fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let Content::Directory { entries, children } = &self.entry.content else {
            return Err(Errno::ENOTDIR);
        };
        if let Some(entry) = entries.iter().find(|entry| entry.name.as_bytes() == name) {
            return Ok(self.child(name, self.subject.clone(), entry));
        }
        children.as_ref().map_or(Err(Errno::ENOENT), |children| (children.find)(self, name))
    }

    async fn read_link(&self, caller: Caller<'_>) -> Result<Vec<u8>> {
        self.check_access(caller)?;
        match &self.entry.content {
            Content::Link(target) | Content::MagicLink { target, .. } => {
                target(&self.subject, caller)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    async fn follow_magic_link(&self, caller: Caller<'_>) -> Result<Option<Path>> {
        let Content::MagicLink { follow, .. } = &self.entry.content else {
            return Ok(None);
        };
        self.check_access(caller)?;
        follow(&self.subject, caller).map(Some)
    }

    async fn open(self: Arc<Self>, caller: Caller<'_>, flags: OpenFlags) -> Result<Arc<dyn File>> {
        self.check_access(caller)?;
        match &self.entry.content {
            Content::Directory { .. } => Ok(Arc::new(OpenDirectory(self))),
            Content::File { write: None, .. }
            | Content::SeenFile { write: None, .. }
            | Content::LateFile(_)
            | Content::Text(_)
                if flags.writable() =>
            {
                Err(Errno::EACCES)
            }
            Content::File { .. }
            | Content::SeenFile { .. }
            | Content::LateFile(_)
            | Content::Text(_) => {
                Ok(Arc::new(GeneratedFile::new(self, caller.credentials.clone())))
            }
            Content::Link(_) | Content::MagicLink { .. } => Err(Errno::ELOOP),
        }
    }
}
