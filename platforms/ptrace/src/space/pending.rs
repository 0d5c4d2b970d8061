//! Mapping changes that the host has yet to make in a stub process.

use std::{collections::VecDeque, ops::Range};

use sentry::{
    memory::{PAGE_SIZE, PhysicalMemory},
    platform::{Protection, USER_ADDRESS_START},
};

use super::intervals::Intervals;
use crate::{
    calls::{AREAS, Copies, GATE, Gate},
    stub::{Command, USER_ADDRESS_LIMIT},
};

/// Mappings up to this size are filled at once: a host page fault costs more than a page more in
/// an mmap (measured: docs/decisions/ptrace-stubs.md).
const POPULATE_LIMIT: u64 = 256 << 10;

/// More changes than this are not worth making one by one: everything is unmapped instead.
const MOST_CHANGES: usize = 4096;

/// How text is mapped.
const TEXT: Protection = Protection::READ.union(Protection::EXECUTE);

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Map {
        range: Range<u64>,
        offset: u64,
        protection: Protection,
    },
    Unmap {
        range: Range<u64>,
    },
    Protect {
        range: Range<u64>,
        protection: Protection,
    },
    /// Maps a page of the call pages.
    MapCalls {
        address: u64,
        offset: u64,
        protection: Protection,
    },
}

impl Change {
    fn command(&self) -> Command {
        match self {
            Self::Map { range, offset, protection } => {
                let length = range.end - range.start;
                let populate = length <= POPULATE_LIMIT && !protection.is_empty();
                Command::map(range.start, length, host(*protection), *offset, populate)
            }
            Self::Unmap { range } => Command::unmap(range.start, range.end - range.start),
            Self::Protect { range, protection } => {
                Command::protect(range.start, range.end - range.start, host(*protection))
            }
            Self::MapCalls { address, offset, protection } => {
                Command::map_calls(*address, host(*protection), *offset)
            }
        }
    }

    /// Makes this change and `next` one, if a single call does both.
    fn merge(&mut self, next: &Self) -> bool {
        match (self, next) {
            (
                Self::Map { range, offset, protection },
                Self::Map { range: next, offset: next_offset, protection: next_protection },
            ) => {
                let follows = range.end == next.start
                    && *offset + (range.end - range.start) == *next_offset
                    && protection == next_protection;
                follows && extend(range, next)
            }
            (Self::Unmap { range }, Self::Unmap { range: next }) => extend(range, next),
            (
                Self::Protect { range, protection },
                Self::Protect { range: next, protection: next_protection },
            ) => protection == next_protection && extend(range, next),
            _ => false,
        }
    }
}

/// Extends `range` by `next` if they touch.
fn extend(range: &mut Range<u64>, next: &Range<u64>) -> bool {
    let touches = range.start <= next.end && next.start <= range.end;
    if touches {
        *range = range.start.min(next.start)..range.end.max(next.end);
    }
    touches
}

/// Protection as mmap(2) takes it. What may be executed may be read, as on processors without
/// protection keys: the host's execute-only mappings (pkeys(7)) fault in a way of their own.
fn host(protection: Protection) -> i32 {
    let bit = |flags, value| if protection.intersects(flags) { value } else { 0 };
    bit(Protection::READ | Protection::EXECUTE, libc::PROT_READ)
        | bit(Protection::WRITE, libc::PROT_WRITE)
        | bit(Protection::EXECUTE, libc::PROT_EXEC)
}

/// The queue of changes, in order, and what will be mapped once they are made.
///
/// The mappings of a stub are a cache of the sentry's page tables: dropping one too many costs a
/// page fault and nothing else.
#[derive(Debug, Default)]
pub struct PendingChanges {
    queue: VecDeque<Change>,
    mapped: Intervals,
    /// Something has been mapped for this address space.
    is_used: bool,
    /// What is shown as a patched copy; `None` if nothing ever is.
    copies: Option<Copies>,
}

impl PendingChanges {
    /// Nothing is mapped. Pages are shown as patched copies if `copies` is given.
    pub fn new(copies: Option<Copies>) -> Self {
        Self { copies, ..Self::default() }
    }

    /// Whether the host has made all changes.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Maps sandbox memory from `offset` in `range`; answers whether that replaces a mapping.
    pub fn map(&mut self, range: Range<u64>, offset: u64, protection: Protection) -> bool {
        let Some(range) = user_part(range) else {
            return false;
        };
        let replaces = self.mapped.intersection(range.clone()).next().is_some();
        self.mapped.insert(range.clone());
        if let Some(copies) = &mut self.copies {
            copies.map(&range, offset, protection);
        }
        self.push(Change::Map { range, offset, protection });
        replaces
    }

    /// Unmaps `range`.
    pub fn unmap(&mut self, range: Range<u64>) {
        let Some(range) = user_part(range) else {
            return;
        };
        if self.mapped.remove(&range) {
            if let Some(copies) = &mut self.copies {
                copies.unmap(&range);
            }
            self.push(Change::Unmap { range });
        }
    }

    /// Changes the protection of what is mapped in `range`. mprotect(2) stops at the first hole, so
    /// each mapped part is a change of its own.
    pub fn protect(&mut self, range: Range<u64>, protection: Protection) {
        let Some(range) = user_part(range) else {
            return;
        };
        let originals = self.copies.as_mut().map(|copies| copies.protect(&range));
        for (page, offset) in originals.unwrap_or_default() {
            self.map(page..page + PAGE_SIZE as u64, offset, TEXT);
        }
        let parts: Vec<_> = self.mapped.intersection(range).collect();
        for range in parts {
            self.push(Change::Protect { range, protection });
        }
    }

    /// Unmaps everything, instead of all that was pending.
    pub fn reset(&mut self) {
        self.mapped.clear();
        self.queue.clear();
        if let Some(copies) = &mut self.copies {
            copies.reset();
        }
        self.queue.push_back(Change::Unmap { range: 0..USER_ADDRESS_LIMIT });
    }

    /// Answers to a failed first change by unmapping everything, then trying it once more if it
    /// was a mapping.
    pub fn reset_and_retry(&mut self) {
        let failed = self.queue.pop_front();
        self.reset();
        if let Some(Change::Map { range, offset, protection }) = failed {
            self.map(range, offset, protection);
        }
    }

    /// Prepares for another address space.
    pub fn recycle(&mut self) {
        if std::mem::take(&mut self.is_used) {
            self.reset();
        }
        if let Some(copies) = &mut self.copies {
            copies.recycle();
        }
    }

    /// What is shown as a patched copy.
    pub const fn copies(&self) -> Option<&Copies> {
        self.copies.as_ref()
    }

    /// User code has made a call by a stop, of the instruction before `rip`; `memory` is sandbox
    /// memory. The site may be patched.
    pub fn count_call(&mut self, rip: u64, memory: &PhysicalMemory) {
        if self.queue.len() > MOST_CHANGES / 2 {
            return;
        }
        let install = self.copies.as_mut().and_then(|copies| copies.count(rip, memory));
        let Some(install) = install else { return };
        if let Some(Gate { gate, areas }) = install.gate {
            self.map_calls(GATE, gate, TEXT);
            self.map_calls(AREAS, areas, Protection::READ | Protection::WRITE);
        }
        self.map_calls(install.address, install.offset, TEXT);
    }

    fn map_calls(&mut self, address: u64, offset: u64, protection: Protection) {
        self.push(Change::MapCalls { address, offset, protection });
    }

    /// The host calls for the changes, in order.
    pub fn commands(&self) -> impl Iterator<Item = Command> {
        self.queue.iter().map(Change::command)
    }

    /// The first `count` changes have been made.
    pub fn complete(&mut self, count: usize) {
        self.queue.drain(..count.min(self.queue.len()));
    }

    /// Patches no more and unmaps everything, if the first change shows a patched copy; answers
    /// whether it does.
    pub fn give_up_copies(&mut self) -> bool {
        let shows_copy = matches!(self.queue.front(), Some(Change::MapCalls { .. }));
        if shows_copy {
            self.reset();
            self.copies.as_mut().map(Copies::disable);
        }
        shows_copy
    }

    /// Forgets the first change if it is a mapping; answers whether it was. Its range still counts
    /// as mapped, which is harmless.
    pub fn give_up_mapping(&mut self) -> bool {
        let is_mapping = matches!(self.queue.front(), Some(Change::Map { .. }));
        if is_mapping {
            self.queue.pop_front();
        }
        is_mapping
    }

    fn push(&mut self, change: Change) {
        self.is_used = true;
        if self.queue.back_mut().is_some_and(|last| last.merge(&change)) {
            return;
        }
        if self.queue.len() == MOST_CHANGES {
            self.reset();
            return;
        }
        self.queue.push_back(change);
    }
}

/// The part of `range` that user code may map, unless empty.
fn user_part(range: Range<u64>) -> Option<Range<u64>> {
    let range = range.start.max(USER_ADDRESS_START)..range.end.min(USER_ADDRESS_LIMIT);
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Protection = Protection::READ;

    #[test]
    fn consecutive_mappings_become_one_call() {
        let mut pending = PendingChanges::default();
        pending.map(0x1010000..0x1011000, 0x5000, READ);
        pending.map(0x1011000..0x1012000, 0x6000, READ);
        let one = Command::map(0x1010000, 0x2000, libc::PROT_READ, 0x5000, true);
        assert_eq!(pending.commands().collect::<Vec<_>>(), [one]);
        pending.map(0x1012000..0x1013000, 0x9000, READ);
        pending.map(0x1013000..0x1014000, 0xa000, READ | Protection::WRITE);
        assert_eq!(pending.queue.len(), 3);
    }

    #[test]
    fn only_what_is_mapped_is_unmapped_or_protected() {
        let mut pending = PendingChanges::default();
        pending.unmap(0x1010000..0x1020000);
        pending.protect(0x1010000..0x1020000, READ);
        assert!(pending.is_empty());
        pending.map(0x1010000..0x1011000, 0, READ);
        pending.map(0x1018000..0x1019000, 0, READ);
        pending.protect(0..0x1020000, Protection::empty());
        let commands: Vec<_> = pending.commands().skip(2).collect();
        let parts =
            [Command::protect(0x1018000, 0x1000, 0), Command::protect(0x1010000, 0x1000, 0)];
        assert_eq!(commands, parts);
    }

    #[test]
    fn nothing_reaches_the_stub_pages() {
        let mut pending = PendingChanges::default();
        pending.map(USER_ADDRESS_LIMIT..USER_ADDRESS_LIMIT + 0x1000, 0, READ);
        assert!(pending.is_empty());
        pending.map(USER_ADDRESS_LIMIT - 0x1000..u64::MAX, 0, READ);
        pending.unmap(0..u64::MAX);
        let length = USER_ADDRESS_LIMIT - USER_ADDRESS_START;
        let last = Command::unmap(USER_ADDRESS_START, length);
        assert_eq!(pending.commands().last(), Some(last));
    }

    #[test]
    fn a_flood_of_changes_becomes_one_unmap() {
        let mut pending = PendingChanges::default();
        for page in 0..=MOST_CHANGES as u64 {
            let start = USER_ADDRESS_START + page * 0x2000;
            pending.map(start..start + 0x1000, 0, READ);
        }
        assert_eq!(pending.commands().collect::<Vec<_>>(), [Command::unmap(0, USER_ADDRESS_LIMIT)]);
    }

    #[test]
    fn a_failed_mapping_is_tried_again_in_an_empty_space() {
        let mut pending = PendingChanges::default();
        pending.map(0x1010000..0x1011000, 0, READ);
        pending.map(0x1020000..0x1021000, 0, READ);
        pending.complete(1);
        pending.reset_and_retry();
        let commands: Vec<_> = pending.commands().collect();
        let retry = Command::map(0x1020000, 0x1000, libc::PROT_READ, 0, true);
        assert_eq!(commands, [Command::unmap(0, USER_ADDRESS_LIMIT), retry]);
        pending.unmap(0x1010000..0x1011000);
        assert_eq!(pending.queue.len(), 2, "the first mapping is gone");
    }
}
