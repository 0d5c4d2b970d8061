//! Buffers in user memory as where file operations put bytes and take them from.

use smallvec::{SmallVec, smallvec};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Mm, UserAddress};
use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryResult},
    platform::Access,
};

/// Most buffers of one call (UIO_MAXIOV).
pub const IOV_MAX: usize = 1024;

/// Most bytes that one call transfers (MAX_RW_COUNT of Linux).
pub const MAX_TRANSFER: usize = 0x7fff_f000;

/// One buffer (struct iovec).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct IoVector {
    /// Start.
    pub base: u64,
    /// Length in bytes.
    pub length: u64,
}

/// The buffers of one call.
pub type Iovecs = SmallVec<[IoVector; 4]>;

/// Reads `count` buffers at `address`, cut to [`MAX_TRANSFER`] bytes in all.
///
/// # Errors
/// EINVAL for too many, or a length that is negative; EFAULT.
pub async fn read_iovecs(mm: &Mm, address: UserAddress, count: usize) -> Result<Iovecs> {
    if count > IOV_MAX {
        return Err(Errno::EINVAL);
    }
    let mut iovecs: Iovecs = smallvec![IoVector::default(); count];
    mm.copy_in(address, iovecs.as_mut_slice().as_mut_bytes()).await?;
    let mut left = MAX_TRANSFER as u64;
    for iovec in &mut iovecs {
        if i64::try_from(iovec.length).is_err() {
            return Err(Errno::EINVAL);
        }
        let end = iovec.base.checked_add(iovec.length);
        if iovec.length > 0 && end.is_none_or(|end| end > mm.address_limit()) {
            return Err(Errno::EFAULT);
        }
        iovec.length = iovec.length.min(left);
        left -= iovec.length;
    }
    Ok(iovecs)
}

/// Buffers in user memory, and how far they have been used.
pub struct UserBuffers<'a> {
    mm: &'a Mm,
    iovecs: Iovecs,
    /// The first buffer that is not used up.
    current: usize,
    remaining: usize,
}

impl<'a> UserBuffers<'a> {
    /// The buffers `iovecs`, from their start.
    pub fn new(mm: &'a Mm, iovecs: Iovecs) -> Self {
        let total = iovecs.iter().fold(0_u64, |sum, iovec| sum.saturating_add(iovec.length));
        let remaining = usize::try_from(total).unwrap_or(usize::MAX);
        Self { mm, iovecs, current: 0, remaining }
    }

    /// One buffer of `length` bytes at `address`, cut to [`MAX_TRANSFER`].
    pub fn single(mm: &'a Mm, address: UserAddress, length: usize) -> Self {
        let remaining = length.min(MAX_TRANSFER);
        let iovec = IoVector { base: address.0, length: remaining as u64 };
        Self { mm, iovecs: smallvec![iovec], current: 0, remaining }
    }

    /// Goes through up to `length` bytes from the front; see [`Mm::copy_some`].
    fn advance(
        &mut self,
        length: usize,
        access: Access,
        mut copy: impl FnMut(u64, usize, usize) -> bool,
    ) -> TryResult<usize> {
        let mut done = 0;
        while done < length {
            let Some(iovec) = self.iovecs.get_mut(self.current) else { break };
            let available = usize::try_from(iovec.length).unwrap_or(usize::MAX);
            if available == 0 {
                self.current += 1;
                continue;
            }
            let wanted = available.min(length - done);
            let part = |physical, offset, count| copy(physical, done + offset, count);
            let count = match self.mm.copy_some(UserAddress(iovec.base), wanted, access, part) {
                Ok(count) => count,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            };
            iovec.base += count as u64;
            iovec.length -= count as u64;
            self.remaining -= count;
            done += count;
            if count < wanted {
                break;
            }
        }
        Ok(done)
    }
}

impl Destination for UserBuffers<'_> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn put(&mut self, bytes: &[u8]) -> TryResult<usize> {
        let memory = self.mm.frames().memory();
        self.advance(bytes.len(), Access::Write, |physical, offset, count| {
            let part = bytes.get(offset..offset + count).unwrap_or_default();
            memory.write(physical, part).is_ok()
        })
    }

    fn put_physical(&mut self, address: u64, length: usize) -> TryResult<usize> {
        let memory = self.mm.frames().memory();
        self.advance(length, Access::Write, |physical, offset, count| {
            memory.copy(address + offset as u64, physical, count).is_ok()
        })
    }

    fn put_zeros(&mut self, length: usize) -> TryResult<usize> {
        let memory = self.mm.frames().memory();
        self.advance(length, Access::Write, |physical, _, count| {
            memory.zero(physical, count).is_ok()
        })
    }
}

impl Source for UserBuffers<'_> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn take(&mut self, bytes: &mut [u8]) -> TryResult<usize> {
        let memory = self.mm.frames().memory();
        self.advance(bytes.len(), Access::Read, |physical, offset, count| {
            let part = bytes.get_mut(offset..offset + count).unwrap_or_default();
            memory.read(physical, part).is_ok()
        })
    }

    fn take_physical(&mut self, address: u64, length: usize) -> TryResult<usize> {
        let memory = self.mm.frames().memory();
        self.advance(length, Access::Read, |physical, offset, count| {
            memory.copy(physical, address + offset as u64, count).is_ok()
        })
    }
}
