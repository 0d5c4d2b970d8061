//! Which page table a vCPU walks, and whose translations it keeps.
//!
//! With process-context identifiers (Intel SDM volume 3, 4.10.1) a vCPU keeps the translations of the
//! spaces it ran last, each under an identifier of its own. Whoever changes a page table advances the
//! *generation* of its space; a vCPU that comes back to a space drops what it kept of it if that is of
//! an older generation. Without identifiers every change of space drops everything.

use core::sync::atomic::{AtomicU64, Ordering};

use guest_abi::kvm::BOOT_PAGE_TABLES;
use x86_64::{
    PhysAddr,
    instructions::tlb::Pcid,
    registers::control::{Cr3, Cr3Flags},
    structures::paging::PhysFrame,
};

use super::per_cpu;

/// Spaces that one vCPU keeps translations of.
const KEPT_SPACES: usize = 6;

/// Spaces share generations if their roots fall on the same one: they then drop more than needed.
const GENERATION_COUNT: usize = 512;

static GENERATIONS: [AtomicU64; GENERATION_COUNT] = [const { AtomicU64::new(0) }; GENERATION_COUNT];

fn generation(root: u64) -> &'static AtomicU64 {
    &GENERATIONS[(root / 4096) as usize % GENERATION_COUNT]
}

/// What one vCPU keeps.
pub struct KeptSpaces {
    has_identifiers: bool,
    kept: [Kept; KEPT_SPACES],
    /// Whose place the next new space takes.
    oldest: usize,
}

/// One space under the identifier that is its index plus one; identifier 0 is the boot tables'.
#[derive(Clone, Copy)]
struct Kept {
    root: u64,
    generation: u64,
}

/// Where a space is kept.
struct Place {
    identifier: u16,
    is_current: bool,
}

impl KeptSpaces {
    /// Nothing is kept.
    pub const NONE: Self = Self {
        has_identifiers: false,
        kept: [Kept { root: 0, generation: 0 }; KEPT_SPACES],
        oldest: 0,
    };

    /// The place of the space with page table `root`, which is current from now on.
    fn enter(&mut self, root: u64) -> Place {
        if root == BOOT_PAGE_TABLES {
            return Place { identifier: 0, is_current: true };
        }
        let now = Kept { root, generation: generation(root).load(Ordering::SeqCst) };
        let known = self.kept.iter().position(|kept| kept.root == root);
        let index = known.unwrap_or(self.oldest);
        if known.is_none() {
            self.oldest = (self.oldest + 1) % KEPT_SPACES;
        }
        let before = core::mem::replace(&mut self.kept[index], now);
        let is_current = known.is_some() && before.generation == now.generation;
        Place { identifier: index as u16 + 1, is_current }
    }

    /// Notes that this vCPU has itself dropped what the step from generation `before` is about.
    fn follow(&mut self, root: u64, before: u64) {
        let is_step = |kept: &&mut Kept| kept.root == root && kept.generation == before;
        if let Some(kept) = self.kept.iter_mut().find(is_step) {
            kept.generation = before + 1;
        }
    }
}

/// To be called once on each vCPU, if CR4.PCIDE is on.
pub fn use_identifiers() {
    per_cpu::with_own(|own| own.spaces.has_identifiers = true);
}

/// Makes this vCPU walk the page table `root`.
pub fn load(root: u64) {
    // First the name: who changes a page table and does not see it here has changed it, and its
    // generation, before the processor may walk it.
    per_cpu::current().loaded_root.store(root, Ordering::SeqCst);
    let frame = PhysFrame::containing_address(PhysAddr::new_truncate(root));
    let place = per_cpu::with_own(|own| own.spaces.has_identifiers.then(|| own.spaces.enter(root)));
    // SAFETY: every root maps the sentry in its upper half, and the identifier is below 4096.
    unsafe {
        match place {
            None => Cr3::write(frame, Cr3Flags::empty()),
            Some(place) => match Pcid::new(place.identifier) {
                Ok(identifier) if place.is_current => Cr3::write_pcid_no_flush(frame, identifier),
                _ => Cr3::write_raw(frame, place.identifier),
            },
        }
    }
}

/// Drops all translations of the space that this vCPU walks, but those of the sentry.
pub fn drop_current() {
    let (frame, identifier) = Cr3::read_raw();
    // SAFETY: the value that is there already.
    unsafe { Cr3::write_raw(frame, identifier) };
}

/// Says that the page table `root` was changed so that translations have to go; answers the
/// generation before.
pub fn advance(root: u64) -> u64 {
    generation(root).fetch_add(1, Ordering::SeqCst)
}

/// Says that this vCPU has dropped what was to go after generation `before` of `root`.
pub fn follow(root: u64, before: u64) {
    per_cpu::with_own(|own| own.spaces.follow(root, before));
}
