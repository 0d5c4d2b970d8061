//! Moving bytes between files and memory, without suspending.
//!
//! A file operation is first *tried*. It runs to its end without waiting, or says what must happen
//! before it can: the caller awaits that and tries again. So fast paths neither allocate nor
//! suspend, and blocking, signals and time-outs are one piece of code.

use crate::{errno::Errno, memory::PhysicalMemory, platform::Access};

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

/// Takes at most a number of bytes from another source.
pub struct Limited<'a> {
    source: &'a mut dyn Source,
    limit: usize,
}

impl<'a> Limited<'a> {
    /// The next `limit` bytes of `source`.
    pub fn new(source: &'a mut dyn Source, limit: usize) -> Self {
        Self { source, limit }
    }
}

impl Source for Limited<'_> {
    fn remaining(&self) -> usize {
        self.source.remaining().min(self.limit)
    }

    fn take(&mut self, bytes: &mut [u8]) -> TryResult<usize> {
        let length = bytes.len().min(self.limit);
        let count = self.source.take(bytes.get_mut(..length).unwrap_or_default())?;
        self.limit -= count;
        Ok(count)
    }

    fn take_physical(&mut self, address: u64, length: usize) -> TryResult<usize> {
        let count = self.source.take_physical(address, length.min(self.limit))?;
        self.limit -= count;
        Ok(count)
    }
}

/// Zero bytes as a source.
pub struct Zeros<'a> {
    memory: &'a PhysicalMemory,
    left: usize,
}

impl<'a> Zeros<'a> {
    /// `count` zero bytes, for `memory`.
    pub const fn new(memory: &'a PhysicalMemory, count: usize) -> Self {
        Self { memory, left: count }
    }
}

impl Source for Zeros<'_> {
    fn remaining(&self) -> usize {
        self.left
    }

    fn take(&mut self, bytes: &mut [u8]) -> TryResult<usize> {
        let length = bytes.len().min(self.left);
        bytes.get_mut(..length).unwrap_or_default().fill(0);
        self.left -= length;
        Ok(length)
    }

    fn take_physical(&mut self, address: u64, length: usize) -> TryResult<usize> {
        let length = length.min(self.left);
        self.memory.zero(address, length).map_err(|_| Errno::EFAULT)?;
        self.left -= length;
        Ok(length)
    }
}

/// A kernel buffer as a destination.
pub struct Buffer<'a> {
    memory: &'a PhysicalMemory,
    bytes: &'a mut [u8],
    filled: usize,
}

impl<'a> Buffer<'a> {
    /// Fills `bytes` from the front; page-cache frames are of `memory`.
    pub const fn new(memory: &'a PhysicalMemory, bytes: &'a mut [u8]) -> Self {
        Self { memory, bytes, filled: 0 }
    }

    /// The next `length` bytes to fill, or what is left.
    fn space(&mut self, length: usize) -> &mut [u8] {
        let end = self.filled.saturating_add(length).min(self.bytes.len());
        self.bytes.get_mut(self.filled..end).unwrap_or_default()
    }
}

impl Destination for Buffer<'_> {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.filled
    }

    fn put(&mut self, bytes: &[u8]) -> TryResult<usize> {
        let space = self.space(bytes.len());
        space.copy_from_slice(bytes.get(..space.len()).unwrap_or_default());
        let count = space.len();
        self.filled += count;
        Ok(count)
    }

    fn put_physical(&mut self, address: u64, length: usize) -> TryResult<usize> {
        let memory = self.memory;
        let space = self.space(length);
        memory.read(address, space).map_err(|_| Errno::EFAULT)?;
        let count = space.len();
        self.filled += count;
        Ok(count)
    }

    fn put_zeros(&mut self, length: usize) -> TryResult<usize> {
        let space = self.space(length);
        space.fill(0);
        let count = space.len();
        self.filled += count;
        Ok(count)
    }
}

/// A kernel buffer as a source.
pub struct Bytes<'a> {
    memory: &'a PhysicalMemory,
    left: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// Gives `bytes`; page-cache frames are of `memory`.
    pub const fn new(memory: &'a PhysicalMemory, bytes: &'a [u8]) -> Self {
        Self { memory, left: bytes }
    }

    fn next(&mut self, length: usize) -> &'a [u8] {
        let (now, later) = self.left.split_at(length.min(self.left.len()));
        self.left = later;
        now
    }
}

impl Source for Bytes<'_> {
    fn remaining(&self) -> usize {
        self.left.len()
    }

    fn take(&mut self, bytes: &mut [u8]) -> TryResult<usize> {
        let now = self.next(bytes.len());
        bytes.get_mut(..now.len()).unwrap_or_default().copy_from_slice(now);
        Ok(now.len())
    }

    fn take_physical(&mut self, address: u64, length: usize) -> TryResult<usize> {
        let now = self.next(length);
        self.memory.write(address, now).map_err(|_| Errno::EFAULT)?;
        Ok(now.len())
    }
}

/// A run of physical memory, such as a frame, as a destination.
pub struct PhysicalRun<'a> {
    memory: &'a PhysicalMemory,
    address: u64,
    left: usize,
}

impl<'a> PhysicalRun<'a> {
    /// `length` bytes of `memory` from `address`.
    pub const fn new(memory: &'a PhysicalMemory, address: u64, length: usize) -> Self {
        Self { memory, address, left: length }
    }

    fn advance(&mut self, count: usize) -> TryResult<usize> {
        self.address += count as u64;
        self.left -= count;
        Ok(count)
    }
}

impl Destination for PhysicalRun<'_> {
    fn remaining(&self) -> usize {
        self.left
    }

    fn put(&mut self, bytes: &[u8]) -> TryResult<usize> {
        let now = bytes.get(..bytes.len().min(self.left)).unwrap_or_default();
        self.memory.write(self.address, now).map_err(|_| Errno::EFAULT)?;
        self.advance(now.len())
    }

    fn put_physical(&mut self, address: u64, length: usize) -> TryResult<usize> {
        let length = length.min(self.left);
        self.memory.copy(address, self.address, length).map_err(|_| Errno::EFAULT)?;
        self.advance(length)
    }

    fn put_zeros(&mut self, length: usize) -> TryResult<usize> {
        let length = length.min(self.left);
        self.memory.zero(self.address, length).map_err(|_| Errno::EFAULT)?;
        self.advance(length)
    }
}
