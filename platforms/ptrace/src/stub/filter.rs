//! The seccomp filter of every stub.
//!
//! It is the second wall: a stub thread runs user code only under PTRACE_SYSEMU, so no system call
//! of user code gets as far as a filter. Should one ever, only the calls of batches pass, and only
//! from the code page.
//!
//! The vsyscall page cannot be unmapped, and the host serves calls into it without PTRACE_SYSEMU,
//! but not without the filter: those become SIGSYS, which the tracer turns into a system-call trap.

use libc::{BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};

use super::{CODE_PAGE, PAGE_SIZE};

/// What the tracer injects.
const BATCH_CALLS: [libc::c_long; 7] = [
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_clone,
    libc::SYS_pause,
    libc::SYS_prctl,
    libc::SYS_rseq,
];

/// What the vsyscall page offers.
const VSYSCALLS: [libc::c_long; 3] = [libc::SYS_gettimeofday, libc::SYS_time, libc::SYS_getcpu];

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const INSTRUCTION_LOW: u32 = 8;
const INSTRUCTION_HIGH: u32 = 12;

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// The program, for `PR_SET_SECCOMP`.
pub fn program() -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCHITECTURE),
        skip_if_equal(AUDIT_ARCH_X86_64, 1),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ];
    for call in VSYSCALLS {
        program.extend([
            skip_unless_equal(low(call.cast_unsigned()), 1),
            answer(libc::SECCOMP_RET_TRAP),
        ]);
    }
    // The instruction pointer is after SYSCALL, which the page does not end with.
    program.extend([
        load(INSTRUCTION_HIGH),
        skip_if_equal(low(CODE_PAGE >> 32), 1),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(INSTRUCTION_LOW),
        skip_if_at_least(low(CODE_PAGE), 1),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        skip_unless_at_least(low(CODE_PAGE + PAGE_SIZE), 1),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ]);
    for call in BATCH_CALLS {
        program.extend([
            skip_unless_equal(low(call.cast_unsigned()), 1),
            answer(libc::SECCOMP_RET_ALLOW),
        ]);
    }
    program.push(answer(libc::SECCOMP_RET_KILL_PROCESS));
    program
}

/// The low 32 bits of `value`.
const fn low(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

fn answer(action: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, action, 0, 0)
}

fn skip_if_equal(value: u32, count: u8) -> sock_filter {
    instruction(BPF_JMP | BPF_JEQ | BPF_K, value, count, 0)
}

fn skip_unless_equal(value: u32, count: u8) -> sock_filter {
    instruction(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count)
}

fn skip_if_at_least(value: u32, count: u8) -> sock_filter {
    instruction(BPF_JMP | BPF_JGE | BPF_K, value, count, 0)
}

fn skip_unless_at_least(value: u32, count: u8) -> sock_filter {
    instruction(BPF_JMP | BPF_JGE | BPF_K, value, 0, count)
}

/// One instruction; all opcodes fit 16 bits.
fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (code & 0xffff) as u16, jt, jf, k }
}
