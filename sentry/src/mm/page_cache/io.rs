//! Reading and writing a cached file, without waiting.

use smallvec::SmallVec;

use super::*;
use crate::{
    errno::Errno,
    io::{Destination, Source, TryError, TryResult},
    vfs::{WritePosition, Written},
};

/// Pages found under one acquisition of the lock.
const BATCH: usize = 16;

/// Largest size of a file: offsets are signed.
const MAX_SIZE: u64 = i64::MAX.unsigned_abs();

impl PageCache {
    /// Reads from `offset`; 0 at or past the end of the file.
    ///
    /// # Errors
    /// [`TryError::NotResident`] if the first page is missing and has to be fetched, and those of
    /// `destination`.
    pub fn try_read(&self, offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        let mut done = 0;
        loop {
            let left = self.size().saturating_sub(offset + done as u64);
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(destination.remaining());
            if wanted == 0 {
                return Ok(done);
            }
            match self.read_batch(offset + done as u64, wanted, destination) {
                Ok(count @ 1..) => done += count,
                Ok(0) | Err(_) if done > 0 => return Ok(done),
                other => return other,
            }
        }
    }

    /// Reads from at most [`BATCH`] pages.
    fn read_batch(
        &self,
        offset: u64,
        wanted: usize,
        destination: &mut dyn Destination,
    ) -> TryResult<usize> {
        let batch = self.find_batch(offset, wanted);
        if batch.is_empty() {
            return Err(TryError::NotResident { offset, length: wanted });
        }
        let mut done = 0;
        for frame in batch {
            let in_page = (offset + done as u64) % PAGE;
            let length = (PAGE_SIZE - in_page as usize).min(wanted - done);
            let put = match frame {
                Some(frame) => destination.put_physical(frame.address() + in_page, length),
                None => destination.put_zeros(length),
            };
            match put {
                Ok(count) => done += count,
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
            if !(offset + done as u64).is_multiple_of(PAGE) {
                break;
            }
        }
        Ok(done)
    }

    /// The pages from `offset` on, up to the first that is not at hand; `None` is a hole.
    fn find_batch(&self, offset: u64, wanted: usize) -> SmallVec<[Option<FrameRef>; BATCH]> {
        let first = offset / PAGE;
        let last = (offset + wanted as u64 - 1) / PAGE;
        let state = self.state.lock();
        (first..=last)
            .take(BATCH)
            .map(|index| self.reference(&state, index))
            .take_while(|page| page.is_some() || !self.has_backing())
            .collect()
    }

    /// Writes, extending the file if need be.
    ///
    /// # Errors
    /// [`TryError::NotResident`] if a page that is written in part has to be fetched, EFBIG,
    /// ENOMEM (ENOSPC is the file system's to judge), and those of `source`.
    pub fn try_write(
        &self,
        position: WritePosition,
        source: &mut dyn Source,
    ) -> TryResult<Written> {
        let _writing = self.writing.lock();
        let start = match position {
            WritePosition::At(offset) => offset,
            WritePosition::End => self.size(),
        };
        if start >= MAX_SIZE && source.remaining() > 0 {
            return Err(Errno::EFBIG.into());
        }
        self.zero_tail_up_to(start);
        let mut count = 0;
        while source.remaining() > 0 && start + (count as u64) < MAX_SIZE {
            match self.write_page(start + count as u64, source) {
                Ok(0) => break,
                Ok(written) => count += written,
                Err(error) if count == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(Written { count, end: start + count as u64 })
    }

    /// Writes into the page at `offset`.
    fn write_page(&self, offset: u64, source: &mut dyn Source) -> TryResult<usize> {
        let (index, in_page) = (offset / PAGE, offset % PAGE);
        let length = (PAGE_SIZE - in_page as usize).min(source.remaining());
        let resident = self.reference(&self.state.lock(), index);
        let count = match resident {
            Some(frame) => source.take_physical(frame.address() + in_page, length)?,
            None => self.write_new_page(offset, length, source)?,
        };
        let mut state = self.state.lock();
        state.pages.mark_dirty(index);
        self.size.fetch_max(offset + count as u64, Ordering::AcqRel);
        Ok(count)
    }

    /// Writes `length` bytes at `offset` into a page that is not resident.
    fn write_new_page(
        &self,
        offset: u64,
        length: usize,
        source: &mut dyn Source,
    ) -> TryResult<usize> {
        let (index, in_page) = (offset / PAGE, offset % PAGE);
        let is_whole = length == PAGE_SIZE;
        if self.has_backing() && !is_whole && index * PAGE < self.size() {
            return Err(TryError::NotResident { offset: index * PAGE, length: PAGE_SIZE });
        }
        let frame = if is_whole {
            self.frames.allocate_for_overwrite(0)?.into_first()
        } else {
            self.frames.allocate_one()?
        };
        let count = source.take_physical(frame.address() + in_page, length)?;
        let memory = self.frames.memory();
        if is_whole {
            if count < PAGE_SIZE && self.has_backing() && index * PAGE < self.size() {
                // The rest of the page is in the backing; nothing was written yet.
                return Err(TryError::NotResident { offset: index * PAGE, length: PAGE_SIZE });
            }
            let rest = memory.zero(frame.address() + count as u64, PAGE_SIZE - count);
            rest.map_err(|_| Errno::EIO)?;
        }
        let resident = self.insert(&mut self.state.lock(), index, frame.clone());
        if resident.frame() != frame.frame() {
            // A mapping brought the page in meanwhile.
            let (from, to) = (frame.address() + in_page, resident.address() + in_page);
            memory.copy(from, to, count).map_err(|_| Errno::EIO)?;
        }
        Ok(count)
    }
}
