//! The code page: position-independent code that runs in every stub.
#![allow(unsafe_code, reason = "leaf module: assembly, and its bounds as linker symbols")]

use super::CODE_PAGE;

// Registers on entry are set by the tracer; there is no stack.
core::arch::global_asm!(
    ".pushsection .text.sandbox_stub, \"ax\", @progbits",
    ".balign 64",
    ".globl sandbox_stub_begin, sandbox_stub_end",
    ".hidden sandbox_stub_begin, sandbox_stub_end",
    "sandbox_stub_begin:",
    // Batch: r13 commands of 64 bytes from r12, up to the first that fails. When it stops, r13
    // tells how many are left and rax what the last one returned.
    "2: test r13, r13",
    "jz 3f",
    "mov rax, [r12]",
    "mov rdi, [r12 + 8]",
    "mov rsi, [r12 + 16]",
    "mov rdx, [r12 + 24]",
    "mov r10, [r12 + 32]",
    "mov r8, [r12 + 40]",
    "mov r9, [r12 + 48]",
    "syscall",
    "cmp rax, -4095",
    "jae 3f",
    "add r12, 64",
    "dec r13",
    "jmp 2b",
    ".org sandbox_stub_begin + 120, 0xcc",
    "3: int3",
    // Wait for a tracer: where a new thread is until its executor takes it over.
    ".org sandbox_stub_begin + 128, 0xcc",
    "5: mov eax, {pause}",
    "syscall",
    "jmp 5b",
    "sandbox_stub_end:",
    ".popsection",
    pause = const libc::SYS_pause,
);

unsafe extern "C" {
    static sandbox_stub_begin: u8;
    static sandbox_stub_end: u8;
}

/// Where a batch begins.
pub const BATCH_ENTRY: u64 = CODE_PAGE;

/// The instruction pointer at the stop that ends a batch: after its INT3.
pub const AFTER_BATCH: u64 = CODE_PAGE + 121;

/// Where the endless loop of pause(2) begins.
pub const PAUSE_ENTRY: u64 = CODE_PAGE + 128;

/// An INT3 instruction: the first stop of the template.
pub const TRAP_ENTRY: u64 = CODE_PAGE + 127;

/// The code, to be copied to the code page.
pub fn bytes() -> &'static [u8] {
    let begin = &raw const sandbox_stub_begin;
    let end = &raw const sandbox_stub_end;
    // SAFETY: the symbols delimit the code above, which is part of this program's text.
    unsafe { core::slice::from_raw_parts(begin, end.addr() - begin.addr()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_where_the_constants_say() {
        let code = bytes();
        assert_eq!(code[0..3], [0x4d, 0x85, 0xed], "TEST r13, r13");
        assert_eq!(code[118..121], [0xcc; 3], "INT3, after padding");
        assert_eq!(code[127], 0xcc, "INT3");
        assert_eq!(code[128..133], [0xb8, 34, 0, 0, 0], "MOV eax, 34");
        assert!(code.len() < 4096);
    }
}
