//! Reading pages from the backing, and reading ahead.

use alloc::vec::Vec;

use super::*;
use crate::kernel::PollEvents;

/// Pages read at once where no pattern is known (64 KiB).
const FIRST_WINDOW: u64 = 16;

/// Most pages read at once by a sequential reader (512 KiB).
const LARGEST_WINDOW: u64 = 128;

/// Recognises sequential reading.
#[derive(Default)]
pub(super) struct Readahead {
    /// The page after the last one read.
    next: u64,
    window: u64,
}

impl Readahead {
    /// Number of pages to read from `index` on, of which `wanted` are needed.
    fn plan(&mut self, index: u64, wanted: u64) -> u64 {
        let sequential = index == self.next && self.window > 0;
        let window = if sequential { self.window * 2 } else { FIRST_WINDOW };
        self.window = window.clamp(FIRST_WINDOW, LARGEST_WINDOW);
        let pages = wanted.max(self.window);
        self.next = index + pages;
        pages
    }
}

/// Pages being read. Dropping it, also when the reader goes away half-way, lets others try.
struct Fetch<'a> {
    cache: &'a PageCache,
    range: Range<u64>,
    frames: Vec<FrameRef>,
    generation: u64,
}

enum Step<'a> {
    Done,
    /// Somebody else reads this page.
    Wait(u64),
    Read(Fetch<'a>),
}

impl PageCache {
    /// Makes `length` bytes from `offset` resident, and more if that looks useful. What is past
    /// the end of the file is ignored.
    ///
    /// # Errors
    /// ENOMEM, and those of [`PageBacking::read_pages`].
    pub async fn fetch(&self, offset: u64, length: usize) -> Result<()> {
        let Some(backing) = &self.backing else { return Ok(()) };
        let needed = self.pages_of(offset, length);
        let mut start = needed.start;
        loop {
            match self.next_step(start, &needed) {
                Step::Done => return Ok(()),
                Step::Wait(index) => {
                    let finished = || (!self.state.lock().pages.is_fetching(index)).then_some(());
                    self.fetched.wait_until(PollEvents::IN, finished).await;
                    start = index;
                }
                Step::Read(mut fetch) => {
                    start = fetch.range.start;
                    while let Err(errno) = fetch.allocate() {
                        if !self.frames.relieve().await {
                            return Err(errno);
                        }
                    }
                    backing.read_pages(fetch.range.start, &fetch.frames).await?;
                    fetch.finish();
                }
            }
        }
    }

    /// The pages that hold `length` bytes from `offset` on, without those past the end.
    pub(super) fn pages_of(&self, offset: u64, length: usize) -> Range<u64> {
        let end = offset.saturating_add(length as u64).min(self.size());
        offset / PAGE..end.div_ceil(PAGE)
    }

    /// What to do to get the missing pages among `needed`, looking from `start` on.
    fn next_step(&self, start: u64, needed: &Range<u64>) -> Step<'_> {
        let mut state = self.state.lock();
        let file_end = self.size().div_ceil(PAGE);
        let missing =
            (start..needed.end.min(file_end)).find(|&index| state.pages.get(index).is_none());
        let Some(first) = missing else { return Step::Done };
        if state.pages.is_fetching(first) {
            return Step::Wait(first);
        }
        let planned = state.readahead.plan(first, needed.end - first);
        let most = first.saturating_add(planned).min(file_end);
        let absent =
            |index: &u64| state.pages.get(*index).is_none() && !state.pages.is_fetching(*index);
        let count = (first..most).take_while(absent).take(LARGEST_WINDOW as usize).count();
        let range = first..first + count as u64;
        range.clone().for_each(|index| state.pages.begin_fetch(index));
        Step::Read(Fetch { cache: self, range, frames: Vec::new(), generation: state.generation })
    }
}

impl Fetch<'_> {
    /// Gets frames to read into. Not with the cache locked, which may have to give up pages for it.
    ///
    /// # Errors
    /// ENOMEM.
    fn allocate(&mut self) -> Result<()> {
        let allocator = &self.cache.frames;
        self.frames.push(allocator.allocate_one()?);
        // Without memory for more, the needed page alone will do.
        let more = self.range.clone().skip(1).map_while(|_| allocator.allocate_one().ok());
        self.frames.extend(more);
        let unread = self.range.start + self.frames.len() as u64..self.range.end;
        self.range.end = unread.start;
        self.cache.state.lock().pages.end_fetch(&unread);
        self.cache.fetched.wake(PollEvents::IN);
        Ok(())
    }

    /// Adds what was read, unless the file has changed meanwhile; then it will be read again.
    fn finish(mut self) {
        let mut state = self.cache.state.lock();
        if state.generation == self.generation {
            for (index, frame) in self.range.clone().zip(self.frames.drain(..)) {
                self.cache.insert(&mut state, index, frame);
            }
        }
    }
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        self.cache.state.lock().pages.end_fetch(&self.range);
        self.cache.fetched.wake(PollEvents::IN);
    }
}
