//! Into ring 3 and out of it.
//!
//! [`enter_user`] looks like a function call: it saves the caller's registers, enters ring 3, and
//! returns when user code traps, by SYSCALL or through the interrupt table. The trap's kind is the
//! return value. Traps from ring 0 itself go to [`super::trap`].

use core::{
    arch::{global_asm, naked_asm},
    mem::offset_of,
};

use sentry::platform::Registers;

use super::{
    descriptors::{USER_CODE, USER_DATA},
    per_cpu::offset,
};

/// What [`enter_user`] returns after SYSCALL.
pub const TRAP_SYSCALL: u64 = 0;

/// Enters ring 3 with `registers` and returns when it traps, with `registers` updated:
/// [`TRAP_SYSCALL`], or anything else for an exception or interrupt (`PerCpu::trap_vector`). Uses
/// SYSRET where `registers` look as SYSCALL left them, else IRET, which restores all.
///
/// # Safety
/// Interrupts must be off, and `registers` stay valid until it returns. RIP must be canonical and
/// RFLAGS hold only bits that user code may set.
#[unsafe(naked)]
pub unsafe extern "C" fn enter_user(registers: *mut Registers) -> u64 {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov gs:[{user_registers}], rdi",
        "mov gs:[{kernel_stack}], rsp",
        "cmp qword ptr gs:[{has_fsgsbase}], 0",
        "je 2f",
        "mov rax, [rdi + {fs_base}]",
        "wrfsbase rax",
        // After SWAPGS, GS is the user's and our own base is kept in its place.
        "mov rax, [rdi + {gs_base}]",
        "swapgs",
        "wrgsbase rax",
        "jmp 3f",
        "2:",
        "swapgs",
        "3:",
        "mov rax, [rdi + {rax}]",
        "mov rbx, [rdi + {rbx}]",
        "mov rdx, [rdi + {rdx}]",
        "mov rsi, [rdi + {rsi}]",
        "mov rbp, [rdi + {rbp}]",
        "mov r8, [rdi + {r8}]",
        "mov r9, [rdi + {r9}]",
        "mov r10, [rdi + {r10}]",
        "mov r12, [rdi + {r12}]",
        "mov r13, [rdi + {r13}]",
        "mov r14, [rdi + {r14}]",
        "mov r15, [rdi + {r15}]",
        "mov rcx, [rdi + {rcx}]",
        "mov r11, [rdi + {r11}]",
        "cmp rcx, [rdi + {rip}]",
        "jne 4f",
        "cmp r11, [rdi + {rflags}]",
        "jne 4f",
        "mov rsp, [rdi + {rsp}]",
        "mov rdi, [rdi + {rdi}]",
        "sysretq",
        "4:",
        "push {user_data}",
        "push qword ptr [rdi + {rsp}]",
        "push qword ptr [rdi + {rflags}]",
        "push {user_code}",
        "push qword ptr [rdi + {rip}]",
        "mov rdi, [rdi + {rdi}]",
        "iretq",
        user_registers = const offset::USER_REGISTERS,
        kernel_stack = const offset::KERNEL_STACK,
        has_fsgsbase = const offset::HAS_FSGSBASE,
        fs_base = const offset_of!(Registers, fs_base),
        gs_base = const offset_of!(Registers, gs_base),
        rax = const offset_of!(Registers, rax),
        rbx = const offset_of!(Registers, rbx),
        rcx = const offset_of!(Registers, rcx),
        rdx = const offset_of!(Registers, rdx),
        rsi = const offset_of!(Registers, rsi),
        rdi = const offset_of!(Registers, rdi),
        rbp = const offset_of!(Registers, rbp),
        rsp = const offset_of!(Registers, rsp),
        r8 = const offset_of!(Registers, r8),
        r9 = const offset_of!(Registers, r9),
        r10 = const offset_of!(Registers, r10),
        r11 = const offset_of!(Registers, r11),
        r12 = const offset_of!(Registers, r12),
        r13 = const offset_of!(Registers, r13),
        r14 = const offset_of!(Registers, r14),
        r15 = const offset_of!(Registers, r15),
        rip = const offset_of!(Registers, rip),
        rflags = const offset_of!(Registers, rflags),
        user_data = const USER_DATA,
        user_code = const USER_CODE,
    )
}

/// Where SYSCALL arrives (MSR LSTAR): RCX is the user's RIP, R11 its RFLAGS.
#[unsafe(naked)]
pub unsafe extern "C" fn syscall_entry() {
    naked_asm!(
        "swapgs",
        "mov gs:[{scratch}], rsp",
        "mov rsp, gs:[{user_registers}]",
        "mov [rsp + {rax}], rax",
        "mov [rsp + {original_rax}], rax",
        "mov [rsp + {rcx}], rcx",
        "mov [rsp + {rip}], rcx",
        "mov [rsp + {r11}], r11",
        "mov [rsp + {rflags}], r11",
        "mov rcx, gs:[{scratch}]",
        "mov [rsp + {rsp}], rcx",
        "mov rcx, rsp",
        "mov [rcx + {rdi}], rdi",
        "xor eax, eax",
        "jmp {leave_user}",
        scratch = const offset::SCRATCH,
        user_registers = const offset::USER_REGISTERS,
        rax = const offset_of!(Registers, rax),
        original_rax = const offset_of!(Registers, original_rax),
        rcx = const offset_of!(Registers, rcx),
        rip = const offset_of!(Registers, rip),
        r11 = const offset_of!(Registers, r11),
        rflags = const offset_of!(Registers, rflags),
        rsp = const offset_of!(Registers, rsp),
        rdi = const offset_of!(Registers, rdi),
        leave_user = sym leave_user,
    )
}

/// The common end of every trap from ring 3: RCX is the register structure, in which RAX, RCX, RDI,
/// RSP, R11, RIP and RFLAGS are stored already; RAX is what `enter_user` is to return.
#[unsafe(naked)]
unsafe extern "C" fn leave_user() {
    naked_asm!(
        "mov [rcx + {rbx}], rbx",
        "mov [rcx + {rdx}], rdx",
        "mov [rcx + {rsi}], rsi",
        "mov [rcx + {rbp}], rbp",
        "mov [rcx + {r8}], r8",
        "mov [rcx + {r9}], r9",
        "mov [rcx + {r10}], r10",
        "mov [rcx + {r12}], r12",
        "mov [rcx + {r13}], r13",
        "mov [rcx + {r14}], r14",
        "mov [rcx + {r15}], r15",
        "cld",
        "cmp qword ptr gs:[{has_fsgsbase}], 0",
        "je 2f",
        // User code may have changed its bases without a system call.
        "rdfsbase rdx",
        "mov [rcx + {fs_base}], rdx",
        "swapgs",
        "rdgsbase rdx",
        "swapgs",
        "mov [rcx + {gs_base}], rdx",
        "2:",
        "mov rsp, gs:[{kernel_stack}]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        has_fsgsbase = const offset::HAS_FSGSBASE,
        kernel_stack = const offset::KERNEL_STACK,
        fs_base = const offset_of!(Registers, fs_base),
        gs_base = const offset_of!(Registers, gs_base),
        rbx = const offset_of!(Registers, rbx),
        rdx = const offset_of!(Registers, rdx),
        rsi = const offset_of!(Registers, rsi),
        rbp = const offset_of!(Registers, rbp),
        r8 = const offset_of!(Registers, r8),
        r9 = const offset_of!(Registers, r9),
        r10 = const offset_of!(Registers, r10),
        r12 = const offset_of!(Registers, r12),
        r13 = const offset_of!(Registers, r13),
        r14 = const offset_of!(Registers, r14),
        r15 = const offset_of!(Registers, r15),
    )
}

/// Distance between two stubs in bytes.
const STUB_STRIDE: u64 = 16;

// One stub a vector: it makes all frames alike (error code, then vector) and goes on in
// `trap_common`. The vectors named push an error code of their own (Intel SDM volume 3, 6.15).
global_asm!(
    ".pushsection .text.trap_stubs, \"ax\"",
    ".att_syntax prefix",
    ".balign 16",
    ".globl trap_stubs",
    "trap_stubs:",
    ".set vector, 0",
    ".rept 256",
    ".balign 16",
    ".if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)",
    ".else",
    "pushq $0",
    ".endif",
    "pushq $vector",
    "jmp {common}",
    ".set vector, vector + 1",
    ".endr",
    ".intel_syntax noprefix",
    ".popsection",
    common = sym trap_common,
);

unsafe extern "C" {
    #[link_name = "trap_stubs"]
    static TRAP_STUBS: u8;
}

/// Address of the stub of `vector`.
pub fn stub_address(vector: u8) -> u64 {
    &raw const TRAP_STUBS as u64 + u64::from(vector) * STUB_STRIDE
}

/// Stack on entry: vector, error code, RIP, CS, RFLAGS, RSP, SS.
#[unsafe(naked)]
unsafe extern "C" fn trap_common() {
    naked_asm!(
        "test byte ptr [rsp + 24], 3",
        "jz {kernel}",
        // #DF, #MC and NMI have a stack of their own and end in ring 0's handler.
        "cmp qword ptr [rsp], 2",
        "je {kernel}",
        "swapgs",
        "push rcx",
        "mov rcx, gs:[{user_registers}]",
        "mov [rcx + {rax}], rax",
        "mov [rcx + {rdi}], rdi",
        "mov [rcx + {r11}], r11",
        "pop rax",
        "mov [rcx + {rcx}], rax",
        "pop rax",
        "mov gs:[{trap_vector}], rax",
        "pop rax",
        "mov gs:[{trap_error}], rax",
        "pop rax",
        "mov [rcx + {rip}], rax",
        "pop rax",
        "pop rax",
        "mov [rcx + {rflags}], rax",
        "pop rax",
        "mov [rcx + {rsp}], rax",
        "mov eax, 1",
        "jmp {leave_user}",
        kernel = sym kernel_trap,
        user_registers = const offset::USER_REGISTERS,
        trap_vector = const offset::TRAP_VECTOR,
        trap_error = const offset::TRAP_ERROR,
        rax = const offset_of!(Registers, rax),
        rdi = const offset_of!(Registers, rdi),
        r11 = const offset_of!(Registers, r11),
        rcx = const offset_of!(Registers, rcx),
        rip = const offset_of!(Registers, rip),
        rflags = const offset_of!(Registers, rflags),
        rsp = const offset_of!(Registers, rsp),
        leave_user = sym leave_user,
    )
}

/// A trap that must not end `enter_user`: an interrupt while idle, an NMI, or a fault of the sentry.
#[unsafe(naked)]
unsafe extern "C" fn kernel_trap() {
    naked_asm!(
        "push rax",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "push rbp",
        "mov rbp, rsp",
        "lea rdi, [rsp + 80]",
        "and rsp, -16",
        "cld",
        "call {handle}",
        "mov rsp, rbp",
        "pop rbp",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rax",
        // Vector and error code.
        "add rsp, 16",
        "iretq",
        handle = sym super::trap::handle_kernel_trap,
    )
}
