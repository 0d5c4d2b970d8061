//! The gate: the code by which user code hands over its calls, one page in each stub.
//!
//! It consists of the trampoline, the same everywhere, and slots: one for each patched site, which
//! tells the trampoline which site that is, and makes the call by a stop if handing over fails.
//! Where in the gate a thread is stopped tells what has become of its call: [`place`].
#![allow(unsafe_code, reason = "leaf module: assembly, and its bounds as linker symbols")]

use sentry::memory::PAGE_SIZE;

use super::{AREAS, GATE, area};

/// Number of slots.
pub const SLOTS: usize = (PAGE_SIZE - FIRST_SLOT as usize) / SLOT_BYTES as usize;

/// Offset of the first slot in the page.
const FIRST_SLOT: u64 = 0x400;

/// Bytes of a slot: the entry, which a patched site jumps through, then code.
const SLOT_BYTES: u64 = 32;

/// Offsets in a slot: where its code begins, and where it makes the call by a stop.
const HAND_OVER: u64 = 8;
const STOP: u64 = 18;

// On entry eax is the address of the slot; rcx and r11 are free, since SYSCALL destroys them. There
// is no stack that may be used but the area. Nothing may change the flags until they are saved.
core::arch::global_asm!(
    ".pushsection .text.sandbox_gate, \"ax\", @progbits",
    ".balign 64",
    ".globl sandbox_gate_begin, sandbox_gate_end",
    ".hidden sandbox_gate_begin, sandbox_gate_end",
    ".globl sandbox_gate_saving, sandbox_gate_saved, sandbox_gate_leaving",
    ".hidden sandbox_gate_saving, sandbox_gate_saved, sandbox_gate_leaving",
    ".globl sandbox_gate_asked, sandbox_gate_waiting",
    ".hidden sandbox_gate_asked, sandbox_gate_waiting",
    "sandbox_gate_begin:",
    // The thread has an area if its GS base is one; the program may have set it to anything.
    "rdgsbase r11",
    "lea rcx, [r11 - {areas}]",
    "mov cx, 0",
    "jrcxz 2f",
    "lea rax, [rax + {stop}]",
    "jmp rax",
    "2: mov [r11 + {slot}], rax",
    "mov [r11 + {rsp}], rsp",
    "lea rsp, [r11 + {rflags} + 8]",
    "sandbox_gate_saving:",
    "pushfq",
    "mov rsp, [r11 + {rsp}]",
    "sandbox_gate_saved:",
    "rdfsbase rcx",
    "mov [r11 + {fs_base}], rcx",
    "mov [r11 + {rdi}], rdi",
    "mov [r11 + {rdi} + 8], rsi",
    "mov [r11 + {rdi} + 16], rdx",
    "mov [r11 + {rdi} + 24], r10",
    "mov [r11 + {rdi} + 32], r8",
    "mov [r11 + {rdi} + 40], r9",
    "mov [r11 + {rdi} + 48], rbx",
    "mov [r11 + {rdi} + 56], rbp",
    "mov [r11 + {rdi} + 64], r12",
    "mov [r11 + {rdi} + 72], r13",
    "mov [r11 + {rdi} + 80], r14",
    "mov [r11 + {rdi} + 88], r15",
    "mov eax, {polling}",
    "mov ecx, {request}",
    "lock cmpxchg [r11], rcx",
    "sandbox_gate_asked:",
    "je sandbox_gate_waiting",
    // Nobody polls, or not any more.
    "3: mov rcx, [r11 + {slot}]",
    "lea rsp, [r11 + {rflags}]",
    "popfq",
    "mov rsp, [r11 + {rsp}]",
    "lea rcx, [rcx + {stop}]",
    "jmp rcx",
    "sandbox_gate_waiting:",
    "mov rcx, [r11 + {patience}]",
    "4: pause",
    "mov rax, [r11]",
    "cmp rax, {request}",
    "jne sandbox_gate_leaving",
    "dec rcx",
    "jnz 4b",
    // The state must still be what rax is, to give up.
    "mov ecx, {abandoned}",
    "lock cmpxchg [r11], rcx",
    "je 3b",
    "mov ecx, 1",
    "jmp 4b",
    // Answered. Registers become what SYSCALL leaves behind.
    "sandbox_gate_leaving:",
    "mov rax, [r11 + {rax}]",
    "mov rcx, [r11 + {rip}]",
    "lea rsp, [r11 + {rflags}]",
    "popfq",
    "mov rsp, [r11 + {rsp}]",
    "mov r11, [r11 + {rflags}]",
    "jmp rcx",
    "sandbox_gate_end:",
    ".popsection",
    areas = const AREAS,
    stop = const STOP,
    slot = const area::SLOT,
    rip = const area::RIP,
    rax = const area::RAX,
    rsp = const area::RSP,
    rflags = const area::RFLAGS,
    fs_base = const area::FS_BASE,
    patience = const area::PATIENCE,
    rdi = const area::RDI,
    polling = const area::POLLING,
    request = const area::REQUEST,
    abandoned = const area::ABANDONED,
);

unsafe extern "C" {
    static sandbox_gate_begin: u8;
    static sandbox_gate_saving: u8;
    static sandbox_gate_saved: u8;
    static sandbox_gate_asked: u8;
    static sandbox_gate_waiting: u8;
    static sandbox_gate_leaving: u8;
    static sandbox_gate_end: u8;
}

/// Offset of a label in the trampoline.
macro_rules! offset {
    ($label:ident) => {
        ((&raw const $label).addr() - (&raw const sandbox_gate_begin).addr()) as u64
    };
}

/// The trampoline, to be copied to the begin of the page.
pub fn trampoline() -> &'static [u8] {
    let begin = &raw const sandbox_gate_begin;
    let end = &raw const sandbox_gate_end;
    // SAFETY: the symbols delimit the code above, which is part of this program's text.
    unsafe { core::slice::from_raw_parts(begin, end.addr() - begin.addr()) }
}

/// Offset of `slot` in the page.
pub const fn slot_offset(slot: usize) -> u64 {
    FIRST_SLOT + slot as u64 * SLOT_BYTES
}

/// Address of the pointer that the patched site of `slot` jumps through.
pub const fn entry(slot: usize) -> u64 {
    GATE + slot_offset(slot)
}

/// The bytes of `slot` for calls of `number`.
pub fn slot(slot: usize, number: u32) -> [u8; SLOT_BYTES as usize] {
    let address = entry(slot);
    let [a, b, c, d, ..] = address.to_le_bytes();
    // JMP rel32 counts from its own end, which is where STOP begins.
    let [e, f, g, h, ..] = GATE.wrapping_sub(address + STOP).to_le_bytes();
    let [i, j, k, l] = number.to_le_bytes();
    let code = [
        0xb8, a, b, c, d, // MOV eax, address
        0xe9, e, f, g, h, // JMP trampoline
        0xb8, i, j, k, l, // MOV eax, number
        0x0f, 0x05, // SYSCALL
    ];
    let mut bytes = [0xcc; SLOT_BYTES as usize];
    bytes[..8].copy_from_slice(&(address + HAND_OVER).to_le_bytes());
    bytes[8..25].copy_from_slice(&code);
    bytes
}

/// The slot that `address` is in.
pub fn slot_at(address: u64) -> Option<usize> {
    let offset = address.checked_sub(GATE + FIRST_SLOT)?;
    usize::try_from(offset / SLOT_BYTES).ok().filter(|slot| *slot < SLOTS)
}

/// What a thread that is stopped in the gate was about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is in this slot: before its call, or after it if a system call stopped it.
    Slot(usize),
    /// To make a call. Its registers are those of the program, and the slot is in rax.
    Beginning,
    /// To make a call. The slot and the stack pointer are in the area; the flags too, unless the
    /// register still holds them.
    Saved {
        /// The register does.
        flags: bool,
    },
    /// It has asked for an answer; the state of the area tells whether there is one.
    Waiting,
    /// To go on after a call.
    Leaving,
}

/// Where in the gate a thread with these registers is, if it is there.
pub fn place(rip: u64, rflags: u64) -> Option<Place> {
    const ZERO_FLAG: u64 = 1 << 6;
    if rip.wrapping_sub(GATE) >= PAGE_SIZE as u64 {
        return None;
    }
    if let Some(slot) = slot_at(rip) {
        return Some(Place::Slot(slot));
    }
    let offset = rip - GATE;
    let has_asked = offset == offset!(sandbox_gate_asked) && rflags & ZERO_FLAG != 0;
    Some(if offset >= offset!(sandbox_gate_leaving) {
        Place::Leaving
    } else if offset >= offset!(sandbox_gate_waiting) || has_asked {
        Place::Waiting
    } else if offset >= offset!(sandbox_gate_saving) {
        Place::Saved { flags: offset <= offset!(sandbox_gate_saved) }
    } else {
        Place::Beginning
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trampoline_ends_before_the_slots() {
        assert!(trampoline().len() < FIRST_SLOT as usize);
        assert_eq!(slot_at(GATE + FIRST_SLOT - 1), None);
        assert_eq!(slot_at(entry(SLOTS - 1) + SLOT_BYTES - 1), Some(SLOTS - 1));
        assert_eq!(slot_at(entry(SLOTS)), None);
    }

    #[test]
    fn slots_jump_to_the_trampoline() {
        let bytes = slot(3, 0x1234);
        let entered = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(entered, entry(3) + HAND_OVER);
        let distance = i32::from_le_bytes(bytes[14..18].try_into().unwrap());
        assert_eq!((entry(3) + STOP).wrapping_add_signed(distance.into()), GATE);
        assert_eq!(bytes[18..25], [0xb8, 0x34, 0x12, 0, 0, 0x0f, 0x05]);
    }

    #[test]
    fn places_tell_what_becomes_of_the_call() {
        assert_eq!(place(GATE - 1, 0), None);
        assert_eq!(place(GATE + 4096, 0), None);
        assert_eq!(place(GATE, 0), Some(Place::Beginning));
        let at = |offset| place(GATE + offset, 0);
        assert_eq!(at(offset!(sandbox_gate_saving)), Some(Place::Saved { flags: true }));
        assert_eq!(at(offset!(sandbox_gate_saved)), Some(Place::Saved { flags: true }));
        assert_eq!(at(offset!(sandbox_gate_asked)), Some(Place::Saved { flags: false }));
        assert_eq!(place(GATE + offset!(sandbox_gate_asked), 0x40), Some(Place::Waiting));
        assert_eq!(at(offset!(sandbox_gate_waiting) - 1), Some(Place::Saved { flags: false }));
        assert_eq!(at(offset!(sandbox_gate_waiting)), Some(Place::Waiting));
        assert_eq!(at(offset!(sandbox_gate_leaving)), Some(Place::Leaving));
        assert_eq!(place(entry(5) + HAND_OVER, 0), Some(Place::Slot(5)));
    }
}
