//! User code runs, and its traps arrive.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test helpers fail by panicking")]

mod common;

use common::*;
use sentry::platform::{Access, Exception, Platform, Protection, Trap};

/// Runs `code` in an address space of its own up to its first trap.
fn first_trap(code: &[u8]) -> (Trap, sentry::platform::Registers) {
    let platform = platform(1);
    let space = space(&platform, code);
    let mut task = task(&platform);
    let trap = run(&platform, EXECUTOR, space, &mut task);
    (trap, task.registers)
}

#[test]
fn a_system_call_traps_with_number_and_arguments() {
    let platform = platform(1);
    let space = space(&platform, &[SYSCALL, SYSCALL].concat());
    let mut task = task(&platform);
    (task.registers.rax, task.registers.rdi, task.registers.r9) = (39, 1, 6);
    (task.registers.fs_base, task.registers.rsp) = (0x1234_5000, 0x7000);
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
    assert_eq!(task.registers.original_rax, 39);
    assert_eq!(task.registers.syscall_arguments()[0], 1);
    assert_eq!(task.registers.syscall_arguments()[5], 6);
    assert_eq!(task.registers.rip, CODE + 2);
    assert_eq!((task.registers.fs_base, task.registers.rsp), (0x1234_5000, 0x7000));
    task.registers.rax = 57;
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
    assert_eq!((task.registers.original_rax, task.registers.rip), (57, CODE + 4));
}

#[test]
fn exceptions_are_told_apart() {
    let exception = |code: &[u8]| match first_trap(code) {
        (Trap::Exception(exception), registers) => (exception, registers.rip - CODE),
        (trap, _) => panic!("{trap:?}"),
    };
    assert_eq!(exception(&[0xcc]), (Exception::Breakpoint, 1));
    assert_eq!(exception(&[0x0f, 0x0b]), (Exception::InvalidOpcode, 0));
    assert_eq!(exception(&[0x31, 0xc9, 0xf7, 0xf1]), (Exception::DivideError, 2), "DIV ecx");
    assert_eq!(exception(&[0xf4]), (Exception::GeneralProtection, 0), "HLT");
    assert_eq!(exception(&[0xcd, 0x80]), (Exception::GeneralProtection, 0), "INT 0x80");
    // MOV rax, 1 << 63; MOV [rax], rax: not canonical.
    let code = [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x48, 0x89, 0x00];
    assert_eq!(exception(&code), (Exception::GeneralProtection, 10));
    // PUSHFQ and POPFQ with TF set need a stack; the flag can be set on entry instead.
    let platform = platform(1);
    let space = space(&platform, &[0x90, 0x90, 0x90]);
    let mut task = task(&platform);
    task.registers.rflags |= 0x100;
    let trap = run(&platform, EXECUTOR, space, &mut task);
    assert_eq!((trap, task.registers.rip), (Trap::Exception(Exception::Debug), CODE + 1));
}

#[test]
fn compatibility_mode_is_refused() {
    // A far return to 32-bit code: PUSH 0x23; PUSH CODE + 64; RETFQ, which needs a stack.
    let platform = platform(1);
    let mut code = vec![0x6a, 0x23, 0x68, 0x40, 0, 0x40, 0, 0x48, 0xcb];
    code.resize(64, 0x90);
    code.extend([0xcd, 0x80]);
    let space = space(&platform, &code);
    platform.map(space, DATA, DATA_FRAME, 1, READ_WRITE);
    let mut task = task(&platform);
    task.registers.rsp = DATA + 4096;
    let trap = run(&platform, EXECUTOR, space, &mut task);
    assert_eq!(trap, Trap::Exception(Exception::GeneralProtection));
}

#[test]
fn vsyscalls_become_system_calls() {
    // MOV rax, 0xffffffffff600400 (time); CALL rax; SYSCALL.
    let code = [0x48, 0xc7, 0xc0, 0x00, 0x04, 0x60, 0xff, 0xff, 0xd0, 0x0f, 0x05];
    let platform = platform(1);
    let space = space(&platform, &code);
    platform.map(space, DATA, DATA_FRAME, 1, READ_WRITE);
    let mut task = task(&platform);
    task.registers.rsp = DATA + 4096;
    match run(&platform, EXECUTOR, space, &mut task) {
        Trap::Syscall => {
            assert_eq!((task.registers.original_rax, task.registers.rip), (201, CODE + 9));
        }
        // A host may have no vsyscall page.
        Trap::PageFault { address, .. } => assert_eq!(address, 0xffff_ffff_ff60_0400),
        trap => panic!("{trap:?}"),
    }
}

#[test]
fn a_fault_is_reported_and_resolved_by_mapping() {
    // MOV [rdi], rax; SYSCALL.
    let platform = platform(1);
    let space = space(&platform, &[0x48, 0x89, 0x07, 0x0f, 0x05]);
    let mut task = task(&platform);
    (task.registers.rdi, task.registers.rax) = (DATA + 8, 0x1122);
    let fault = |access| Trap::PageFault { address: DATA + 8, access };
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), fault(None));
    assert_eq!(task.registers.rip, CODE);
    platform.map(space, DATA, DATA_FRAME, 1, Protection::READ);
    let violation = fault(Some(Access::Write));
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), violation, "read-only");
    platform.protect(space, DATA, 1, READ_WRITE);
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
    let mut bytes = [0; 8];
    platform.memory().read(DATA_FRAME.address() + 8, &mut bytes).unwrap();
    assert_eq!(u64::from_le_bytes(bytes), 0x1122);
    task.registers.rip = CODE;
    platform.unmap(space, DATA - 4096, 3);
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), fault(None), "unmapped");
}

#[test]
fn a_mapping_replaces_another() {
    // MOV rax, [rdi]; SYSCALL.
    let platform = platform(1);
    let space = space(&platform, &[0x48, 0x8b, 0x07, 0x0f, 0x05]);
    let mut task = task(&platform);
    task.registers.rdi = DATA;
    for frame in [DATA_FRAME, DATA_FRAME.offset(7)] {
        platform.memory().write(frame.address(), &frame.address().to_le_bytes()).unwrap();
        platform.map(space, DATA, frame, 1, Protection::READ);
        task.registers.rip = CODE;
        assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
        assert_eq!(task.registers.original_rax, frame.address());
    }
}

#[test]
fn released_frames_read_as_zero() {
    let platform = platform(1);
    platform.memory().write(DATA_FRAME.address(), &[7; 4096]).unwrap();
    platform.release_frames(DATA_FRAME, 1);
    let mut bytes = [1; 16];
    platform.memory().read(DATA_FRAME.address(), &mut bytes).unwrap();
    assert_eq!(bytes, [0; 16]);
}

#[test]
fn the_stub_pages_are_out_of_reach() {
    // Reading the command page works, and shows nothing of the sandbox but this process's own
    // mappings. Writing it does not, and the code page's SYSCALL is a trap as any other.
    let platform = platform(1);
    let limit = platform.user_address_limit();
    let space = space(&platform, &[0x48, 0x89, 0x07, 0x0f, 0x05]);
    let mut task = task(&platform);
    for page in [0x7fff_ffff_d000, 0x7fff_ffff_e000] {
        assert!(page >= limit);
        (task.registers.rip, task.registers.rdi) = (CODE, page);
        platform.unmap(space, page, 1);
        platform.map(space, page, DATA_FRAME, 1, READ_WRITE);
        let trap = run(&platform, EXECUTOR, space, &mut task);
        assert!(matches!(trap, Trap::PageFault { address, .. } if address == page), "{trap:?}");
    }
    task.registers.rip = 0x7fff_ffff_e000 + 128;
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
}

#[test]
fn invalid_registers_are_the_task_s_fault() {
    let platform = platform(1);
    let space = space(&platform, &SYSCALL);
    let mut task = task(&platform);
    task.registers.fs_base = 1 << 63;
    let refused = Trap::Exception(Exception::GeneralProtection);
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), refused);
    task.registers.fs_base = 0;
    platform.save_extended_state(EXECUTOR, &mut task);
    task.extended.lock().bytes[512..576].fill(0xff);
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), refused);
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
}
