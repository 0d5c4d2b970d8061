//! Scattered buffers in a window.
#![allow(
    unsafe_code,
    reason = "leaf module: file I/O straight into memory that is shared with the driver"
)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use smallvec::SmallVec;
use vm_memory::{GuestAddress, GuestMemory, GuestMemoryBackend, Permissions, VolatileSlice};

use super::Window;

/// An access past the end of the buffers, or a buffer outside the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds;

/// One contiguous buffer.
#[derive(Clone, Copy, Debug)]
struct Range {
    address: GuestAddress,
    length: usize,
}

/// A list of buffers that reads and writes as if it were one. The driver may change the bytes at
/// any time, so there is no access to them other than by copy, by value or by system call.
#[derive(Debug)]
pub struct Buffers {
    window: Window,
    ranges: SmallVec<[Range; 8]>,
    length: usize,
}

impl Buffers {
    pub(super) fn new(window: Window) -> Self {
        Self { window, ranges: SmallVec::new(), length: 0 }
    }

    /// Appends the buffer of `length` bytes at `address`.
    pub(super) fn push(&mut self, address: GuestAddress, length: u32) -> Result<(), OutOfBounds> {
        let length = usize::try_from(length).map_err(|_| OutOfBounds)?;
        let memory = &*self.window.memory;
        if !GuestMemory::check_range(memory, address, length, Permissions::ReadWrite) {
            return Err(OutOfBounds);
        }
        self.length = self.length.checked_add(length).ok_or(OutOfBounds)?;
        self.ranges.push(Range { address, length });
        Ok(())
    }

    /// Bytes of all buffers together.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is not a byte.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Copies the bytes from `offset` on into `destination`.
    ///
    /// # Errors
    /// [`OutOfBounds`] if there are fewer.
    pub fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfBounds> {
        let mut rest = destination;
        for slice in self.slices(offset, rest.len())? {
            let (part, behind) = rest.split_at_mut_checked(slice.len()).ok_or(OutOfBounds)?;
            slice.copy_to(part);
            rest = behind;
        }
        Ok(())
    }

    /// Copies `source` to the bytes from `offset` on.
    ///
    /// # Errors
    /// [`OutOfBounds`] if there are fewer; nothing is written then.
    pub fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfBounds> {
        let mut rest = source;
        for slice in self.slices(offset, rest.len())? {
            let (part, behind) = rest.split_at_checked(slice.len()).ok_or(OutOfBounds)?;
            slice.copy_from(part);
            rest = behind;
        }
        Ok(())
    }

    /// Reads up to `length` bytes at `position` of `file` (preadv(2)) into the bytes from `offset`
    /// on. Answers how many were read; fewer at end of file.
    ///
    /// # Errors
    /// Those of preadv(2); `EINVAL` if the range leaves the buffers or off_t.
    pub fn fill_from(
        &self,
        offset: usize,
        length: usize,
        file: impl AsFd,
        position: u64,
    ) -> io::Result<usize> {
        let (vectors, count) = self.vectors(offset, length)?;
        let position = file_position(position)?;
        // SAFETY: each vector is a range of the window (checked by `slices`), which stays mapped
        // as long as `self`; the window is no Rust object, so the kernel may write it.
        let result =
            unsafe { libc::preadv(file.as_fd().as_raw_fd(), vectors.as_ptr(), count, position) };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    /// Writes `length` bytes from `offset` on to `position` of `file` (pwritev(2)). Answers how
    /// many were written.
    ///
    /// # Errors
    /// Those of pwritev(2); `EINVAL` if the range leaves the buffers or off_t.
    pub fn drain_to(
        &self,
        offset: usize,
        length: usize,
        file: impl AsFd,
        position: u64,
    ) -> io::Result<usize> {
        let (vectors, count) = self.vectors(offset, length)?;
        let position = file_position(position)?;
        // SAFETY: as in `fill_from`; the kernel only reads the window.
        let result =
            unsafe { libc::pwritev(file.as_fd().as_raw_fd(), vectors.as_ptr(), count, position) };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    /// The bytes from `offset` to `offset + length` as slices of the window.
    fn slices(
        &self,
        offset: usize,
        length: usize,
    ) -> Result<SmallVec<[VolatileSlice<'_>; 8]>, OutOfBounds> {
        let end = offset.checked_add(length).ok_or(OutOfBounds)?;
        if end > self.length {
            return Err(OutOfBounds);
        }
        let memory = &*self.window.memory;
        let mut slices = SmallVec::new();
        let mut start = 0;
        for range in &self.ranges {
            let skip = offset.saturating_sub(start).min(range.length);
            let take = end.saturating_sub(start).min(range.length).saturating_sub(skip);
            if take > 0 {
                let slice = memory.get_slice(range.address, range.length);
                let slice = slice.and_then(|slice| Ok(slice.subslice(skip, take)?));
                slices.push(slice.map_err(|_| OutOfBounds)?);
            }
            start += range.length;
        }
        Ok(slices)
    }

    /// The same bytes as the kernel takes them (readv(2)); at most a queue's size of vectors,
    /// which is below its limit IOV_MAX.
    fn vectors(
        &self,
        offset: usize,
        length: usize,
    ) -> io::Result<(SmallVec<[libc::iovec; 8]>, libc::c_int)> {
        let slices = self.slices(offset, length).map_err(|_| invalid_argument())?;
        let vectors: SmallVec<[libc::iovec; 8]> = slices
            .iter()
            .map(|slice| libc::iovec {
                iov_base: slice.ptr_guard_mut().as_ptr().cast(),
                iov_len: slice.len(),
            })
            .collect();
        let count = libc::c_int::try_from(vectors.len()).map_err(|_| invalid_argument())?;
        Ok((vectors, count))
    }
}

fn invalid_argument() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

fn file_position(position: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(position).map_err(|_| invalid_argument())
}
