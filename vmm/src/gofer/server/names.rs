//! Removing, moving and linking names: `UNLINK`, `RMDIR`, `RENAME2`, `LINK`.

use std::{ffi::CStr, os::fd::AsFd};

use guest_abi::fuse::Rename2In;
use rustix::{
    fs::{AtFlags, CWD, RenameFlags, linkat, renameat_with, unlinkat},
    io::Errno,
};

use super::{Outcome, Result, Server, host, request::Name};

impl Server {
    pub(super) fn unlink(&mut self, parent: u64, name: Name<'_>, flags: AtFlags) -> Result {
        let directory = self.descriptor(parent)?;
        let node = self.node_at(&directory, name.as_c_str());
        let pinned = node.is_some_and(|node| self.pin(node));
        let result = unlinkat(&directory, name.as_c_str(), flags);
        if result.is_ok()
            && !pinned
            && let Some(node) = node
        {
            // Without a descriptor to hold the inode, its number may be used again.
            self.nodes.disown(node);
        }
        result.map(|()| Outcome::Done)
    }

    pub(super) fn rename(
        &mut self,
        old_parent: u64,
        old: Name<'_>,
        request: &Rename2In,
        new: Name<'_>,
    ) -> Result {
        let flags = RenameFlags::from_bits_retain(request.flags);
        if !(RenameFlags::NOREPLACE | RenameFlags::EXCHANGE).contains(flags) {
            return Err(Errno::INVAL);
        }
        let (old, new, new_parent) = (old.as_c_str(), new.as_c_str(), request.new_parent);
        let (from, to) = (self.descriptor(old_parent)?, self.descriptor(new_parent)?);
        let moved = self.node_at(&from, old);
        let replaced = self.node_at(&to, new).filter(|&node| Some(node) != moved);
        let pinned = replaced.is_some_and(|node| self.pin(node));
        renameat_with(&from, old, &to, new, flags)?;
        if let Some(node) = moved {
            self.nodes.relocate(node, new_parent, new);
        }
        if let Some(node) = replaced {
            if flags.contains(RenameFlags::EXCHANGE) {
                self.nodes.relocate(node, old_parent, old);
            } else if !pinned {
                self.nodes.disown(node);
            }
        }
        Ok(Outcome::Done)
    }

    pub(super) fn link(&mut self, node: u64, parent: u64, name: Name<'_>) -> Result {
        let directory = self.descriptor(parent)?;
        let descriptor = self.descriptor(node)?;
        let path = self.options.fd_paths.path(&descriptor);
        linkat(CWD, path, &directory, name.as_c_str(), AtFlags::SYMLINK_FOLLOW)?;
        let status = host::status_at(&directory, name.as_c_str())?;
        let entry = self.enter(parent, name.as_c_str(), &status)?;
        self.prepare(&entry)
    }

    /// The node that the client knows under this name, if any.
    fn node_at(&self, directory: impl AsFd, name: &CStr) -> Option<u64> {
        let status = host::status_at(directory, name).ok()?;
        self.nodes.find(host::identity(&status))
    }

    /// Keeps a node usable that is about to lose its name. Answers whether that succeeded.
    fn pin(&mut self, node: u64) -> bool {
        match self.descriptor(node) {
            Ok(descriptor) => self.descriptors.pin(node, descriptor),
            Err(_) => false,
        }
    }
}
