//! Waiting for something to do: for a moment by looking, then by HLT.
//!
//! HLT and the interrupt that ends it cost several VM exits. A vCPU that looks for about as long as
//! they take has lost no more than that if nothing comes, and has spared all of it if something
//! does (Linux does likewise, see Documentation/virt/guest-halt-polling.rst). Interrupts are on
//! meanwhile: their handler makes a request out of each.

use core::sync::atomic::Ordering;

use x86_64::instructions::interrupts;

use super::{
    clock,
    per_cpu::{Mode, PerCpu},
};

/// How long to look, in nanoseconds.
const LOOK_NANOSECONDS: u64 = 20_000;

/// Returns once the vCPU is interrupted, or was requested to be.
pub fn wait(own: &PerCpu) {
    if !comes_soon(own) {
        halt(own);
    }
    own.interrupt_pending.store(false, Ordering::SeqCst);
}

fn comes_soon(own: &PerCpu) -> bool {
    let end = clock::counter_at(clock::monotonic_nanoseconds() + LOOK_NANOSECONDS);
    interrupts::enable();
    while !own.interrupt_pending.load(Ordering::SeqCst) && clock::counter() < end {
        core::hint::spin_loop();
    }
    interrupts::disable();
    own.interrupt_pending.load(Ordering::SeqCst)
}

/// STI takes effect after the next instruction, so no interrupt can come between the last look at
/// the request and HLT and be slept through.
fn halt(own: &PerCpu) {
    own.set_mode(Mode::Halted);
    if !own.interrupt_pending.load(Ordering::SeqCst) {
        interrupts::enable_and_hlt();
        interrupts::disable();
    }
    own.set_mode(Mode::Sentry);
}
