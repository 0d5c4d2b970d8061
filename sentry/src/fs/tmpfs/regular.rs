//! Regular files of tmpfs: a page cache, a limit, and seals.

use alloc::{boxed::Box, sync::Arc};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use async_trait::async_trait;
use bitflags::bitflags;

use super::{Store, TmpfsInode};
use crate::{
    errno::{Errno, Result},
    io::{Destination, Limited, Source, TryError, TryResult, Zeros},
    memory::{PAGE_SIZE, PhysicalMemory},
    mm::PageCache,
    vfs::{File, WritePosition, Written, without_waiting},
};

bitflags! {
    /// What may no longer be done to a file (fcntl(2) F_ADD_SEALS).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Seals: u32 {
        /// No further seals (F_SEAL_SEAL).
        const SEAL = 1;
        /// Not smaller (F_SEAL_SHRINK).
        const SHRINK = 2;
        /// Not larger (F_SEAL_GROW).
        const GROW = 4;
        /// Not written (F_SEAL_WRITE).
        const WRITE = 8;
        /// Not written, but by mappings that exist (F_SEAL_FUTURE_WRITE).
        const FUTURE_WRITE = 16;
        /// Execute permission stays as it is (F_SEAL_EXEC).
        const EXECUTE = 32;
    }
}

/// FALLOC_FL_KEEP_SIZE of fallocate(2).
const KEEP_SIZE: u32 = 1;
/// FALLOC_FL_PUNCH_HOLE.
const PUNCH_HOLE: u32 = 2;
/// FALLOC_FL_ZERO_RANGE.
const ZERO_RANGE: u32 = 16;

const PAGE: u64 = PAGE_SIZE as u64;

/// The contents of a regular file.
pub(super) struct Contents {
    cache: Arc<PageCache>,
    /// Bytes from the start that the backing of the cache still supplies, if it has one.
    backed: Option<Arc<AtomicU64>>,
    /// Pages counted against the limit of the store.
    counted: AtomicU64,
    seals: AtomicU32,
}

impl Contents {
    /// No contents.
    pub fn new(store: &Store) -> Self {
        Self::with(PageCache::new(store.frames.clone(), 0, None), None)
    }

    /// The contents of `cache`, whose backing supplies the first `backed` bytes.
    pub const fn of_cache(cache: Arc<PageCache>, backed: Arc<AtomicU64>) -> Self {
        Self::with(cache, Some(backed))
    }

    const fn with(cache: Arc<PageCache>, backed: Option<Arc<AtomicU64>>) -> Self {
        Self {
            cache,
            backed,
            counted: AtomicU64::new(0),
            seals: AtomicU32::new(Seals::SEAL.bits()),
        }
    }

    /// The pages.
    pub const fn cache(&self) -> &Arc<PageCache> {
        &self.cache
    }

    /// Number of pages in memory.
    fn pages(&self) -> u64 {
        self.cache.resident_pages()
    }

    /// Number of pages the file consists of, holes not counted.
    pub fn occupied_pages(&self) -> u64 {
        match self.backed {
            Some(_) => self.cache.size().div_ceil(PAGE),
            None => self.pages(),
        }
    }

    /// The seals.
    pub fn seals(&self) -> Seals {
        Seals::from_bits_truncate(self.seals.load(Ordering::Acquire))
    }

    /// Makes the number counted against the limit that of the pages in memory.
    pub fn recount(&self, store: &Store) {
        let now = self.pages();
        store.recount(self.counted.swap(now, Ordering::AcqRel), now);
    }

    /// Counts nothing against the limit any more.
    pub fn uncount(&self, store: &Store) {
        store.recount(self.counted.swap(0, Ordering::AcqRel), 0);
    }

    /// Sets the size.
    ///
    /// # Errors
    /// EPERM if a seal forbids it; EFBIG.
    pub fn set_size(&self, store: &Store, size: u64) -> Result<()> {
        if size > i64::MAX.unsigned_abs() {
            return Err(Errno::EFBIG);
        }
        let (seals, old) = (self.seals(), self.cache.size());
        let shrinks = size < old && seals.contains(Seals::SHRINK);
        if shrinks || size > old && seals.contains(Seals::GROW) {
            return Err(Errno::EPERM);
        }
        if size != old {
            if let Some(backed) = &self.backed {
                backed.fetch_min(size, Ordering::AcqRel);
            }
            self.cache.truncate(size);
            self.recount(store);
        }
        Ok(())
    }

    /// Makes `length` bytes from `offset` zero, as far as the file reaches.
    async fn clear(&self, memory: &PhysicalMemory, offset: u64, length: u64) -> Result<()> {
        if self.backed.is_none() {
            self.cache.punch_hole(offset, length);
            return Ok(());
        }
        let mut at = offset;
        let end = offset.saturating_add(length).min(self.cache.size());
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX);
            let mut zeros = Zeros::new(memory, length);
            match self.cache.try_write(WritePosition::At(at), &mut zeros) {
                Ok(written) => at = written.end,
                Err(TryError::NotResident { offset, length }) => {
                    self.cache.fetch(offset, length).await?;
                }
                Err(error) => return without_waiting(Err(error)),
            }
        }
        Ok(())
    }

    /// Fails with EPERM if writing up to `end` is sealed.
    fn check_write(&self, end: u64) -> Result<()> {
        let seals = self.seals();
        let grows = seals.contains(Seals::GROW) && end > self.cache.size();
        if grows || seals.intersects(Seals::WRITE | Seals::FUTURE_WRITE) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Writes page by page while the limit has room or the page exists.
    fn write_scarce(
        &self,
        store: &Store,
        at: WritePosition,
        source: &mut dyn Source,
    ) -> TryResult<Written> {
        let start = match at {
            WritePosition::At(offset) => offset,
            WritePosition::End => self.cache.size(),
        };
        let mut end = start;
        while source.remaining() > 0 {
            self.recount(store);
            let room = store.free_pages() > 0 || self.cache.is_resident(end / PAGE);
            let in_page = usize::try_from(PAGE - end % PAGE).unwrap_or(PAGE_SIZE);
            let result = match room {
                true => {
                    let mut piece = Limited::new(source, in_page);
                    self.cache.try_write(WritePosition::At(end), &mut piece)
                }
                false => Err(Errno::ENOSPC.into()),
            };
            match result {
                Ok(written) if written.count > 0 => end = written.end,
                Err(error) if end == start => return Err(error),
                _ => break,
            }
        }
        let count = usize::try_from(end - start).unwrap_or(0);
        Ok(Written { count, end })
    }
}

/// An open regular file.
pub struct RegularFile {
    inode: Arc<TmpfsInode>,
}

impl RegularFile {
    /// The file of `inode`, which is regular.
    pub const fn new(inode: Arc<TmpfsInode>) -> Self {
        Self { inode }
    }

    /// Its seals (F_GET_SEALS).
    ///
    /// # Errors
    /// EINVAL if it is no regular file.
    pub fn seals(&self) -> Result<Seals> {
        Ok(self.inode.contents()?.seals())
    }

    /// Adds seals (F_ADD_SEALS).
    ///
    /// # Errors
    /// EPERM if further seals are sealed.
    pub fn add_seals(&self, seals: Seals) -> Result<()> {
        let contents = self.inode.contents()?;
        if contents.seals().contains(Seals::SEAL) {
            return Err(Errno::EPERM);
        }
        contents.seals.fetch_or(seals.bits(), Ordering::AcqRel);
        Ok(())
    }

    /// Lifts the seal that every file but a memfd made with MFD_ALLOW_SEALING has.
    pub fn allow_seals(&self) {
        if let Ok(contents) = self.inode.contents() {
            contents.seals.store(0, Ordering::Release);
        }
    }
}

#[async_trait]
impl File for RegularFile {
    fn try_read(&self, offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        self.inode.contents()?.cache.try_read(offset, destination)
    }

    fn try_write(&self, at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        let (contents, store) = (self.inode.contents()?, &self.inode.store);
        let start = match at {
            WritePosition::At(offset) => offset,
            WritePosition::End => contents.cache.size(),
        };
        let length = source.remaining() as u64;
        contents.check_write(start.saturating_add(length))?;
        let written = if store.free_pages() > length / PAGE + 2 {
            contents.cache.try_write(at, source)?
        } else {
            contents.write_scarce(store, at, source)?
        };
        contents.recount(store);
        if written.count > 0 {
            self.inode.touch();
        }
        Ok(written)
    }

    async fn fetch(&self, offset: u64, length: usize) -> Result<()> {
        self.inode.contents()?.cache.fetch(offset, length).await
    }

    fn is_seekable(&self) -> bool {
        true
    }

    async fn seek_data(&self, offset: u64, data: bool) -> Result<u64> {
        let contents = self.inode.contents()?;
        if contents.backed.is_none() {
            return contents.cache.seek_data(offset, data).ok_or(Errno::ENXIO);
        }
        // What the backing supplies counts as data, holes or not.
        let size = contents.cache.size();
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        Ok(if data { offset } else { size })
    }

    fn page_cache(&self) -> Result<Arc<PageCache>> {
        self.inode.page_cache().cloned()
    }

    async fn sync(&self, _data_only: bool) -> Result<()> {
        Ok(())
    }

    async fn allocate(&self, mode: u32, offset: u64, length: u64) -> Result<()> {
        let (contents, store) = (self.inode.contents()?, &self.inode.store);
        let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
        contents.check_write(if mode & KEEP_SIZE == 0 { end } else { 0 })?;
        let memory = store.platform.memory();
        match mode & !KEEP_SIZE {
            0 => {
                if store.free_pages() < length.div_ceil(PAGE) {
                    return Err(Errno::ENOSPC);
                }
                contents.cache.fetch(offset, usize::try_from(length).unwrap_or(0)).await?;
                contents.cache.populate(offset, length).map_err(|_| Errno::ENOSPC)?;
            }
            PUNCH_HOLE if mode & KEEP_SIZE != 0 => contents.clear(memory, offset, length).await?,
            ZERO_RANGE => contents.clear(memory, offset, length).await?,
            _ => return Err(Errno::EOPNOTSUPP),
        }
        if mode & KEEP_SIZE == 0 && end > contents.cache.size() {
            contents.set_size(store, end)?;
        }
        contents.recount(store);
        self.inode.touch();
        Ok(())
    }
}
