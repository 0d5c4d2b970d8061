//! The node table: what the client's node ids stand for.
//!
//! A node is an inode, known by where it was last found: its parent node and its name there. It
//! holds no descriptor, so a client may know a million of them; [`super::descriptors`] opens the
//! few in use. A node lives as long as the client counts lookups of it, or a known node names it
//! as its parent.

use std::{
    collections::HashMap,
    ffi::{CStr, CString},
};

use guest_abi::fuse::ROOT_NODE;
use rustix::{fs::FileType, io::Errno};

use super::{IdMap, Result};

/// What makes two names the same node: the mount, the device and the inode. The mount counts
/// because a directory that is mounted twice shows other mounts below it in each place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// `stx_mnt_id` of statx(2).
    pub mount: u64,
    /// `stx_dev_major` and `stx_dev_minor`.
    pub device: (u32, u32),
    /// `stx_ino`.
    pub inode: u64,
}

/// Where a node was last found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The directory's node.
    pub parent: u64,
    /// The name in it.
    pub name: CString,
}

/// One inode that the client knows.
#[derive(Clone, Debug)]
pub struct Node {
    /// Which inode.
    pub identity: Identity,
    /// Its type, which never changes.
    pub kind: FileType,
    /// Where; none for the root.
    pub location: Option<Location>,
    /// Lookups that the client has not forgotten.
    lookups: u64,
    /// Nodes whose location names this one as parent.
    children: u64,
}

/// All nodes of a server.
#[derive(Debug)]
pub struct NodeTable {
    nodes: IdMap<Node>,
    identities: HashMap<Identity, u64>,
    next: u64,
    limit: usize,
}

impl NodeTable {
    /// A table of the root only, for at most `limit` nodes.
    pub fn new(identity: Identity, kind: FileType, limit: usize) -> Self {
        let root = Node { identity, kind, location: None, lookups: 1, children: 0 };
        Self {
            nodes: IdMap::from_iter([(ROOT_NODE, root)]),
            identities: HashMap::from([(identity, ROOT_NODE)]),
            next: ROOT_NODE + 1,
            limit,
        }
    }

    /// The node with this id.
    ///
    /// # Errors
    /// `ESTALE` if there is none.
    pub fn get(&self, id: u64) -> Result<&Node> {
        self.nodes.get(&id).ok_or(Errno::STALE)
    }

    /// The node of this inode, if the client knows it.
    pub fn find(&self, identity: Identity) -> Option<u64> {
        self.identities.get(&identity).copied()
    }

    /// Counts a lookup that found `identity` as `name` in `parent`, and answers its node.
    ///
    /// # Errors
    /// `ESTALE` if there is no such parent, `ENFILE` if the table is full.
    pub fn look_up(
        &mut self,
        parent: u64,
        name: &CStr,
        identity: Identity,
        kind: FileType,
    ) -> Result<u64> {
        self.get(parent)?;
        if let Some(id) = self.find_same(identity, kind) {
            self.relocate(id, parent, name);
            if let Some(node) = self.nodes.get_mut(&id) {
                node.lookups = node.lookups.saturating_add(1);
            }
            return Ok(id);
        }
        if self.nodes.len() >= self.limit {
            return Err(Errno::NFILE);
        }
        let id = self.next;
        self.next += 1;
        let location = Some(Location { parent, name: name.to_owned() });
        self.nodes.insert(id, Node { identity, kind, location, lookups: 1, children: 0 });
        self.identities.insert(identity, id);
        self.add_child(parent);
        Ok(id)
    }

    /// The node of this inode. An inode number that now has another type was used again by the
    /// host: the node that had it is no more that inode.
    fn find_same(&self, identity: Identity, kind: FileType) -> Option<u64> {
        let id = self.find(identity)?;
        self.nodes.get(&id).filter(|node| node.kind == kind).map(|_| id)
    }

    /// Notes that the node is now found as `name` in `parent`.
    pub fn relocate(&mut self, id: u64, parent: u64, name: &CStr) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(location) = &mut node.location else {
            return;
        };
        if location.parent == parent && location.name.as_c_str() == name {
            return;
        }
        let old = std::mem::replace(location, Location { parent, name: name.to_owned() });
        self.add_child(parent);
        self.remove_child(old.parent);
    }

    /// Forgets that the node is this inode: the host may use its number again.
    pub fn disown(&mut self, id: u64) {
        if let Some(node) = self.nodes.get(&id)
            && self.identities.get(&node.identity) == Some(&id)
        {
            self.identities.remove(&node.identity);
        }
    }

    /// Drops `lookups` lookups of a node, and the node with the last. Answers the nodes that went.
    pub fn forget(&mut self, id: u64, lookups: u64) -> Vec<u64> {
        if id != ROOT_NODE
            && let Some(node) = self.nodes.get_mut(&id)
        {
            node.lookups = node.lookups.saturating_sub(lookups);
        }
        self.remove_unused(id)
    }

    fn add_child(&mut self, parent: u64) {
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.children += 1;
        }
    }

    fn remove_child(&mut self, parent: u64) {
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.children = node.children.saturating_sub(1);
        }
    }

    /// Removes a node that nothing needs, then its parent if that was all it was kept for, ...
    fn remove_unused(&mut self, mut id: u64) -> Vec<u64> {
        let mut removed = Vec::new();
        while id != ROOT_NODE
            && self.nodes.get(&id).is_some_and(|node| node.lookups == 0 && node.children == 0)
        {
            self.disown(id);
            removed.push(id);
            let parent = self.nodes.remove(&id).and_then(|node| node.location);
            let Some(Location { parent, .. }) = parent else {
                break;
            };
            self.remove_child(parent);
            id = parent;
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn identity(inode: u64) -> Identity {
        Identity { mount: 1, device: (8, 1), inode }
    }

    fn table() -> NodeTable {
        NodeTable::new(identity(2), FileType::Directory, 8)
    }

    #[test]
    fn hard_links_share_a_node() {
        let mut table = table();
        let one = table.look_up(1, c"one", identity(10), FileType::RegularFile).unwrap();
        let two = table.look_up(1, c"two", identity(10), FileType::RegularFile).unwrap();
        assert_eq!(one, two);
        let other_device = Identity { mount: 1, device: (8, 2), inode: 10 };
        let three = table.look_up(1, c"three", other_device, FileType::RegularFile).unwrap();
        assert_ne!(one, three);
        assert!(table.forget(one, 1).is_empty());
        assert_eq!(table.forget(one, 1), [one]);
        assert!(table.get(one).is_err());
    }

    #[test]
    fn a_parent_outlives_its_children() {
        let mut table = table();
        let parent = table.look_up(1, c"d", identity(10), FileType::Directory).unwrap();
        let child = table.look_up(parent, c"f", identity(11), FileType::RegularFile).unwrap();
        assert!(table.forget(parent, u64::MAX).is_empty());
        assert_eq!(table.forget(child, 1), [child, parent]);
        assert_eq!(table.nodes.len(), 1);
    }

    #[test]
    fn the_root_stays_and_the_table_is_bounded() {
        let mut table = table();
        assert!(table.forget(ROOT_NODE, u64::MAX).is_empty());
        for inode in 10..17 {
            table.look_up(1, c"f", identity(inode), FileType::RegularFile).unwrap();
        }
        let full = table.look_up(1, c"f", identity(99), FileType::RegularFile);
        assert_eq!(full, Err(Errno::NFILE));
        assert_eq!(table.look_up(77, c"f", identity(10), FileType::RegularFile), Err(Errno::STALE));
    }

    #[test]
    fn a_reused_inode_number_is_a_new_node() {
        let mut table = table();
        let file = table.look_up(1, c"x", identity(10), FileType::RegularFile).unwrap();
        let directory = table.look_up(1, c"x", identity(10), FileType::Directory).unwrap();
        assert_ne!(file, directory);
        table.forget(file, 1);
        assert_eq!(table.find(identity(10)), Some(directory));
    }
}
