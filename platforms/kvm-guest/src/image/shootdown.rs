//! Dropping stale translations on all vCPUs.
//!
//! A vCPU uses translations of the one address space in its CR3. Before it enters ring 3 it drops
//! them if asked to; if it is in ring 3 already, it is interrupted and waited for. What it keeps of
//! other spaces it looks at when it comes back to them (see [`address_spaces`]). Ring 0 reaches
//! user memory through the direct map only, so a vCPU in ring 0 need not be waited for.

use core::sync::atomic::Ordering;

use x86_64::{VirtAddr, instructions::tlb};

use super::{
    address_spaces, apic,
    per_cpu::{self, PerCpu},
};

/// More pages than this are dropped by dropping everything.
const MAX_SINGLE_PAGES: usize = 32;

/// Drops translations of `pages` pages from `address` in the space with page table `root`, on all
/// `vcpus` vCPUs. When it returns no ring-3 code uses them.
pub fn drop_translations(vcpus: u16, root: u64, address: u64, pages: usize) {
    // The entries were changed before other vCPUs' roots are looked at: this is a barrier too.
    let before = address_spaces::advance(root);
    let own = per_cpu::current();
    if own.loaded_root.load(Ordering::Relaxed) == root {
        drop_own(address, pages);
        address_spaces::follow(root, before);
    }
    let others = (0..vcpus).filter(|index| *index != own.index).filter_map(per_cpu::get);
    for other in others.clone() {
        request(other, root);
    }
    for other in others {
        wait(other, root);
    }
}

fn drop_own(address: u64, pages: usize) {
    if pages > MAX_SINGLE_PAGES {
        address_spaces::drop_current();
        return;
    }
    for page in (address..).step_by(4096).take(pages) {
        tlb::flush(VirtAddr::new_truncate(page));
    }
}

fn request(other: &PerCpu, root: u64) {
    if other.loaded_root.load(Ordering::SeqCst) != root {
        return;
    }
    other.flush_pending.store(true, Ordering::SeqCst);
    if other.is_in_user() {
        apic::send_wake(other.index);
    }
}

fn wait(other: &PerCpu, root: u64) {
    while other.is_in_user()
        && other.flush_pending.load(Ordering::SeqCst)
        && other.loaded_root.load(Ordering::SeqCst) == root
    {
        core::hint::spin_loop();
    }
}

/// To be called in mode [`Mode::User`](per_cpu::Mode::User), before ring 3 is entered.
pub fn drop_if_requested(own: &PerCpu) {
    if own.flush_pending.load(Ordering::SeqCst) {
        own.flush_pending.store(false, Ordering::SeqCst);
        address_spaces::drop_current();
    }
}
