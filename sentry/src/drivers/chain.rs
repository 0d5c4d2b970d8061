//! What one request gives to a device.

use guest_abi::virtqueue::DescriptorFlags;
use smallvec::SmallVec;

use super::Buffer;
use crate::errno::{Errno, Result};

/// A buffer and which of its bytes the device reads and writes: first `readable` bytes to read,
/// then, 8-byte aligned, `writable` bytes to write.
#[derive(Debug)]
pub struct Part {
    buffer: Buffer,
    readable: usize,
    writable: usize,
}

impl Part {
    /// A part of `buffer`.
    ///
    /// # Errors
    /// EMSGSIZE if the buffer is too small.
    pub fn new(buffer: Buffer, readable: usize, writable: usize) -> Result<Self> {
        let part = Self { buffer, readable, writable };
        let writable_offset = readable.checked_next_multiple_of(8);
        let end = writable_offset.and_then(|offset| offset.checked_add(writable));
        match end {
            Some(end)
                if end <= part.buffer.size()
                    || (writable == 0 && readable <= part.buffer.size()) =>
            {
                Ok(part)
            }
            _ => Err(Errno::EMSGSIZE),
        }
    }

    /// The buffer.
    pub const fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The buffer, to be used for something else.
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// Bytes the device reads, from offset 0.
    pub const fn readable(&self) -> usize {
        self.readable
    }

    /// Bytes the device writes, from [`Self::writable_offset`].
    pub const fn writable(&self) -> usize {
        self.writable
    }

    /// Offset of the bytes that the device writes.
    pub const fn writable_offset(&self) -> usize {
        self.readable.next_multiple_of(8)
    }
}

/// The buffers of one request, in order.
#[derive(Debug, Default)]
pub struct Chain {
    /// The parts. The device sees all readable bytes first, then all writable ones.
    pub parts: SmallVec<[Part; 2]>,
}

/// One descriptor to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) address: u64,
    pub(super) length: u32,
    pub(super) flags: DescriptorFlags,
}

impl Chain {
    /// A chain of one part.
    pub fn of(part: Part) -> Self {
        let mut chain = Self::default();
        chain.parts.push(part);
        chain
    }

    /// Bytes the device may write.
    pub fn writable(&self) -> usize {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.writable))
    }

    /// The descriptors, without their links.
    pub(super) fn segments(&self) -> Result<SmallVec<[Segment; 4]>> {
        let mut segments = SmallVec::new();
        for part in self.parts.iter().filter(|part| part.readable > 0) {
            segments.push(segment(part, 0, part.readable, DescriptorFlags::empty())?);
        }
        for part in self.parts.iter().filter(|part| part.writable > 0) {
            let offset = part.writable_offset();
            segments.push(segment(part, offset, part.writable, DescriptorFlags::WRITE)?);
        }
        Ok(segments)
    }
}

fn segment(part: &Part, offset: usize, length: usize, flags: DescriptorFlags) -> Result<Segment> {
    Ok(Segment {
        address: part.buffer.locate(offset, length)?,
        length: u32::try_from(length).map_err(|_| Errno::EMSGSIZE)?,
        flags,
    })
}
