//! Copying to and from user memory, as user code's own access would.
//!
//! A copy walks the page table under the shared lock of the address space and copies physically,
//! page by page. What is missing is brought in at once where that needs no waiting.

use alloc::{vec, vec::Vec};
use core::sync::atomic::Ordering;

use smallvec::SmallVec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Fault, Mm, TryFault, UserAddress};
use crate::{
    errno::{Errno, Result},
    io::{TryError, TryResult},
    memory::PAGE_SIZE,
    platform::Access,
};

/// Space for most structures of the ABI without allocating.
type Buffer = SmallVec<[u8; 256]>;

impl Mm {
    /// Copies from `address` into `bytes`, all of them.
    ///
    /// # Errors
    /// [`TryError::PageFault`] if part of a file has to be fetched or memory to be freed first;
    /// EFAULT.
    pub fn try_copy_in(&self, address: UserAddress, bytes: &mut [u8]) -> TryResult<()> {
        let memory = self.frames().memory();
        let length = bytes.len();
        self.copy_all(address, length, Access::Read, |physical, done, count| {
            let part = bytes.get_mut(done..done + count).unwrap_or_default();
            memory.read(physical, part).is_ok()
        })
    }

    /// Copies `bytes` to `address`, all of them.
    ///
    /// # Errors
    /// As [`Self::try_copy_in`].
    pub fn try_copy_out(&self, address: UserAddress, bytes: &[u8]) -> TryResult<()> {
        let memory = self.frames().memory();
        self.copy_all(address, bytes.len(), Access::Write, |physical, done, count| {
            let part = bytes.get(done..done + count).unwrap_or_default();
            memory.write(physical, part).is_ok()
        })
    }

    /// Copies from `address` into `bytes`.
    ///
    /// # Errors
    /// EFAULT.
    pub async fn copy_in(&self, address: UserAddress, bytes: &mut [u8]) -> Result<()> {
        loop {
            match self.try_copy_in(address, bytes) {
                Ok(()) => return Ok(()),
                Err(error) => self.resolve(error).await?,
            }
        }
    }

    /// Copies `bytes` to `address`.
    ///
    /// # Errors
    /// EFAULT.
    pub async fn copy_out(&self, address: UserAddress, bytes: &[u8]) -> Result<()> {
        loop {
            match self.try_copy_out(address, bytes) {
                Ok(()) => return Ok(()),
                Err(error) => self.resolve(error).await?,
            }
        }
    }

    /// Reads a `T`.
    ///
    /// # Errors
    /// EFAULT.
    pub async fn read<T: FromBytes>(&self, address: UserAddress) -> Result<T> {
        loop {
            match self.try_read(address) {
                Ok(value) => return Ok(value),
                Err(error) => self.resolve(error).await?,
            }
        }
    }

    /// Reads a `T` without waiting.
    ///
    /// # Errors
    /// As [`Self::try_copy_in`].
    pub fn try_read<T: FromBytes>(&self, address: UserAddress) -> TryResult<T> {
        let mut bytes = Buffer::from_elem(0, size_of::<T>());
        self.try_copy_in(address, &mut bytes)?;
        T::read_from_bytes(&bytes).map_err(|_| Errno::EFAULT.into())
    }

    /// Writes `value`.
    ///
    /// # Errors
    /// EFAULT.
    pub async fn write<T>(&self, address: UserAddress, value: &T) -> Result<()>
    where
        T: IntoBytes + Immutable + ?Sized + Sync,
    {
        self.copy_out(address, value.as_bytes()).await
    }

    /// Reads `count` values; the caller bounds `count`.
    ///
    /// # Errors
    /// EFAULT, ENOMEM if the size overflows.
    pub async fn read_array<T: FromBytes + IntoBytes + Clone + Send>(
        &self,
        address: UserAddress,
        count: usize,
    ) -> Result<Vec<T>> {
        count.checked_mul(size_of::<T>()).ok_or(Errno::ENOMEM)?;
        let mut values = vec![T::new_zeroed(); count];
        self.copy_in(address, values.as_mut_slice().as_mut_bytes()).await?;
        Ok(values)
    }

    /// Reads a string up to its NUL, which is not included; `None` if `max` bytes hold no NUL
    /// (the caller's ENAMETOOLONG or E2BIG).
    ///
    /// # Errors
    /// EFAULT.
    pub async fn read_string(&self, address: UserAddress, max: usize) -> Result<Option<Vec<u8>>> {
        loop {
            match self.try_read_string(address, max) {
                Ok(string) => return Ok(string),
                Err(error) => self.resolve(error).await?,
            }
        }
    }

    fn try_read_string(&self, address: UserAddress, max: usize) -> TryResult<Option<Vec<u8>>> {
        let mut string = Vec::new();
        while string.len() < max {
            let next = address.offset(string.len() as u64)?;
            // Short pieces, never across the end of a page, which may be the last that is mapped.
            let in_page = PAGE_SIZE - (next.0 % PAGE_SIZE as u64) as usize;
            let count = in_page.min(64).min(max - string.len());
            let mut piece = [0; 64];
            let piece = piece.get_mut(..count).unwrap_or_default();
            self.try_copy_in(next, piece)?;
            match piece.iter().position(|&byte| byte == 0) {
                Some(end) => {
                    string.extend(piece.iter().take(end));
                    return Ok(Some(string));
                }
                None => string.extend_from_slice(piece),
            }
        }
        Ok(None)
    }

    /// Loads a word that other tasks may change (futex(2)).
    ///
    /// # Errors
    /// As [`Self::try_copy_in`]; EINVAL if it is misaligned.
    pub fn try_load_u32(&self, address: UserAddress) -> TryResult<u32> {
        self.with_word(address, Access::Read, |word| word.load(Ordering::SeqCst))
    }

    /// Stores `new` if the word is `expected`; returns what it was.
    ///
    /// # Errors
    /// As [`Self::try_load_u32`].
    pub fn try_compare_exchange_u32(
        &self,
        address: UserAddress,
        expected: u32,
        new: u32,
    ) -> TryResult<u32> {
        self.with_word(address, Access::Write, |word| {
            word.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst)
                .unwrap_or_else(|actual| actual)
        })
    }

    fn with_word<T>(
        &self,
        address: UserAddress,
        access: Access,
        operation: impl Fn(&core::sync::atomic::AtomicU32) -> T,
    ) -> TryResult<T> {
        if !address.0.is_multiple_of(4) {
            return Err(Errno::EINVAL.into());
        }
        let mut result = None;
        self.copy_all(address, 4, access, |physical, _, _| {
            result = self.frames().memory().atomic_u32(physical).ok().map(&operation);
            result.is_some()
        })?;
        result.ok_or(Errno::EFAULT.into())
    }

    /// Waits for what a copy misses.
    ///
    /// # Errors
    /// EFAULT, or what `error` says if it is no fault.
    pub async fn resolve(&self, error: TryError) -> Result<()> {
        match error {
            TryError::PageFault { address, access } => {
                self.fault(address, Some(access)).await.map_err(|fault| match fault {
                    Fault::OutOfMemory => Errno::ENOMEM,
                    Fault::NotMapped | Fault::NotPermitted | Fault::BusError => Errno::EFAULT,
                })
            }
            TryError::Failed(errno) => Err(errno),
            TryError::WouldBlock => Err(Errno::EAGAIN),
            TryError::NotResident { .. } => Err(Errno::EIO),
        }
    }

    fn copy_all(
        &self,
        address: UserAddress,
        length: usize,
        access: Access,
        copy: impl FnMut(u64, usize, usize) -> bool,
    ) -> TryResult<()> {
        let mut copy = copy;
        let mut done = 0;
        while done < length {
            let next = address.offset(done as u64)?;
            let base = done;
            done += self.copy_some(next, length - done, access, |physical, offset, count| {
                copy(physical, base + offset, count)
            })?;
        }
        Ok(())
    }

    /// Calls `copy(physical address, offset, count)` for consecutive parts of `length` bytes of
    /// user memory from `address`, each in one page. Returns how many bytes it went through:
    /// fewer than `length` only before a fault.
    ///
    /// # Errors
    /// As [`Self::try_copy_in`], if it went through none.
    pub(super) fn copy_some(
        &self,
        address: UserAddress,
        length: usize,
        access: Access,
        mut copy: impl FnMut(u64, usize, usize) -> bool,
    ) -> TryResult<usize> {
        let end = address.0.checked_add(length as u64);
        if length > 0 && end.is_none_or(|end| end > self.address_limit()) {
            return Err(Errno::EFAULT.into());
        }
        let mut done = 0;
        while done < length {
            let next = address.0 + done as u64;
            let reached = self.copy_present(next, length - done, access, |physical, at, count| {
                copy(physical, done + at, count)
            });
            done += reached;
            if done == length {
                break;
            }
            match self.try_fault(address.0 + done as u64, Some(access)) {
                Ok(()) => {}
                Err(_) if done > 0 => break,
                Err(TryFault::Failed(Fault::OutOfMemory) | TryFault::Fetch { .. }) => {
                    return Err(TryError::PageFault { address: next, access });
                }
                Err(TryFault::Failed(_)) => return Err(Errno::EFAULT.into()),
            }
        }
        Ok(done)
    }

    /// The part of [`Self::copy_some`] up to the first page that is not accessible.
    fn copy_present(
        &self,
        address: u64,
        length: usize,
        access: Access,
        mut copy: impl FnMut(u64, usize, usize) -> bool,
    ) -> usize {
        let state = self.state.read();
        let mut done = 0;
        while done < length {
            let next = address + done as u64;
            let entry = state.table.get(next);
            let page = match access {
                Access::Write => entry.writable_address(),
                Access::Read | Access::Execute => entry.readable_address(),
            };
            let Some(page) = page else { break };
            let in_page = (next % PAGE_SIZE as u64) as usize;
            let count = (PAGE_SIZE - in_page).min(length - done);
            if !copy(page + in_page as u64, done, count) {
                break;
            }
            done += count;
        }
        done
    }
}
