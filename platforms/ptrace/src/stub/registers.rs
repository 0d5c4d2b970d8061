//! Registers as the sentry holds them, and as ptrace(2) moves them.

use sentry::platform::Registers;

use super::{COMMAND_PAGE, code};
use crate::sys::HostRegisters;

/// Selectors of 64-bit user code and of its data (`__USER_CS`, `__USER_DS`).
pub const USER_CODE_SEGMENT: u64 = 0x33;
const USER_DATA_SEGMENT: u64 = 0x2b;

/// `original_rax` that makes the host restart no system call.
const NO_SYSCALL: u64 = u64::MAX;

/// Registers that user code is to start with.
pub fn to_host(registers: &Registers) -> HostRegisters {
    HostRegisters {
        r15: registers.r15,
        r14: registers.r14,
        r13: registers.r13,
        r12: registers.r12,
        rbp: registers.rbp,
        rbx: registers.rbx,
        r11: registers.r11,
        r10: registers.r10,
        r9: registers.r9,
        r8: registers.r8,
        rax: registers.rax,
        rcx: registers.rcx,
        rdx: registers.rdx,
        rsi: registers.rsi,
        rdi: registers.rdi,
        rip: registers.rip,
        rflags: registers.rflags,
        rsp: registers.rsp,
        fs_base: registers.fs_base,
        gs_base: registers.gs_base,
        ..entry_registers(0)
    }
}

/// Stores what user code left behind. `original_rax` stays as it was.
pub fn from_host(host: &HostRegisters, registers: &mut Registers) {
    *registers = Registers {
        rax: host.rax,
        rbx: host.rbx,
        rcx: host.rcx,
        rdx: host.rdx,
        rsi: host.rsi,
        rdi: host.rdi,
        rbp: host.rbp,
        rsp: host.rsp,
        r8: host.r8,
        r9: host.r9,
        r10: host.r10,
        r11: host.r11,
        r12: host.r12,
        r13: host.r13,
        r14: host.r14,
        r15: host.r15,
        rip: host.rip,
        rflags: host.rflags,
        fs_base: host.fs_base,
        gs_base: host.gs_base,
        original_rax: registers.original_rax,
    };
}

/// Registers that make a stub execute `count` commands of its command page.
pub fn for_batch(count: usize) -> HostRegisters {
    HostRegisters { r12: COMMAND_PAGE, r13: count as u64, ..entry_registers(code::BATCH_ENTRY) }
}

/// Registers that make a stub wait for a tracer.
pub fn for_pause() -> HostRegisters {
    entry_registers(code::PAUSE_ENTRY)
}

/// Registers to continue at `rip` with everything else clear.
fn entry_registers(rip: u64) -> HostRegisters {
    HostRegisters {
        rip,
        cs: USER_CODE_SEGMENT,
        ss: USER_DATA_SEGMENT,
        original_rax: NO_SYSCALL,
        ..HostRegisters::default()
    }
}
