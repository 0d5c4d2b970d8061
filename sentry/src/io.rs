//! Moving bytes between files and memory, without suspending.
//!
//! A file operation is first *tried*. It runs to its end without waiting, or says what must happen
//! before it can: the caller awaits that and tries again. So fast paths neither allocate nor
//! suspend, and blocking, signals and time-outs are one piece of code.

use crate::{errno::Errno, platform::Access};

/// Why a tried operation did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryError {
    /// It would block: wait for readiness, or answer EAGAIN.
    WouldBlock,
    /// User memory is not resident: let `Mm::fault` resolve this, and try again.
    PageFault {
        /// User address.
        address: u64,
        /// What the operation wants to do there.
        access: Access,
    },
    /// The file's own contents are not resident: await `File::fetch` of this range, and try again.
    NotResident {
        /// Offset in the file, in bytes.
        offset: u64,
        /// Length of the range in bytes.
        length: usize,
    },
    /// It failed.
    Failed(Errno),
}

/// Result of a tried operation.
pub type TryResult<T> = Result<T, TryError>;

impl From<Errno> for TryError {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

/// Where a read puts bytes: user memory (`mm::UserBuffers`) or a kernel buffer.
pub trait Destination: Send {
    /// Bytes it still takes.
    fn remaining(&self) -> usize;

    /// Takes bytes from the front of `bytes`; returns how many, fewer only at its end or before a
    /// fault.
    ///
    /// # Errors
    /// [`TryError::PageFault`] or EFAULT if it could take none.
    fn put(&mut self, bytes: &[u8]) -> TryResult<usize>;

    /// The same from `length` bytes of physical memory at `address` (a page-cache frame), sparing
    /// a copy.
    ///
    /// # Errors
    /// As [`Self::put`].
    fn put_physical(&mut self, address: u64, length: usize) -> TryResult<usize>;

    /// The same with `length` zero bytes.
    ///
    /// # Errors
    /// As [`Self::put`].
    fn put_zeros(&mut self, length: usize) -> TryResult<usize>;
}

/// Where a write takes bytes from: user memory (`mm::UserBuffers`) or a kernel buffer.
pub trait Source: Send {
    /// Bytes it still has.
    fn remaining(&self) -> usize;

    /// Fills `bytes` from the front; returns how many, fewer only at its end or before a fault.
    ///
    /// # Errors
    /// [`TryError::PageFault`] or EFAULT if it could give none.
    fn take(&mut self, bytes: &mut [u8]) -> TryResult<usize>;

    /// The same into `length` bytes of physical memory at `address`, sparing a copy.
    ///
    /// # Errors
    /// As [`Self::take`].
    fn take_physical(&mut self, address: u64, length: usize) -> TryResult<usize>;

    /// Passes over up to `length` bytes; returns how many.
    ///
    /// # Errors
    /// As [`Self::take`].
    fn skip(&mut self, length: usize) -> TryResult<usize> {
        let mut scratch = [0; 512];
        let mut skipped = 0;
        while skipped < length {
            let chunk = scratch.len().min(length - skipped);
            let Some(scratch) = scratch.get_mut(..chunk) else { break };
            match self.take(scratch) {
                Ok(0) => break,
                Ok(count) => skipped += count,
                Err(error) if skipped == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(skipped)
    }
}
