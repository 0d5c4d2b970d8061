//! Tries from user code what only a kernel may do, each in a process of its own, and prints
//! `NAME SIGNAL` for how that process ended. Run natively and in the sandbox, it must print the same.
#![allow(unsafe_code, reason = "privileged instructions and forbidden addresses are the point")]
#![allow(clippy::print_stdout, clippy::panic, reason = "a test program")]

use std::arch::asm;

/// What is tried, and how. None of them may return.
type Attempt = (&'static str, fn());

const ATTEMPTS: &[Attempt] = &[
    ("read-port", read_port),
    ("write-port", write_port),
    ("read-msr", read_msr),
    ("write-msr", write_msr),
    ("halt", halt),
    ("disable-interrupts", disable_interrupts),
    ("read-page-table-root", read_page_table_root),
    ("write-page-table-root", write_page_table_root),
    ("load-interrupt-table", load_interrupt_table),
    ("flush-translation", flush_translation),
    ("set-extended-control", set_extended_control),
    ("forge-interrupt", forge_interrupt),
    ("read-direct-map", || read(0xffff_8000_0000_0000)),
    ("read-device-window", || read(0xffff_8040_0000_0000)),
    ("read-kernel-image", || read(0xffff_ffff_8020_0000)),
    ("write-kernel-image", || write(0xffff_ffff_8020_0000)),
    ("read-kernel-stack", || read(0xffff_ff00_0000_f000)),
    ("read-local-apic", || read(0xfee0_0000)),
    ("read-vsyscall-of-none", || read(0xffff_ffff_ff80_0000)),
    ("read-non-canonical", || read(0x0000_9000_0000_0000)),
    ("execute-kernel-image", || jump(0xffff_ffff_8020_0000)),
    ("execute-non-canonical", || jump(0x0000_9000_0000_0000)),
];

fn main() {
    for (name, attempt) in ATTEMPTS {
        println!("{name} {}", signal_of(*attempt));
    }
}

/// The signal that ends a child process which makes `attempt`; 0 if none did.
fn signal_of(attempt: fn()) -> i32 {
    // SAFETY: the program has one thread; the child makes the attempt and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        attempt();
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: room for one status.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 }
}

/// Defines functions that execute one forbidden instruction each.
macro_rules! instructions {
    ($($name:ident: $($instruction:literal),+;)*) => {
        $(
            fn $name() {
                // SAFETY: the processor refuses the instruction in user mode; that ends the process.
                unsafe {
                    asm!($($instruction),+, out("rax") _, out("rcx") _, out("rdx") _);
                }
            }
        )*
    };
}

instructions! {
    read_port: "mov dx, 0x60", "in al, dx";
    write_port: "mov dx, 0x510", "xor eax, eax", "out dx, al";
    read_msr: "mov ecx, 0xc0000080", "rdmsr";
    write_msr: "mov ecx, 0xc0000082", "xor eax, eax", "xor edx, edx", "wrmsr";
    halt: "hlt";
    disable_interrupts: "cli";
    read_page_table_root: "mov rax, cr3";
    write_page_table_root: "xor eax, eax", "mov cr3, rax";
    load_interrupt_table: "lidt [rsp]";
    flush_translation: "invlpg [rsp]";
    set_extended_control: "xor ecx, ecx", "mov eax, 1", "xor edx, edx", "xsetbv";
    forge_interrupt: "int 0x20";
}

fn read(address: usize) {
    // SAFETY: not mapped for user code; the fault ends the process.
    unsafe { (address as *const u8).read_volatile() };
}

fn write(address: usize) {
    // SAFETY: as above.
    unsafe { (address as *mut u8).write_volatile(0) };
}

fn jump(address: usize) {
    // SAFETY: as above.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) };
}
