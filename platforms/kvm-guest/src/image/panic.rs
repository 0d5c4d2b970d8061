//! A panic of the sentry: a report on the host, and the end of this sandbox only.

use alloc::format;
use core::{
    arch::asm,
    panic::PanicInfo,
    sync::atomic::{AtomicBool, Ordering},
};

use guest_abi::kvm::{MAX_VCPUS, STACKS_BASE, stack_top};

use super::ports;

/// Most frames of a backtrace.
const MAX_FRAMES: usize = 32;

#[panic_handler]
fn panic(information: &PanicInfo<'_>) -> ! {
    static PANICKING: AtomicBool = AtomicBool::new(false);
    if PANICKING.swap(true, Ordering::SeqCst) {
        ports::panicked();
    }
    ports::log(&format!("sentry {information}"));
    backtrace(frame_pointer());
    ports::panicked();
}

fn frame_pointer() -> u64 {
    let pointer;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// Logs return addresses, following saved frame pointers while they stay on a stack.
pub fn backtrace(mut frame: u64) {
    for _ in 0..MAX_FRAMES {
        if !(STACKS_BASE..stack_top(MAX_VCPUS)).contains(&frame) || !frame.is_multiple_of(8) {
            return;
        }
        // SAFETY: a frame pointer on a mapped stack; the word above it is the return address.
        let (next, address) = unsafe {
            let frame = frame as *const u64;
            (frame.read(), frame.add(1).read())
        };
        // The entry point's return address is zero.
        if address == 0 {
            return;
        }
        ports::log_code_address(address);
        if next <= frame {
            return;
        }
        frame = next;
    }
}
