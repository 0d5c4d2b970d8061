//! Names for words of memory that tasks wait on (futex(2)).

use alloc::sync::Arc;

use super::{Mm, UserAddress};
use crate::{
    errno::{Errno, Result},
    io::TryError,
    platform::{Access, AddressSpaceId},
};

/// A word of memory, the same for all tasks that reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FutexKey {
    /// A place in an address space.
    Private(AddressSpaceId, u64),
    /// A place in a mapped object, which is known by where it is kept and lives as long as it is
    /// mapped.
    Shared(usize, u64),
}

impl Mm {
    /// The key of the word at `address` for tasks of this address space alone.
    ///
    /// # Errors
    /// EINVAL if it is misaligned, EFAULT if nothing can be mapped there.
    pub fn private_futex_key(&self, address: UserAddress) -> Result<FutexKey> {
        if !address.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if address.0 >= self.address_limit() {
            return Err(Errno::EFAULT);
        }
        Ok(FutexKey::Private(self.space(), address.0))
    }

    /// The key of the word at `address`; with `private` no other address space is to find it.
    ///
    /// # Errors
    /// EINVAL if it is misaligned, EFAULT if nothing is mapped there.
    pub async fn futex_key(&self, address: UserAddress, private: bool) -> Result<FutexKey> {
        let key = self.private_futex_key(address)?;
        if private {
            return Ok(key);
        }
        loop {
            if let Some(key) = self.mapped_key(address) {
                return Ok(key);
            }
            let access = Access::Read;
            self.resolve(TryError::PageFault { address: address.0, access }).await?;
        }
    }

    fn mapped_key(&self, address: UserAddress) -> Option<FutexKey> {
        let (cache, offset) = {
            let state = self.state.read();
            let vma = state.vmas.find(address.0)?;
            match vma.cache_at(address.0) {
                Some((cache, offset)) if !vma.is_private() => (Arc::as_ptr(cache), offset),
                _ => return Some(FutexKey::Private(self.space(), address.0)),
            }
        };
        Some(FutexKey::Shared(cache.addr(), offset))
    }

    /// As [`Self::try_compare_exchange_u32`], after bringing the word in.
    ///
    /// # Errors
    /// EFAULT, EINVAL if it is misaligned.
    pub async fn compare_exchange_u32(
        &self,
        address: UserAddress,
        expected: u32,
        new: u32,
    ) -> Result<u32> {
        loop {
            match self.try_compare_exchange_u32(address, expected, new) {
                Ok(old) => return Ok(old),
                Err(error) => self.resolve(error).await?,
            }
        }
    }
}
