//! Extended attributes. Which of them may be read or set is the host kernel's decision, by the
//! few capabilities that the gofer has kept.

use std::ffi::CStr;

use guest_abi::fuse::{GetxattrIn, GetxattrOut, MAX_XATTR};
use rustix::{
    fs::{XattrFlags, getxattr, getxattr_query, listxattr, listxattr_query, removexattr, setxattr},
    io::Errno,
};

use super::{Outcome, Result, Server};

impl Server {
    pub(super) fn getxattr(&mut self, node: u64, request: &GetxattrIn, name: &CStr) -> Result {
        let path = self.node_path(node)?;
        if request.size == 0 {
            let size = getxattr_query(path, name)?;
            return self.answer_size(size);
        }
        let buffer = self.make_room(request.size)?;
        let length = getxattr(path, name, buffer)?;
        self.reply.truncate(length);
        Ok(Outcome::Prepared)
    }

    pub(super) fn listxattr(&mut self, node: u64, request: &GetxattrIn) -> Result {
        let path = self.node_path(node)?;
        if request.size == 0 {
            let size = listxattr_query(path)?;
            return self.answer_size(size);
        }
        let buffer = self.make_room(request.size)?;
        let length = listxattr(path, buffer)?;
        self.reply.truncate(length);
        Ok(Outcome::Prepared)
    }

    pub(super) fn setxattr(&mut self, node: u64, flags: u32, name: &CStr, value: &[u8]) -> Result {
        let flags = XattrFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        let path = self.node_path(node)?;
        setxattr(path, name, value, flags).map(|()| Outcome::Done)
    }

    pub(super) fn removexattr(&mut self, node: u64, name: &CStr) -> Result {
        let path = self.node_path(node)?;
        removexattr(path, name).map(|()| Outcome::Done)
    }

    /// A path that leads to the node. The descriptor stays open while the path is used: a cached
    /// one is evicted by another insertion only.
    fn node_path(&mut self, node: u64) -> Result<String> {
        let descriptor = self.descriptor(node)?;
        Ok(self.options.fd_paths.path(&descriptor))
    }

    fn answer_size(&mut self, size: usize) -> Result {
        let size = u32::try_from(size).map_err(|_| Errno::TOOBIG)?;
        self.prepare(&GetxattrOut { size, padding: 0 })
    }

    /// A buffer in the reply for as many bytes as the client takes.
    fn make_room(&mut self, size: u32) -> Result<&mut [u8]> {
        let size = usize::try_from(size.min(MAX_XATTR)).map_err(|_| Errno::INVAL)?;
        self.reply.resize(size, 0);
        Ok(&mut self.reply)
    }
}
