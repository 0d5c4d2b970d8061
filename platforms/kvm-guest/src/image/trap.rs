//! What a trap means: for user code, the sentry's `Trap`; in ring 0, an interrupt of the idle loop
//! or a bug.

use core::sync::atomic::Ordering;

use guest_abi::kvm::{DEVICE_VECTOR, SPURIOUS_VECTOR, TIMER_VECTOR, WAKE_VECTOR};
use sentry::platform::{Access, Exception, Registers, Trap};
use x86_64::registers::control::Cr2;

use super::{apic, panic::backtrace, per_cpu};

const DEBUG: u64 = 1;
const NON_MASKABLE: u64 = 2;
const BREAKPOINT: u64 = 3;
const OVERFLOW: u64 = 4;
const BOUND_RANGE: u64 = 5;
const INVALID_OPCODE: u64 = 6;
const PAGE_FAULT: u64 = 14;
const X87_FAULT: u64 = 16;
const ALIGNMENT_CHECK: u64 = 17;
const SIMD_FAULT: u64 = 19;

/// The trap that user code ended with, by vector and error code. Interrupts are acknowledged.
pub fn user_trap(vector: u64, error: u64) -> Trap {
    let exception = match vector {
        PAGE_FAULT => {
            return Trap::PageFault { address: Cr2::read_raw(), access: Some(access(error)) };
        }
        0 => Exception::DivideError,
        DEBUG => Exception::Debug,
        BREAKPOINT => Exception::Breakpoint,
        OVERFLOW | BOUND_RANGE => Exception::Overflow,
        INVALID_OPCODE => Exception::InvalidOpcode,
        X87_FAULT | SIMD_FAULT => Exception::FloatingPoint,
        ALIGNMENT_CHECK => Exception::AlignmentCheck,
        32.. => {
            acknowledge(vector);
            return Trap::Interrupted;
        }
        _ => Exception::GeneralProtection,
    };
    Trap::Exception(exception)
}

/// The access in the error code of a page fault (Intel SDM volume 3, 4.7).
const fn access(error: u64) -> Access {
    if error & 1 << 4 != 0 {
        Access::Execute
    } else if error & 1 << 1 != 0 {
        Access::Write
    } else {
        Access::Read
    }
}

fn acknowledge(vector: u64) {
    if vector == u64::from(TIMER_VECTOR) {
        per_cpu::with_own(|own| own.timer_deadline = u64::MAX);
    }
    if vector != u64::from(SPURIOUS_VECTOR) {
        apic::end_of_interrupt();
    }
}

/// What the entry code leaves on the stack of a trap from ring 0.
#[repr(C)]
pub struct KernelTrapFrame {
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// Handles a trap from ring 0, or an NMI.
pub extern "C" fn handle_kernel_trap(frame: &KernelTrapFrame) {
    let known = [TIMER_VECTOR, WAKE_VECTOR, DEVICE_VECTOR, SPURIOUS_VECTOR].map(u64::from);
    match frame.vector {
        // Nothing sends one on purpose; the host may, to profile.
        NON_MASKABLE => {}
        vector if known.contains(&vector) => {
            acknowledge(vector);
            per_cpu::current().interrupt_pending.store(true, Ordering::SeqCst);
        }
        vector => die(vector, frame),
    }
}

#[expect(clippy::panic, reason = "a fault of the sentry itself ends this sandbox, with a report")]
fn die(vector: u64, frame: &KernelTrapFrame) -> ! {
    super::ports::log("fault in ring 0; stack of the fault:");
    super::ports::log_code_address(frame.rip);
    backtrace(frame_pointer_of(frame));
    panic!(
        "vector {vector}, error {:#x}, rip {:#x}, rsp {:#x}, cr2 {:#x}",
        frame.error,
        frame.rip,
        frame.rsp,
        Cr2::read_raw(),
    );
}

/// RBP of the interrupted code: the entry code pushed it ten words below the frame.
fn frame_pointer_of(frame: &KernelTrapFrame) -> u64 {
    // SAFETY: `kernel_trap` pushed ten registers below the frame, RBP last.
    unsafe { core::ptr::from_ref(frame).cast::<u64>().sub(10).read() }
}

/// RFLAGS bits that user code may set: all arithmetic flags, TF, DF, NT, RF, AC, ID.
const USER_FLAGS: u64 = 0x25_4dd5;
/// IF, and the bit that is always one.
const FORCED_FLAGS: u64 = 0x202;

/// Makes `registers` fit for entering ring 3; false if RIP is not canonical user space, which must
/// fault in ring 3 and not at the return instruction (the SYSRET flaw of Intel's processors).
pub fn prepare(registers: &mut Registers) -> bool {
    registers.rflags = registers.rflags & USER_FLAGS | FORCED_FLAGS;
    registers.rip < 1 << 47
}
