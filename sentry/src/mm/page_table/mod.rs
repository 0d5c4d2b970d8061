//! The page table of an address space: x86-64, four levels, in frames of sandbox memory.
//!
//! The format is the same on all platforms. Under KVM the processor walks it; elsewhere it is the
//! sentry's record of what is mapped, and the platform is told of changes. The lower half of the
//! root is ours; the upper half is the platform's and never touched.

mod entry;
mod recent_leaf;

pub use entry::Entry;

use alloc::sync::Arc;
use core::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use smallvec::SmallVec;

use self::recent_leaf::RecentLeaf;
use crate::{
    errno::Result,
    memory::{Frame, FrameAllocator, FrameRef, PAGE_SIZE},
};

const PAGE: u64 = PAGE_SIZE as u64;
const ENTRIES: u64 = 512;
const ROOT_LEVEL: u32 = 3;

/// Number of bytes that one leaf table maps: 2 MiB.
pub const LEAF_SPAN: u64 = span(1);

/// A page table. It owns one reference to each frame that an entry holds.
pub struct PageTable {
    frames: Arc<FrameAllocator>,
    root: Frame,
    recent_leaf: RecentLeaf,
    counts: Counts,
}

/// What is in a page table.
#[derive(Default)]
struct Counts {
    private: u64,
    file: u64,
    peak: u64,
    tables: u64,
}

impl Counts {
    fn add(&mut self, entry: Entry) {
        if entry.is_private() {
            self.private += 1;
        } else if !entry.is_empty() {
            self.file += 1;
        }
        self.peak = self.peak.max(self.private + self.file);
    }

    const fn remove(&mut self, entry: Entry) {
        if entry.is_private() {
            self.private -= 1;
        } else if !entry.is_empty() {
            self.file -= 1;
        }
    }
}

/// Number of bytes that one entry of a table at `level` maps; level 0 maps pages.
const fn span(level: u32) -> u64 {
    PAGE << (9 * level)
}

/// Physical address of the entry for `address` in the table at `table`.
const fn entry_address(table: u64, level: u32, address: u64) -> u64 {
    table + (address / span(level)) % ENTRIES * 8
}

impl PageTable {
    /// An empty page table.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(frames: &Arc<FrameAllocator>) -> Result<Self> {
        let root = frames.allocate_one()?.into_frame();
        Ok(Self {
            frames: frames.clone(),
            root,
            recent_leaf: RecentLeaf::default(),
            counts: Counts::default(),
        })
    }

    /// The frame of the root table (CR3).
    pub const fn root(&self) -> Frame {
        self.root
    }

    /// Number of private pages it holds.
    pub const fn private_pages(&self) -> u64 {
        self.counts.private
    }

    /// Number of pages of files it holds.
    pub const fn file_pages(&self) -> u64 {
        self.counts.file
    }

    /// Largest number of pages it ever held.
    pub const fn peak_pages(&self) -> u64 {
        self.counts.peak
    }

    /// Number of frames that the table itself takes.
    pub const fn table_frames(&self) -> u64 {
        self.counts.tables + 1
    }

    /// The entry for `address`; empty if there is no table for it.
    #[inline]
    pub fn get(&self, address: u64) -> Entry {
        // A copy, so that the walk keeps it in registers.
        let ram = self.frames.memory().ram();
        let load = |table, level| {
            let slot = ram.atomic_u64(entry_address(table, level, address));
            Entry::from_raw(slot.map_or(0, |slot| slot.load(Ordering::Acquire)))
        };
        if let Some(leaf) = self.recent_leaf.find(address) {
            return load(leaf, 0);
        }
        let mut table = self.root.address();
        for level in (1..=ROOT_LEVEL).rev() {
            let Some(next) = load(table, level).table_address() else { return Entry::default() };
            table = next;
        }
        self.recent_leaf.note(address, table);
        load(table, 0)
    }

    /// Makes room for an entry for `address`, so that [`Self::set`] cannot fail.
    ///
    /// # Errors
    /// ENOMEM if a table cannot be allocated.
    pub fn prepare(&mut self, address: u64) -> Result<()> {
        self.leaf(address).map(drop)
    }

    /// Stores `entry`, whose reference to its frame now belongs to the table, for `address`. The
    /// reference of the entry that was there goes to the caller.
    ///
    /// # Errors
    /// ENOMEM if a table cannot be allocated; the reference stays the caller's.
    pub fn set(&mut self, address: u64, entry: Entry) -> Result<Option<FrameRef>> {
        let leaf = self.leaf(address)?;
        let Some(slot) = self.slot(entry_address(leaf, 0, address)) else { return Ok(None) };
        let old = Entry::from_raw(slot.swap(entry.raw(), Ordering::AcqRel));
        self.counts.remove(old);
        self.counts.add(entry);
        Ok(old.frame().map(|frame| self.frames.adopt(frame)))
    }

    /// Empties the entry for `address`; its reference goes to the caller.
    pub fn take(&mut self, address: u64) -> Option<FrameRef> {
        if self.get(address).is_empty() {
            return None;
        }
        self.set(address, Entry::default()).ok().flatten()
    }

    /// Visits the entries in `range` that are not empty, in order.
    pub fn for_each(&self, range: Range<u64>, mut visit: impl FnMut(u64, Entry)) {
        self.walk(self.root.address(), ROOT_LEVEL, range, &mut |address, slot| {
            visit(address, Entry::from_raw(slot.load(Ordering::Acquire)));
        });
    }

    /// Replaces each entry in `range` that is not empty by what `change` makes of it. The frame
    /// must stay the same.
    pub fn update(&mut self, range: Range<u64>, mut change: impl FnMut(u64, Entry) -> Entry) {
        self.walk(self.root.address(), ROOT_LEVEL, range, &mut |address, slot| {
            let old = Entry::from_raw(slot.load(Ordering::Acquire));
            let new = change(address, old);
            if new != old {
                slot.store(new.raw(), Ordering::Release);
            }
        });
    }

    /// Empties all entries in `range` and drops their references.
    pub fn clear(&mut self, range: Range<u64>) {
        let mut counts = core::mem::take(&mut self.counts);
        self.walk(self.root.address(), ROOT_LEVEL, range, &mut |_, slot| {
            let old = Entry::from_raw(slot.swap(0, Ordering::AcqRel));
            counts.remove(old);
            old.frame().into_iter().for_each(|frame| self.frames.release(frame));
        });
        self.counts = counts;
    }

    /// Takes out the leaf tables that map only addresses in `range`, where all entries must be
    /// empty. They may be freed once no processor walks them any more.
    pub fn detach_tables(&mut self, range: Range<u64>) -> SmallVec<[FrameRef; 4]> {
        let mut detached = SmallVec::new();
        let whole = range.start.next_multiple_of(LEAF_SPAN)..range.end / LEAF_SPAN * LEAF_SPAN;
        self.detach_below(self.root.address(), ROOT_LEVEL, whole, &mut detached);
        self.recent_leaf = RecentLeaf::default();
        self.counts.tables -= detached.len() as u64;
        detached
    }

    fn detach_below(
        &self,
        table: u64,
        level: u32,
        range: Range<u64>,
        detached: &mut SmallVec<[FrameRef; 4]>,
    ) {
        let mut address = range.start;
        while address < range.end {
            let next = (address / span(level) + 1) * span(level);
            let entry = entry_address(table, level, address);
            if let Some(below) = self.load(entry).table_address() {
                if level > 1 {
                    self.detach_below(below, level - 1, address..next.min(range.end), detached);
                } else if let Some((slot, frame)) = self.slot(entry).zip(Frame::containing(below)) {
                    slot.store(0, Ordering::Release);
                    detached.push(self.frames.adopt(frame));
                }
            }
            address = next;
        }
    }

    fn slot(&self, address: u64) -> Option<&AtomicU64> {
        self.frames.memory().atomic_u64(address).ok()
    }

    #[inline]
    fn load(&self, address: u64) -> Entry {
        let raw = self.slot(address).map_or(0, |slot| slot.load(Ordering::Acquire));
        Entry::from_raw(raw)
    }

    /// Physical address of the leaf table for `address`, which is made if missing.
    fn leaf(&mut self, address: u64) -> Result<u64> {
        if let Some(leaf) = self.recent_leaf.find(address) {
            return Ok(leaf);
        }
        let mut table = self.root.address();
        for level in (1..=ROOT_LEVEL).rev() {
            table = self.descend(entry_address(table, level, address))?;
        }
        self.recent_leaf.note(address, table);
        Ok(table)
    }

    /// The table that the entry at `address` points to; made if missing.
    fn descend(&mut self, address: u64) -> Result<u64> {
        if let Some(table) = self.load(address).table_address() {
            return Ok(table);
        }
        let table = self.frames.allocate_one()?.into_frame();
        self.counts.tables += 1;
        if let Some(slot) = self.slot(address) {
            slot.store(Entry::table(table).raw(), Ordering::Release);
        }
        Ok(table.address())
    }

    /// Visits the slots of the entries in `range` that are not empty, below the table at `table`.
    fn walk(
        &self,
        table: u64,
        level: u32,
        range: Range<u64>,
        visit: &mut dyn FnMut(u64, &AtomicU64),
    ) {
        let mut address = range.start;
        while address < range.end {
            let next = (address / span(level) + 1) * span(level);
            let entry = entry_address(table, level, address);
            if level > 0 {
                if let Some(below) = self.load(entry).table_address() {
                    self.walk(below, level - 1, address..next.min(range.end), visit);
                }
            } else if let Some(slot) = self.slot(entry)
                && !Entry::from_raw(slot.load(Ordering::Relaxed)).is_empty()
            {
                visit(address, slot);
            }
            address = next;
        }
    }

    /// Frees the tables below the table at `table`, and what their entries hold.
    fn free(&self, table: u64, level: u32, entries: u64) {
        for index in 0..entries {
            let entry = self.load(table + index * 8);
            if level == 0 {
                entry.frame().into_iter().for_each(|frame| self.frames.release(frame));
            } else if let Some(below) = entry.table_address() {
                self.free(below, level - 1, ENTRIES);
                Frame::containing(below).into_iter().for_each(|frame| self.frames.release(frame));
            }
        }
    }
}

impl Drop for PageTable {
    fn drop(&mut self) {
        self.free(self.root.address(), ROOT_LEVEL, ENTRIES / 2);
        self.frames.release(self.root);
    }
}

#[cfg(test)]
mod tests;
