//! What the test machine executes, and where its parts lie. Addresses are physical and virtual.

use std::arch::global_asm;

/// Ring-0 code.
pub const KERNEL_CODE: u64 = 0x8000;
/// Ring-3 code.
pub const USER_CODE: u64 = 0x9000;
/// First address above the ring-0 stack.
pub const KERNEL_STACK_TOP: u64 = 0xb000;
/// Where ring 0 leaves [`super::machine::Results`].
pub const RESULTS: u64 = 0xb000;
/// Writing to this port ends the test.
pub const EXIT_PORT: u16 = 0xf4;

global_asm!(
    ".pushsection .rodata",
    ".globl kvm_self_test_kernel, kvm_self_test_syscall, kvm_self_test_page_fault",
    ".globl kvm_self_test_kernel_end, kvm_self_test_user, kvm_self_test_user_end",
    // A fault's frame goes to this stack: the host provides its page now, and not in the middle of
    // the delivery, where emulated machines have lost the fault's address.
    "kvm_self_test_kernel:",
    "push rcx",
    "pop rcx",
    "mov rcx, {user_code}",
    "mov r11, 2",
    "sysretq",
    // Entered by SYSCALL: RCX and R11 hold what SYSRET needs and stay untouched.
    "kvm_self_test_syscall:",
    "mov rsp, {stack}",
    "mov rdi, {results}",
    "inc qword ptr [rdi]",
    "mov eax, cs",
    "and eax, 3",
    "or [rdi + 8], rax",
    "mov rax, cr0",
    "cmp qword ptr [rdi], 2",
    "jne 4f",
    // The quickest of several loops: a busy host takes the processor away in the middle of some.
    "mov r8d, {loops}",
    "mov r9, -1",
    "2:",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "mov rsi, rax",
    "mov ebx, {iterations}",
    "3:",
    "dec ebx",
    "jnz 3b",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "sub rax, rsi",
    "cmp rax, r9",
    "cmovb r9, rax",
    "dec r8d",
    "jnz 2b",
    "mov [rdi + 16], r9",
    "4:",
    "sysretq",
    "kvm_self_test_page_fault:",
    "mov rdi, {results}",
    "mov rax, cr2",
    "mov [rdi + 24], rax",
    "pop rax",
    "mov [rdi + 32], rax",
    "mov dx, {port}",
    "out dx, al",
    "hlt",
    "kvm_self_test_kernel_end:",
    "kvm_self_test_user:",
    "syscall",
    "syscall",
    "mov rax, {unmapped}",
    "mov rax, [rax]",
    "ud2",
    "kvm_self_test_user_end:",
    ".popsection",
    user_code = const USER_CODE,
    stack = const KERNEL_STACK_TOP,
    results = const RESULTS,
    loops = const super::LOOPS,
    iterations = const super::LOOP_ITERATIONS,
    port = const EXIT_PORT,
    unmapped = const super::machine::UNMAPPED,
);

unsafe extern "C" {
    #[link_name = "kvm_self_test_kernel"]
    static KERNEL_START: u8;
    #[link_name = "kvm_self_test_syscall"]
    static SYSCALL: u8;
    #[link_name = "kvm_self_test_page_fault"]
    static PAGE_FAULT: u8;
    #[link_name = "kvm_self_test_kernel_end"]
    static KERNEL_END: u8;
    #[link_name = "kvm_self_test_user"]
    static USER_START: u8;
    #[link_name = "kvm_self_test_user_end"]
    static USER_END: u8;
}

/// The ring-0 code.
pub fn kernel() -> &'static [u8] {
    // SAFETY: the assembler placed both symbols in one read-only section, in this order.
    unsafe { between(&raw const KERNEL_START, &raw const KERNEL_END) }
}

/// The ring-3 code.
pub fn user() -> &'static [u8] {
    // SAFETY: as above.
    unsafe { between(&raw const USER_START, &raw const USER_END) }
}

/// Guest address of the SYSCALL entry.
pub fn syscall_entry() -> u64 {
    KERNEL_CODE + (&raw const SYSCALL as u64 - &raw const KERNEL_START as u64)
}

/// Guest address of the page-fault handler.
pub fn page_fault_entry() -> u64 {
    KERNEL_CODE + (&raw const PAGE_FAULT as u64 - &raw const KERNEL_START as u64)
}

/// # Safety
/// `start` to `end` must be one initialised, immutable object.
unsafe fn between(start: *const u8, end: *const u8) -> &'static [u8] {
    // SAFETY: promised by the caller.
    unsafe { std::slice::from_raw_parts(start, end as usize - start as usize) }
}
