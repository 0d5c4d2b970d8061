//! Port I/O: the image's only hypercalls.

use core::arch::asm;

use guest_abi::kvm::{BACKTRACE_PORT, HALT_PORT, LOG_PORT, PANIC_PORT, RELEASE_PORT_BASE};

/// Writes one byte to `port`: an exit to the VMM.
pub fn write(port: u16, value: u8) {
    // SAFETY: ring 0 may use every port, and all of them are the VMM's.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
}

/// Hands one line to the VMM's log, in as few exits as KVM batches.
pub fn log(line: &str) {
    write_string(line.as_bytes());
    write_string(b"\n");
}

fn write_string(bytes: &[u8]) {
    // SAFETY: REP OUTSB reads exactly `bytes`.
    unsafe {
        asm!(
            "rep outsb",
            in("dx") LOG_PORT,
            inout("rsi") bytes.as_ptr() => _,
            inout("rcx") bytes.len() => _,
            options(readonly, nostack),
        );
    }
}

/// Gives `count` frames from frame number `first` back to the host; they are zero from now on.
pub fn release_frames(mut first: u32, mut count: u32) {
    while let Some(order) = count.checked_ilog2() {
        write_word(RELEASE_PORT_BASE + order as u16, first);
        first += 1 << order;
        count -= 1 << order;
    }
}

/// Adds a line with `address`, and its symbol, to the VMM's log.
pub fn log_code_address(address: u64) {
    write_word(BACKTRACE_PORT, address as u32);
}

fn write_word(port: u16, word: u32) {
    // SAFETY: as in `write`. To the compiler it may change any memory, as the host does when it takes
    // frames back.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") word, options(nostack)) };
}

/// Ends this vCPU: its sentry has halted.
pub fn halt() -> ! {
    end(HALT_PORT)
}

/// Ends the sandbox after a panic.
pub fn panicked() -> ! {
    end(PANIC_PORT)
}

fn end(port: u16) -> ! {
    loop {
        write(port, 0);
        x86_64::instructions::hlt();
    }
}
