//! The patched pages of one stub process.
//!
//! A page of text is shown as a copy once calls of a site in it have been made often enough. A copy
//! never changes: another site makes another copy. Neither copies nor slots are used again while
//! the address space lives, for threads may be anywhere in them; when they run out, calls of new
//! sites are made by stops, as ever.
//!
//! Only text qualifies whose contents a program cannot rely on to change but by a store through that
//! mapping: private, and not writable. Whatever the sentry changes about the mapping ends the copy.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use sentry::{
    memory::{PAGE_SIZE, PhysicalMemory},
    platform::Protection,
};

use super::{
    CallPages, gate,
    pages::MOST_COPIES,
    site::{SITE_BYTES, Site},
    texts::Texts,
};

/// Calls that a site makes by stops before it is patched. Patching costs as much as a few stops.
const MANY_CALLS: u8 = 16;

/// Most places of calls that are counted at a time.
const MOST_COUNTED: usize = 512;

const PAGE: u64 = PAGE_SIZE as u64;

/// A page to be mapped from the call pages, readable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Install {
    /// Where.
    pub address: u64,
    /// Offset in the memory of call pages.
    pub offset: u64,
    /// The gate, if it is to be mapped first.
    pub gate: Option<Gate>,
}

/// Offsets in the memory of call pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Of the gate of a process.
    pub gate: u64,
    /// Of its areas.
    pub areas: u64,
}

/// What is patched in a process.
#[derive(Debug)]
pub struct Copies {
    pages: Arc<CallPages>,
    block: u32,
    texts: Texts,
    /// Calls made by stops, by the address after SYSCALL.
    counts: BTreeMap<u64, u8>,
    /// The sites of all slots in use.
    sites: Vec<Site>,
    /// The slots that each page shown as a copy jumps to.
    shown: BTreeMap<u64, Vec<usize>>,
    /// Copies used up.
    used: u64,
    has_gate: bool,
    is_disabled: bool,
}

impl Copies {
    /// Nothing is patched in the process that has `block` of `pages`.
    pub fn new(pages: Arc<CallPages>, block: u32) -> Self {
        Self {
            pages,
            block,
            texts: Texts::default(),
            counts: BTreeMap::new(),
            sites: Vec::new(),
            shown: BTreeMap::new(),
            used: 0,
            has_gate: false,
            is_disabled: false,
        }
    }

    /// Sandbox memory from `offset` will be mapped in `range`.
    pub fn map(&mut self, range: &Range<u64>, offset: u64, protection: Protection) {
        self.unmap(range);
        let text = Protection::EXECUTE | Protection::PRIVATE;
        if protection.contains(text) && !protection.contains(Protection::WRITE) {
            self.texts.insert(range.clone(), offset);
        }
    }

    /// `range` will be mapped no longer.
    pub fn unmap(&mut self, range: &Range<u64>) {
        self.texts.remove(range);
        for page in self.shown_in(range) {
            self.shown.remove(&page);
        }
    }

    /// The protection of `range` will change. Answers the pages that must be shown as they are
    /// before, with their offsets in sandbox memory.
    pub fn protect(&mut self, range: &Range<u64>) -> Vec<(u64, u64)> {
        let shown = self.shown_in(range).into_iter();
        let originals = shown.filter_map(|page| Some((page, self.texts.find(page)?))).collect();
        self.unmap(range);
        originals
    }

    fn shown_in(&self, range: &Range<u64>) -> Vec<u64> {
        self.shown.range(range.clone()).map(|(page, _)| *page).collect()
    }

    /// Everything will be unmapped.
    pub fn reset(&mut self) {
        self.texts.clear();
        self.counts.clear();
        self.shown.clear();
        self.has_gate = false;
    }

    /// The address space has ended: all slots and copies are free again.
    pub fn recycle(&mut self) {
        if self.used > 0 {
            self.pages.clear(self.block);
        }
        self.sites.clear();
        self.used = 0;
    }

    /// Patches no more sites.
    pub const fn disable(&mut self) {
        self.is_disabled = true;
    }

    /// Whether sites are patched, so that threads need areas.
    pub const fn has_gate(&self) -> bool {
        self.has_gate
    }

    /// The site of the slot with index `slot`.
    pub fn site(&self, slot: usize) -> Option<Site> {
        self.sites.get(slot).copied()
    }

    /// The site of the slot that contains `address`.
    pub fn site_of_slot_at(&self, address: u64) -> Option<Site> {
        self.site(gate::slot_at(address)?)
    }

    /// The patched site whose SYSCALL was at `rip`.
    pub fn site_with_syscall_at(&self, rip: u64) -> Option<Site> {
        let slots = self.shown.get(&(rip & !(PAGE - 1)))?;
        slots.iter().filter_map(|slot| self.site(*slot)).find(|site| site.syscall() == rip)
    }

    /// User code has made a call by a stop, of the instruction before `rip`. Answers what is to be
    /// mapped if the site is to be patched now; `memory` is sandbox memory.
    pub fn count(&mut self, rip: u64, memory: &PhysicalMemory) -> Option<Install> {
        if self.is_disabled {
            return None;
        }
        if self.counts.len() == MOST_COUNTED && !self.counts.contains_key(&rip) {
            self.counts.clear();
        }
        let count = self.counts.entry(rip).or_default();
        *count = count.saturating_add(1);
        if *count == MANY_CALLS { self.patch(rip, memory) } else { None }
    }

    fn patch(&mut self, rip: u64, memory: &PhysicalMemory) -> Option<Install> {
        let start = rip.checked_sub(SITE_BYTES)?;
        let page = start & !(PAGE - 1);
        if rip - page > PAGE || self.sites.len() == gate::SLOTS || self.used == MOST_COPIES {
            return None;
        }
        let mut bytes = [0; PAGE_SIZE];
        memory.read(self.texts.find(page)?, &mut bytes).ok()?;
        let place = usize::try_from(start - page).ok()?;
        let site = Site::recognise(rip, bytes.get(place..)?.first_chunk().copied()?)?;
        if self.site_with_syscall_at(site.syscall()).is_some() {
            return None;
        }
        let slot = self.sites.len();
        self.sites.push(site);
        self.shown.entry(page).or_default().push(slot);
        Some(self.show(page, bytes, slot))
    }

    /// Writes `slot` and a copy of `page`, whose contents are `bytes`, with all its sites patched.
    fn show(&mut self, page: u64, mut bytes: [u8; PAGE_SIZE], slot: usize) -> Install {
        for &slot in self.shown.get(&page).into_iter().flatten() {
            let Some(site) = self.site(slot) else { continue };
            let place = usize::try_from(site.address - page).unwrap_or(usize::MAX);
            let target = bytes.get_mut(place..).and_then(|rest| rest.first_chunk_mut());
            if let Some(target) = target
                && Site::recognise(site.after(), *target) == Some(site)
            {
                *target = Site::patch(slot);
            }
        }
        let copy = self.used;
        self.used += 1;
        let (gate, areas) = (CallPages::gate(self.block), CallPages::areas(self.block));
        let gate = (!self.has_gate).then_some(Gate { gate, areas });
        self.has_gate = true;
        if copy == 0 {
            self.pages.write_trampoline(self.block);
        }
        let number = self.site(slot).map_or(0, |site| site.number);
        self.pages.write_slot(self.block, slot, number);
        self.pages.write_copy(self.block, copy, &bytes);
        Install { address: page, offset: CallPages::copy(self.block, copy), gate }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::{create_sandbox_memory, sys::map_region};

    const TEXT: u64 = 0x40_0000;
    /// Where TEXT is in sandbox memory.
    const OFFSET: u64 = 0x3000;
    const PRIVATE_TEXT: Protection =
        Protection::READ.union(Protection::EXECUTE).union(Protection::PRIVATE);

    /// Sandbox memory with calls of 3 and 257 in TEXT, and where user code goes on after each.
    fn memory() -> (PhysicalMemory, [u64; 2]) {
        const SIZE: usize = 1 << 20;
        let file = create_sandbox_memory(SIZE as u64).unwrap();
        let memory = PhysicalMemory::new(map_region(file.as_fd(), 0, SIZE).unwrap(), []);
        let code = [0x90, 0xb8, 3, 0, 0, 0, 0x0f, 0x05, 0xb8, 1, 1, 0, 0, 0x0f, 0x05];
        memory.write(OFFSET, &code).unwrap();
        (memory, [TEXT + 8, TEXT + 15])
    }

    fn copies(protection: Protection) -> Copies {
        let mut copies = Copies::new(Arc::new(CallPages::new().unwrap()), 2);
        copies.map(&(TEXT..TEXT + 2 * PAGE), OFFSET, protection);
        copies
    }

    /// Makes a call often enough; answers what is to be mapped.
    fn call_often(copies: &mut Copies, rip: u64, memory: &PhysicalMemory) -> Option<Install> {
        for _ in 1..MANY_CALLS {
            assert_eq!(copies.count(rip, memory), None);
        }
        copies.count(rip, memory)
    }

    fn shown(copies: &Copies, install: Install) -> [u8; 15] {
        let mut bytes = [0; 15];
        copies.pages.memory().read(install.offset, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_page_is_copied_again_for_each_of_its_sites() {
        let (memory, [first, second]) = memory();
        let mut copies = copies(PRIVATE_TEXT);
        let install = call_often(&mut copies, first, &memory).unwrap();
        assert_eq!(install.address, TEXT);
        assert!(install.gate.is_some());
        let bytes = shown(&copies, install);
        assert_eq!(bytes[1..8], Site::patch(0));
        assert_eq!(bytes[8..13], [0xb8, 1, 1, 0, 0]);
        let next = call_often(&mut copies, second, &memory).unwrap();
        assert_eq!((next.gate, next.offset), (None, install.offset + PAGE));
        let bytes = shown(&copies, next);
        assert_eq!((&bytes[1..8], &bytes[8..15]), (&Site::patch(0)[..], &Site::patch(1)[..]));
        assert_eq!(shown(&copies, install)[8..13], [0xb8, 1, 1, 0, 0], "copies never change");
        assert_eq!(copies.site_of_slot_at(gate::entry(1)).unwrap().number, 257);
        assert_eq!(copies.site_with_syscall_at(first - 2), copies.site(0));
    }

    #[test]
    fn only_private_text_that_is_not_writable_is_copied() {
        let (memory, [rip, _]) = memory();
        let text = Protection::READ | Protection::EXECUTE;
        for protection in [text, PRIVATE_TEXT | Protection::WRITE, Protection::PRIVATE] {
            let mut copies = copies(protection);
            assert_eq!(call_often(&mut copies, rip, &memory), None, "{protection:?}");
        }
        let mut disabled = copies(PRIVATE_TEXT);
        disabled.disable();
        assert_eq!(call_often(&mut disabled, rip, &memory), None);
    }

    #[test]
    fn a_change_of_the_mapping_ends_the_copy() {
        let (memory, [rip, _]) = memory();
        let mut copies = copies(PRIVATE_TEXT);
        call_often(&mut copies, rip, &memory).unwrap();
        assert_eq!(copies.protect(&(TEXT..TEXT + PAGE)), [(TEXT, OFFSET)]);
        assert_eq!(copies.site_with_syscall_at(rip - 2), None);
        // Threads may still be in the slot.
        assert_eq!(copies.site(0).unwrap().after(), rip);
        assert_eq!(copies.protect(&(TEXT..TEXT + 2 * PAGE)), []);
    }

    #[test]
    fn slots_run_out() {
        let (memory, [rip, _]) = memory();
        let mut copies = copies(PRIVATE_TEXT);
        for _ in 0..MOST_COPIES {
            copies.map(&(TEXT..TEXT + PAGE), OFFSET, PRIVATE_TEXT);
            copies.counts.clear();
            assert!(call_often(&mut copies, rip, &memory).is_some());
        }
        copies.map(&(TEXT..TEXT + PAGE), OFFSET, PRIVATE_TEXT);
        copies.counts.clear();
        assert_eq!(call_often(&mut copies, rip, &memory), None);
    }
}
