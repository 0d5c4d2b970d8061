//! What a directory of an overlay has gained and lost.

use alloc::{sync::Arc, vec::Vec};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::inode::OverlayInode;
use crate::{
    errno::{Errno, Result},
    vfs::Name,
};

/// A name that differs from the lower directory.
#[derive(Clone)]
pub(super) enum Change {
    /// The lower name is gone.
    Whiteout,
    /// The name is this.
    Present {
        inode: Arc<OverlayInode>,
        /// The lower directory has the name too, so removing this one leaves a whiteout.
        hides_lower: bool,
    },
}

/// All differences of a directory.
#[derive(Default)]
pub(super) struct Changes {
    names: HashMap<Name, Change, FxBuildHasher>,
    /// `..`, once the overlay knows better than the lower directory.
    pub parent: Option<u64>,
    /// Removed: nothing can be added.
    closed: bool,
}

impl Changes {
    /// How `name` differs.
    pub fn get(&self, name: &[u8]) -> Option<&Change> {
        self.names.get(name)
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.parent.is_none()
    }

    /// Fails with ENOENT if nothing can be added any more.
    pub fn check_open(&self) -> Result<()> {
        if self.closed { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// Refuses additions from now on.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether the lower directory has `name`; `None` if only it can tell.
    pub fn hides_lower(&self, name: &[u8]) -> Option<bool> {
        self.names.get(name).map(|change| match change {
            Change::Whiteout => true,
            Change::Present { hides_lower, .. } => *hides_lower,
        })
    }

    /// Sets `name` to `inode`.
    pub fn set(&mut self, name: &[u8], inode: Arc<OverlayInode>, hides_lower: bool) {
        self.names.insert(Name::from(name), Change::Present { inode, hides_lower });
    }

    /// Removes `name`, which is in the lower directory if it is not among the changes.
    pub fn remove(&mut self, name: &[u8]) {
        if self.hides_lower(name).unwrap_or(true) {
            self.names.insert(Name::from(name), Change::Whiteout);
        } else {
            self.names.remove(name);
        }
    }

    /// The names that are there, with what they are.
    pub fn present(&self) -> impl Iterator<Item = (&Name, &Arc<OverlayInode>)> {
        self.names.iter().filter_map(|(name, change)| match change {
            Change::Present { inode, .. } => Some((name, inode)),
            Change::Whiteout => None,
        })
    }

    /// Takes out everything.
    pub fn take_all(&mut self) -> Vec<Arc<OverlayInode>> {
        let present = self.names.drain().filter_map(|(_, change)| match change {
            Change::Present { inode, .. } => Some(inode),
            Change::Whiteout => None,
        });
        present.collect()
    }
}
