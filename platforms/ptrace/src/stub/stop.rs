//! What a stop of user code means to the sentry.

use sentry::platform::{Access, Exception, Registers, Trap};

use super::registers::USER_CODE_SEGMENT;
use crate::sys::{self, HostRegisters, Report, SignalInfo, Tid};

/// `si_code` of signals that carry no address (`<asm-generic/siginfo.h>`).
const SI_KERNEL: i32 = 0x80;
const SEGV_ACCERR: i32 = 2;
const FPE_INTDIV: i32 = 1;
const BUS_ADRALN: i32 = 1;
const SYS_SECCOMP: i32 = 1;

/// Bytes of SYSCALL and of INT 0x80.
const SYSCALL_BYTES: u64 = 2;

/// The trap for `report` of `tid`, which stopped with registers `host`. Corrects `registers`,
/// which hold the same, where Linux left its own marks in them.
pub fn trap(tid: Tid, report: Report, host: &HostRegisters, registers: &mut Registers) -> Trap {
    if host.cs != USER_CODE_SEGMENT {
        // There is no 32-bit mode here; the next entry restores the segment.
        return Trap::Exception(Exception::GeneralProtection);
    }
    match report {
        Report::Syscall => syscall(tid, host, registers),
        Report::Signal(signal) => match sys::signal_info(tid) {
            Ok(info) if info.code > 0 => exception(signal, &info, registers),
            Ok(_) => Trap::Interrupted,
            Err(_) => Trap::Lost,
        },
        Report::Event => Trap::Interrupted,
        Report::Ended => Trap::Lost,
    }
}

/// A system-call stop. SYSCALL leaves the address after it in RCX (except under FRED), which tells
/// it from INT 0x80 at no cost; user code that fakes it for INT 0x80 only gets a 64-bit call.
fn syscall(tid: Tid, host: &HostRegisters, registers: &mut Registers) -> Trap {
    if host.rcx != host.rip {
        match sys::is_64_bit_syscall(tid) {
            Ok(true) => {}
            Ok(false) => {
                registers.rip = host.rip.wrapping_sub(SYSCALL_BYTES);
                registers.rax = host.original_rax;
                return Trap::Exception(Exception::GeneralProtection);
            }
            Err(_) => return Trap::Lost,
        }
    }
    registers.rax = host.original_rax;
    registers.original_rax = host.original_rax;
    Trap::Syscall
}

/// What kind of access a mapping of the stub forbade. Each of them may be read, so it was a store
/// unless it touched the instruction itself (at most 15 bytes).
fn violation(address: u64, rip: u64) -> Access {
    if address.wrapping_sub(rip) < 15 { Access::Execute } else { Access::Write }
}

/// A signal that the host raised because of what user code did (sigaction(2), `si_code`).
fn exception(signal: i32, info: &SignalInfo, registers: &mut Registers) -> Trap {
    let exception = match (signal, info.code) {
        (libc::SIGSEGV, SI_KERNEL) => Exception::GeneralProtection,
        (libc::SIGSEGV, code) => {
            let access = (code == SEGV_ACCERR).then(|| violation(info.address, registers.rip));
            return Trap::PageFault { address: info.address, access };
        }
        (libc::SIGBUS, BUS_ADRALN) => Exception::AlignmentCheck,
        (libc::SIGBUS, _) => Exception::BusError,
        (libc::SIGILL, _) => Exception::InvalidOpcode,
        (libc::SIGFPE, FPE_INTDIV) => Exception::DivideError,
        (libc::SIGFPE, _) => Exception::FloatingPoint,
        (libc::SIGTRAP, SI_KERNEL) => Exception::Breakpoint,
        (libc::SIGTRAP, _) => Exception::Debug,
        (libc::SIGSYS, SYS_SECCOMP) => {
            // A call into the vsyscall page; the host has already returned from it.
            registers.original_rax = u64::from(info.syscall);
            return Trap::Syscall;
        }
        _ => return Trap::Interrupted,
    };
    Trap::Exception(exception)
}
