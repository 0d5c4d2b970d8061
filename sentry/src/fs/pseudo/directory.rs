//! Listing a directory of a pseudo file system.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use async_trait::async_trait;

use super::{Content, Node, Subject, node::child_inode};
use crate::{
    errno::Result,
    vfs::{DirectoryEntry, File, FileKind},
};

/// An open directory.
///
/// Positions: 0 and 1 are `.` and `..`, then the entries of the table by index, then the children
/// by key, so that a listing goes on rightly when children come or go in between.
pub(super) struct OpenDirectory<S: 'static>(pub Arc<Node<S>>);

impl<S: Subject> OpenDirectory<S> {
    fn entry(&self, position: u64, name: &[u8], kind: FileKind) -> DirectoryEntry {
        let inode = match name {
            b"." => self.0.inode,
            b".." => self.0.parent_inode,
            _ => child_inode(self.0.inode, name),
        };
        DirectoryEntry { inode, kind, name: name.to_vec(), next: position + 1 }
    }
}

#[async_trait]
impl<S: Subject> File for OpenDirectory<S> {
    fn is_seekable(&self) -> bool {
        true
    }

    async fn read_directory(&self, position: u64) -> Result<Vec<DirectoryEntry>> {
        let Content::Directory { entries, children } = &self.0.entry.content else {
            return Ok(Vec::new());
        };
        let dots = [(".", FileKind::Directory), ("..", FileKind::Directory)];
        let table = entries.iter().map(|entry| (entry.name, entry.kind()));
        let mut listing: Vec<DirectoryEntry> = (0..)
            .zip(dots.into_iter().chain(table))
            .filter(|(index, _)| *index >= position)
            .map(|(index, (name, kind))| self.entry(index, name.as_bytes(), kind))
            .collect();
        let base = 2 + entries.len() as u64;
        if let Some(children) = children {
            let all = (children.list)(&self.0.subject, &self.0.tree.kernel);
            let rest = all.into_iter().map(|child| (base + u64::from(child.key), child));
            listing.extend(
                rest.filter(|(at, _)| *at >= position)
                    .map(|(at, child)| self.entry(at, &child.name, child.kind)),
            );
        }
        Ok(listing)
    }
}
