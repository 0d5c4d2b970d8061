//! Extended attributes (xattr(7)).

use alloc::vec::Vec;

use guest_abi::fuse::{GetxattrIn, MAX_XATTR, Opcode, SetxattrIn};

use super::{call::Call, inode::GoferInode};
use crate::{
    errno::{Errno, Result},
    vfs::XattrMode,
};

impl GoferInode {
    /// The value of an attribute.
    pub(super) async fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        let body = GetxattrIn { size: MAX_XATTR, padding: 0 };
        let call = Call::new(Opcode::Getxattr, self.node).with(&body).name(name);
        self.session.connection.exchange(&call, MAX_XATTR as usize).await?.bytes()
    }

    /// Sets an attribute.
    pub(super) async fn put_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        let body = SetxattrIn {
            size: u32::try_from(value.len()).map_err(|_| Errno::E2BIG)?,
            flags: match mode {
                XattrMode::Any => 0,
                XattrMode::Create => 1,
                XattrMode::Replace => 2,
            },
        };
        let call = Call::new(Opcode::Setxattr, self.node).with(&body).name(name).bytes(value);
        self.session.connection.tell(&call).await
    }

    /// The names of all attributes.
    pub(super) async fn list_xattrs(&self) -> Result<Vec<Vec<u8>>> {
        let body = GetxattrIn { size: MAX_XATTR, padding: 0 };
        let call = Call::new(Opcode::Listxattr, self.node).with(&body);
        let list = self.session.connection.exchange(&call, MAX_XATTR as usize).await?.bytes()?;
        let names = list.split(|&byte| byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(<[u8]>::to_vec).collect())
    }

    /// Removes an attribute.
    pub(super) async fn delete_xattr(&self, name: &[u8]) -> Result<()> {
        let call = Call::new(Opcode::Removexattr, self.node).name(name);
        self.session.connection.tell(&call).await
    }
}
