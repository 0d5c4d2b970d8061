//! Trees whose files are made when they are read: what proc and sysfs are built from.
//!
//! A tree is a constant table of [`Entry`]s. A table is about a *subject* (nothing, a process, a
//! descriptor), and each function in it makes the contents of one file from that subject. A
//! directory may also have children that come and go; they bring subjects and tables of their own.

mod directory;
mod file;
mod node;

pub use node::Node;

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use async_trait::async_trait;

use crate::{
    errno::Result,
    kernel::{BoxFuture, Credentials, Kernel},
    vfs::{Caller, DeviceNumber, FileKind, FileSystem, Inode, Path, Statistics},
};

/// What a table is about.
pub trait Subject: Clone + Send + Sync + 'static {
    /// User and group that own its files.
    fn owner(&self) -> (u32, u32) {
        (0, 0)
    }

    /// Whether `caller` may look into it, for entries that are [`Entry::private`].
    ///
    /// # Errors
    /// EACCES if not; ESRCH if the subject is gone.
    fn check_access(&self, _caller: Caller<'_>) -> Result<()> {
        Ok(())
    }
}

impl Subject for () {}

/// One name in a table.
pub struct Entry<S: 'static> {
    name: &'static str,
    permissions: u16,
    private: bool,
    content: Content<S>,
}

/// Makes contents from the subject.
pub type Generate<S> = fn(&S, &Arc<Kernel>) -> Result<Vec<u8>>;

/// The same where it may have to wait (for user memory that is not resident).
pub type GenerateLater<S> = fn(S, Arc<Kernel>) -> BoxFuture<'static, Result<Vec<u8>>>;

/// Makes contents from the subject as those may see them who opened the file.
pub type GenerateSeen<S> = fn(&S, &Arc<Kernel>, &Credentials) -> Result<Vec<u8>>;

/// Takes what was written, at most one page, on behalf of who opened the file.
pub type Accept<S> = fn(&S, &Arc<Kernel>, &Credentials, &[u8]) -> Result<()>;

/// Makes the target of a link.
pub type Target<S> = fn(&S, Caller<'_>) -> Result<Vec<u8>>;

/// Finds the place a magic link leads to.
pub type Follow<S> = fn(&S, Caller<'_>) -> Result<Path>;

enum Content<S: 'static> {
    File { read: Generate<S>, write: Option<Accept<S>> },
    SeenFile { read: GenerateSeen<S>, write: Option<Accept<S>> },
    LateFile(GenerateLater<S>),
    Text(&'static str),
    Link(Target<S>),
    MagicLink { target: Target<S>, follow: Follow<S> },
    Directory { entries: &'static [Entry<S>], children: Option<Children<S>> },
}

/// Finds a child of a directory of `S` by name.
pub type Find<S> = fn(&Node<S>, &[u8]) -> Result<Arc<dyn Inode>>;

/// The children of a directory that come and go.
pub struct Children<S: 'static> {
    /// All of them now, by ascending key.
    pub list: fn(&S, &Arc<Kernel>) -> Vec<Child>,
    /// Finds one by name; the node is the directory's own, for [`Node::child`].
    pub find: Find<S>,
}

/// One child, as a listing shows it.
pub struct Child {
    /// A number that is its own as long as it lives.
    pub key: u32,
    /// Its name.
    pub name: Vec<u8>,
    /// Its type.
    pub kind: FileKind,
}

impl<S: 'static> Entry<S> {
    const fn new(name: &'static str, permissions: u16, content: Content<S>) -> Self {
        Self { name, permissions, private: false, content }
    }

    /// A file to read.
    pub const fn file(name: &'static str, read: Generate<S>) -> Self {
        Self::new(name, 0o444, Content::File { read, write: None })
    }

    /// A file that always holds `text`.
    pub const fn text(name: &'static str, text: &'static str) -> Self {
        Self::new(name, 0o444, Content::Text(text))
    }

    /// A file to read and write.
    pub const fn writable(name: &'static str, read: Generate<S>, write: Accept<S>) -> Self {
        Self::new(name, 0o644, Content::File { read, write: Some(write) })
    }

    /// A file to read that shows ids of users.
    pub const fn seen_file(name: &'static str, read: GenerateSeen<S>) -> Self {
        Self::new(name, 0o444, Content::SeenFile { read, write: None })
    }

    /// The same to read and write.
    pub const fn seen_writable(
        name: &'static str,
        read: GenerateSeen<S>,
        write: Accept<S>,
    ) -> Self {
        Self::new(name, 0o644, Content::SeenFile { read, write: Some(write) })
    }

    /// A file whose contents may have to be waited for.
    pub const fn late_file(name: &'static str, read: GenerateLater<S>) -> Self {
        Self::new(name, 0o444, Content::LateFile(read))
    }

    /// A symbolic link.
    pub const fn link(name: &'static str, target: Target<S>) -> Self {
        Self::new(name, 0o777, Content::Link(target))
    }

    /// A link that leads to a place without its name being walked (path_resolution(7)).
    pub const fn magic_link(name: &'static str, target: Target<S>, follow: Follow<S>) -> Self {
        Self::new(name, 0o777, Content::MagicLink { target, follow })
    }

    /// A directory.
    pub const fn directory(name: &'static str, entries: &'static [Self]) -> Self {
        Self::new(name, 0o555, Content::Directory { entries, children: None })
    }

    /// A directory that also has children that come and go.
    pub const fn growing_directory(
        name: &'static str,
        entries: &'static [Self],
        children: Children<S>,
    ) -> Self {
        Self::new(name, 0o555, Content::Directory { entries, children: Some(children) })
    }

    /// The same entry with other permission bits.
    #[must_use]
    pub const fn with_permissions(mut self, permissions: u16) -> Self {
        self.permissions = permissions;
        self
    }

    /// The same entry, open only to those who may inspect the subject.
    #[must_use]
    pub const fn private(mut self) -> Self {
        self.private = true;
        self
    }

    const fn kind(&self) -> FileKind {
        match self.content {
            Content::File { .. }
            | Content::SeenFile { .. }
            | Content::LateFile(_)
            | Content::Text(_) => FileKind::Regular,
            Content::Link(_) | Content::MagicLink { .. } => FileKind::SymbolicLink,
            Content::Directory { .. } => FileKind::Directory,
        }
    }
}

/// What all nodes of a tree know.
pub struct Tree {
    /// The kernel.
    pub kernel: Arc<Kernel>,
    /// `st_dev`.
    pub device: DeviceNumber,
    /// Whether names come and go by themselves, so that none may be cached.
    pub volatile: bool,
}

/// A file system that is such a tree.
pub struct PseudoFileSystem {
    name: &'static str,
    magic: u64,
    root: Arc<dyn Inode>,
}

impl PseudoFileSystem {
    #[allow(clippy::new_ret_no_self, reason = "nobody holds one but as a file system")]
    /// The file system of type `name` (`magic` as in `<linux/magic.h>`) with the table `root` about its subject.
    pub fn new<S: Subject>(
        name: &'static str,
        magic: u64,
        tree: Tree,
        (subject, root): (S, &'static Entry<S>),
    ) -> Arc<dyn FileSystem> {
        let root = Node::root(Arc::new(tree), subject, root);
        Arc::new(Self { name, magic, root })
    }
}

#[async_trait]
impl FileSystem for PseudoFileSystem {
    fn name(&self) -> &'static str {
        self.name
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    async fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics { magic: self.magic, block_size: 4096, ..Statistics::default() })
    }
}

#[cfg(test)]
mod tests;
