//! Writing dirty pages back.

use alloc::vec::Vec;

use super::*;

/// Most pages written at once (256 KiB).
const BATCH: usize = 64;

/// Pages being written. Unless [`Flush::finish`]ed they are dirty again when it is dropped.
struct Flush<'a> {
    cache: &'a PageCache,
    range: Range<u64>,
    frames: Vec<FrameRef>,
    /// Bytes to write: the last page may be partly past the end of the file.
    length: usize,
}

impl PageCache {
    /// Writes the dirty pages among the bytes `range` to the backing. What is written to the file
    /// meanwhile may or may not be included.
    ///
    /// # Errors
    /// Those of [`PageBacking::write_pages`]; the pages that were not written stay dirty.
    pub async fn flush(&self, range: Range<u64>) -> Result<()> {
        let Some(backing) = self.backing.as_ref().filter(|backing| backing.is_writable()) else {
            return Ok(());
        };
        let mut pages = range.start / PAGE..range.end.div_ceil(PAGE);
        while let Some(flush) = self.begin_flush(&pages) {
            // Clean first, then closed to writers, then written: whoever writes from now on makes
            // the page dirty again.
            self.for_each_mapper(|mm| mm.protect_cache(self, &flush.range));
            if flush.length > 0 {
                backing.write_pages(flush.range.start, &flush.frames, flush.length).await?;
            }
            pages.start = flush.range.end;
            flush.finish();
        }
        Ok(())
    }

    /// Takes the first run of dirty pages in `range` and makes them clean.
    fn begin_flush(&self, range: &Range<u64>) -> Option<Flush<'_>> {
        let mut state = self.state.lock();
        let first = state.pages.next_dirty(range)?;
        let mut frames = Vec::new();
        for index in (first..range.end).take(BATCH) {
            if !state.pages.is_dirty(index) {
                break;
            }
            state.pages.mark_clean(index);
            frames.extend(self.reference(&state, index));
        }
        let left = self.size().saturating_sub(first * PAGE);
        let whole = frames.len() * PAGE_SIZE;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(whole);
        let range = first..first + frames.len() as u64;
        Some(Flush { cache: self, range, frames, length })
    }

    /// Whether a page is dirty.
    pub fn is_dirty(&self) -> bool {
        self.state.lock().pages.next_dirty(&(0..u64::MAX)).is_some()
    }
}

impl Flush<'_> {
    fn finish(mut self) {
        self.range.end = self.range.start;
    }
}

impl Drop for Flush<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.state.lock();
        self.range.clone().for_each(|index| state.pages.mark_dirty(index));
    }
}
