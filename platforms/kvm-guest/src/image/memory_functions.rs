//! The functions on memory that compiled Rust calls and that a C library would supply.
//!
//! They need no vector registers, which belong to user code. Most of what the sentry copies is small (the
//! states of futures, paths, structures of calls), where `rep movs` takes longer to start than the copy
//! takes; it serves what is larger than [`LARGE_BYTES`]. Where ends can be copied or set as whole words that
//! overlap what is done already, they are.

use core::arch::naked_asm;

/// Above this the processor's own string instructions are faster than a loop.
const LARGE_BYTES: usize = 256;

/// C's memcpy.
///
/// # Safety
/// As in C.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memcpy(destination: *mut u8, source: *const u8, length: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 16",
        "jb 4f",
        // The last 16 bytes, read before anything is written: memmove comes here too.
        "mov r8, [rsi + rdx - 16]",
        "mov r9, [rsi + rdx - 8]",
        "lea r10, [rdi + rdx - 16]",
        "cmp rdx, {large}",
        "ja 3f",
        "2: cmp rdx, 16",
        "jbe 5f",
        "mov rcx, [rsi]",
        "mov r11, [rsi + 8]",
        "mov [rdi], rcx",
        "mov [rdi + 8], r11",
        "add rsi, 16",
        "add rdi, 16",
        "sub rdx, 16",
        "jmp 2b",
        "3: lea rcx, [rdx - 1]",
        "shr rcx, 3",
        "rep movsq",
        "5: mov [r10], r8",
        "mov [r10 + 8], r9",
        "ret",
        "4: cmp edx, 8",
        "jb 6f",
        "mov r8, [rsi]",
        "mov r9, [rsi + rdx - 8]",
        "mov [rdi], r8",
        "mov [rdi + rdx - 8], r9",
        "ret",
        "6: cmp edx, 4",
        "jb 7f",
        "mov r8d, [rsi]",
        "mov r9d, [rsi + rdx - 4]",
        "mov [rdi], r8d",
        "mov [rdi + rdx - 4], r9d",
        "ret",
        "7: test edx, edx",
        "jz 8f",
        // The first, the last and the middle one of at most three bytes.
        "mov ecx, edx",
        "shr ecx, 1",
        "mov r8b, [rsi]",
        "mov r9b, [rsi + rdx - 1]",
        "mov r10b, [rsi + rcx]",
        "mov [rdi], r8b",
        "mov [rdi + rdx - 1], r9b",
        "mov [rdi + rcx], r10b",
        "8: ret",
        large = const LARGE_BYTES,
    )
}

/// C's memmove.
///
/// # Safety
/// As in C.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memmove(
    destination: *mut u8,
    source: *const u8,
    length: usize,
) -> *mut u8 {
    naked_asm!(
        "mov rcx, rdi",
        "sub rcx, rsi",
        // A destination that starts inside the source must be copied from the end.
        "cmp rcx, rdx",
        "jae {memcpy}",
        "mov rax, rdi",
        "2: cmp rdx, 8",
        "jb 3f",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi + rdx - 8], r8",
        "sub rdx, 8",
        "jmp 2b",
        "3: test rdx, rdx",
        "jz 4f",
        "mov r8b, [rsi + rdx - 1]",
        "mov [rdi + rdx - 1], r8b",
        "dec rdx",
        "jmp 3b",
        "4: ret",
        memcpy = sym memcpy,
    )
}

/// C's memset.
///
/// # Safety
/// As in C.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memset(destination: *mut u8, value: i32, length: usize) -> *mut u8 {
    naked_asm!(
        "mov r8, rdi",
        "movzx eax, sil",
        "movabs rcx, 0x0101010101010101",
        "imul rax, rcx",
        "cmp rdx, 16",
        "jb 4f",
        "lea r10, [rdi + rdx - 16]",
        "cmp rdx, {large}",
        "ja 3f",
        "2: cmp rdx, 16",
        "jbe 5f",
        "mov [rdi], rax",
        "mov [rdi + 8], rax",
        "add rdi, 16",
        "sub rdx, 16",
        "jmp 2b",
        "3: lea rcx, [rdx - 1]",
        "shr rcx, 3",
        "rep stosq",
        "5: mov [r10], rax",
        "mov [r10 + 8], rax",
        "mov rax, r8",
        "ret",
        "4: cmp edx, 8",
        "jb 6f",
        "mov [rdi], rax",
        "mov [rdi + rdx - 8], rax",
        "mov rax, r8",
        "ret",
        "6: cmp edx, 4",
        "jb 7f",
        "mov [rdi], eax",
        "mov [rdi + rdx - 4], eax",
        "mov rax, r8",
        "ret",
        "7: test edx, edx",
        "jz 8f",
        "mov [rdi], al",
        "mov [rdi + rdx - 1], al",
        "shr edx, 1",
        "mov [rdi + rdx], al",
        "8: mov rax, r8",
        "ret",
        large = const LARGE_BYTES,
    )
}

/// C's memcmp.
///
/// # Safety
/// As in C.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    naked_asm!(
        "xor ecx, ecx",
        "2: lea r8, [rcx + 8]",
        "cmp r8, rdx",
        "ja 4f",
        "mov rax, [rdi + rcx]",
        "mov r9, [rsi + rcx]",
        "mov rcx, r8",
        "cmp rax, r9",
        "je 2b",
        // The first byte counts most: -1 or 1.
        "bswap rax",
        "bswap r9",
        "cmp rax, r9",
        "sbb eax, eax",
        "or eax, 1",
        "ret",
        "4: cmp rcx, rdx",
        "je 5f",
        "movzx eax, byte ptr [rdi + rcx]",
        "movzx r8d, byte ptr [rsi + rcx]",
        "inc rcx",
        "sub eax, r8d",
        "je 4b",
        "ret",
        "5: xor eax, eax",
        "ret",
    )
}

/// BSD's bcmp: zero if equal.
///
/// # Safety
/// As memcmp.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// C's strlen.
///
/// # Safety
/// As in C.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn strlen(string: *const u8) -> usize {
    naked_asm!(
        "xor eax, eax",
        "2:",
        "cmp byte ptr [rdi + rax], 0",
        "je 3f",
        "inc rax",
        "jmp 2b",
        "3:",
        "ret",
    )
}
