//! Calls that are handed over instead of made by stops.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test helpers fail by panicking")]

mod common;

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use common::*;
use platform_ptrace::PtracePlatform;
use sentry::platform::{
    AddressSpaceId, Exception, ExecutorId, Platform, Protection, Registers, Trap, UserContext,
};

const TEXT: Protection = READ_EXECUTE.union(Protection::PRIVATE);

/// MOV eax, 39; SYSCALL; INC rbx; JMP back.
const CALL_LOOP: [u8; 12] = [0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x48, 0xff, 0xc3, 0xeb, 0xf4];

/// Address of the gate in stubs, and of the areas.
const GATE: u64 = 0x6_0000;
const AREAS: u64 = 0x7_0000;

/// More calls than it takes to patch a site and to try handing over.
const MANY: u64 = 2000;

/// An address space with `code` mapped as private text at [`CODE`], and one page at [`DATA`].
fn text_space(platform: &PtracePlatform, code: &[u8]) -> AddressSpaceId {
    platform.memory().write(CODE_FRAME.address(), code).unwrap();
    let space = platform.create_address_space(sentry::memory::Frame(0)).unwrap();
    platform.map(space, CODE, CODE_FRAME, 1, TEXT);
    platform.map(space, DATA, DATA_FRAME, 1, READ_WRITE);
    space
}

/// Runs to the next call, which must be that of [`CALL_LOOP`] in round `round`, and answers it.
fn call(platform: &PtracePlatform, space: AddressSpaceId, task: &mut UserContext, round: u64) {
    assert_eq!(run(platform, EXECUTOR, space, task), Trap::Syscall);
    let registers = &task.registers;
    assert_eq!((registers.original_rax, registers.rip, registers.rbx), (39, CODE + 7, round));
    assert_eq!((registers.rcx, registers.r11), (CODE + 7, registers.rflags));
    task.registers.rax = round;
}

/// Makes calls until the site is patched and calls are handed over, if they ever are.
fn warmed_up(
    configure: impl FnOnce(&mut platform_ptrace::Config),
) -> (Arc<PtracePlatform>, AddressSpaceId, UserContext) {
    let mut config = config(2);
    configure(&mut config);
    let platform = PtracePlatform::new(config).unwrap();
    let space = text_space(&platform, &CALL_LOOP);
    let mut task = task(&platform);
    (0..MANY).for_each(|round| call(&platform, space, &mut task, round));
    (platform, space, task)
}

#[test]
fn no_call_is_handed_over_if_that_is_off() {
    let (platform, ..) = warmed_up(|config| config.hands_over_calls = false);
    assert_eq!(platform.handed_over_calls(), 0);
}

#[test]
fn calls_are_handed_over() {
    let (platform, space, mut task) = warmed_up(|_| {});
    if !can_hand_over() {
        return;
    }
    // A busy host may keep them from it for a while.
    let start = Instant::now();
    let mut round = MANY;
    while platform.handed_over_calls() < MANY {
        assert!(start.elapsed() < Duration::from_secs(60), "it never happens");
        call(&platform, space, &mut task, round);
        round += 1;
    }
}

/// Whether the host has two processors for this process.
fn can_hand_over() -> bool {
    std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1)
}

/// Registers with a value of their own each.
fn marked(task: &mut UserContext) {
    task.registers = Registers {
        rdx: 3,
        rsi: 4,
        rdi: 5,
        rbp: 6,
        rsp: DATA + 2048,
        r8: 8,
        r9: 9,
        r10: 10,
        r12: 12,
        r13: 13,
        r14: 14,
        r15: 15,
        fs_base: 0x1234_5000,
        // Every status flag, and the direction flag.
        rflags: 0x202 | 0x8d5 | 0x400,
        ..task.registers
    };
}

#[test]
fn registers_and_the_red_zone_survive() {
    let (platform, space, mut task) = warmed_up(|_| {});
    let red_zone = DATA_FRAME.address() + 2048 - 128;
    platform.memory().write(red_zone, &[0x5a; 128]).unwrap();
    marked(&mut task);
    for round in MANY..2 * MANY {
        let before = task.registers;
        call(&platform, space, &mut task, round);
        // INC leaves the carry flag alone and sets others.
        let expected =
            Registers { rflags: task.registers.rflags, rax: round, rbx: round, ..before };
        let expected = Registers { r11: expected.rflags, rip: CODE + 7, rcx: CODE + 7, ..expected };
        assert_eq!(Registers { original_rax: before.original_rax, ..task.registers }, expected);
        assert_eq!(task.registers.rflags & 0x401, 0x401, "carry and direction");
    }
    let mut bytes = [0; 128];
    platform.memory().read(red_zone, &mut bytes).unwrap();
    assert_eq!(bytes, [0x5a; 128]);
}

#[test]
fn changed_registers_take_effect() {
    let (platform, space, mut task) = warmed_up(|_| {});
    for round in MANY..MANY + 200 {
        call(&platform, space, &mut task, round);
        if round % 3 == 0 {
            (task.registers.r12, task.registers.rsp) = (round, DATA + 8 * round % 4096);
        }
        let set = (task.registers.r12, task.registers.rsp);
        call(&platform, space, &mut task, round + 1);
        assert_eq!((task.registers.r12, task.registers.rsp), set);
        task.registers.rbx = round + 1;
        task.registers.rip = CODE;
    }
}

#[test]
fn a_call_is_restarted_where_syscall_was() {
    let (platform, space, mut task) = warmed_up(|_| {});
    for round in MANY..MANY + 100 {
        call(&platform, space, &mut task, round);
        // As the sentry does: back to SYSCALL, with the number, or another.
        (task.registers.rip, task.registers.rax) = (CODE + 5, 219);
        assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
        assert_eq!((task.registers.original_rax, task.registers.rip), (219, CODE + 7));
    }
}

#[test]
fn a_site_can_be_single_stepped() {
    let (platform, space, mut task) = warmed_up(|_| {});
    let step = |task: &mut UserContext| {
        task.registers.rflags |= 0x100;
        (run(&platform, EXECUTOR, space, task), task.registers.rip)
    };
    let debug = Trap::Exception(Exception::Debug);
    for _ in 0..20 {
        task.registers.rip = CODE;
        assert_eq!(step(&mut task), (debug, CODE + 5));
        assert_eq!(task.registers.rax, 39);
        assert_eq!(step(&mut task), (Trap::Syscall, CODE + 7));
        task.registers.rip = CODE + 7;
        assert_eq!(step(&mut task), (debug, CODE + 10));
    }
}

#[test]
fn interrupts_lose_no_call() {
    let (platform, space, mut task) = warmed_up(|_| {});
    let stop = Arc::new(AtomicBool::new(false));
    let (other, stopped) = (platform.clone(), stop.clone());
    let interrupter = std::thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            other.interrupt(EXECUTOR);
            for _ in 0..500 {
                std::hint::spin_loop();
            }
        }
    });
    (MANY..20 * MANY).for_each(|round| call(&platform, space, &mut task, round));
    stop.store(true, Ordering::SeqCst);
    interrupter.join().unwrap();
}

#[test]
fn a_program_that_writes_its_text_sees_what_it_wrote() {
    let (platform, space, mut task) = warmed_up(|_| {});
    platform.protect(space, CODE, 1, Protection::all());
    platform.memory().write(CODE_FRAME.address() + 1, &[57]).unwrap();
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
    assert_eq!((task.registers.original_rax, task.registers.rip), (57, CODE + 7));
    platform.protect(space, CODE, 1, READ_EXECUTE);
    assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
    assert_eq!(task.registers.original_rax, 57);
}

#[test]
fn other_text_at_the_same_place_is_not_patched() {
    let (platform, space, mut task) = warmed_up(|_| {});
    platform.unmap(space, CODE, 1);
    let other = [&[0xb8, 57, 0, 0, 0][..], &CALL_LOOP[5..]].concat();
    platform.memory().write(CODE_FRAME.address(), &other).unwrap();
    platform.map(space, CODE, CODE_FRAME, 1, TEXT);
    for _ in 0..MANY {
        assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
        assert_eq!((task.registers.original_rax, task.registers.rip), (57, CODE + 7));
    }
}

#[test]
fn sandbox_memory_is_never_patched() {
    let (platform, ..) = warmed_up(|_| {});
    let mut bytes = [0; CALL_LOOP.len()];
    platform.memory().read(CODE_FRAME.address(), &mut bytes).unwrap();
    assert_eq!(bytes, CALL_LOOP);
}

#[test]
fn an_unmap_takes_effect_while_a_thread_waits_for_its_answer() {
    // MOV eax, 39; SYSCALL; MOV rbx, [rdi]; JMP back.
    let code = [&CALL_LOOP[..7], &[0x48, 0x8b, 0x1f, 0xeb, 0xf4]].concat();
    let platform = platform(1);
    for _ in 0..30 {
        let space = text_space(&platform, &code);
        let mut task = task(&platform);
        task.registers.rdi = DATA;
        for _ in 0..200 {
            assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
        }
        platform.unmap(space, DATA, 1);
        let fault = Trap::PageFault { address: DATA, access: None };
        assert_eq!(run(&platform, EXECUTOR, space, &mut task), fault);
        platform.map(space, DATA, DATA_FRAME, 1, READ_WRITE);
        assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
        platform.destroy_address_space(space);
    }
}

#[test]
fn tasks_may_block_in_calls() {
    let (platform, space, mut task) = warmed_up(|_| {});
    for round in MANY..MANY + 300 {
        call(&platform, space, &mut task, round);
        if round % 3 == 0 {
            platform.idle(EXECUTOR, Some(platform.monotonic_nanoseconds() + 1000));
        } else if round % 7 == 0 {
            platform.leave_address_space(EXECUTOR);
        }
    }
}

#[test]
fn spaces_share_a_page_of_text_at_different_addresses() {
    let (platform, first, mut parent) = warmed_up(|_| {});
    let second = platform.create_address_space(sentry::memory::Frame(0)).unwrap();
    let distance = 0x10_0000;
    platform.map(second, CODE + distance, CODE_FRAME, 1, TEXT);
    let mut child = task(&platform);
    child.registers.rip = CODE + distance;
    for round in 0..MANY {
        // Some calls of the one, then some of the other.
        for _ in 0..2 {
            assert_eq!(run(&platform, EXECUTOR, second, &mut child), Trap::Syscall);
            assert_eq!(child.registers.rip, CODE + distance + 7);
        }
        call(&platform, first, &mut parent, MANY + round);
    }
    platform.destroy_address_space(second);
    let third = text_space(&platform, &CALL_LOOP);
    let mut task = task(&platform);
    (0..MANY).for_each(|round| call(&platform, third, &mut task, round));
}

#[test]
fn vector_state_survives() {
    // MOV eax, 39; SYSCALL; MOVQ rbx, xmm0; ADD rbx, 1; MOVQ xmm0, rbx; JMP back.
    let code = [
        &CALL_LOOP[..7],
        &[0x66, 0x48, 0x0f, 0x7e, 0xc3, 0x48, 0x83, 0xc3, 0x01],
        &[0x66, 0x48, 0x0f, 0x6e, 0xc3, 0xeb, 0xe9],
    ]
    .concat();
    let platform = platform(1);
    let space = text_space(&platform, &code);
    let mut tasks = [task(&platform), task(&platform)];
    for round in 0..MANY {
        // Mostly one of them, so that its calls are handed over.
        for task in tasks.iter_mut().take(if round % 100 == 0 { 2 } else { 1 }) {
            let before = task.registers.rbx;
            assert_eq!(run(&platform, EXECUTOR, space, task), Trap::Syscall);
            assert_eq!(task.registers.rbx, if round == 0 { 0 } else { before + 1 });
        }
        if round % 64 == 0 {
            platform.save_extended_state(EXECUTOR, &mut tasks[0]);
        }
    }
}

#[test]
fn programs_may_use_gs() {
    let (platform, space, mut task) = warmed_up(|_| {});
    task.registers.gs_base = DATA;
    for round in MANY..MANY + 200 {
        call(&platform, space, &mut task, round);
        assert_eq!(task.registers.gs_base, DATA);
    }
    task.registers.gs_base = 0;
    for round in MANY + 200..2 * MANY {
        call(&platform, space, &mut task, round);
        assert_eq!(task.registers.gs_base, 0);
    }
}

#[test]
fn two_executors_hand_over_in_one_space() {
    let (platform, space, mut task) = warmed_up(|_| {});
    let (other, end) = (platform.clone(), Arc::new(Barrier::new(2)));
    let both_are_done = end.clone();
    let second = std::thread::spawn(move || {
        let mut task = common::task(&other);
        for round in 0..10 * MANY {
            assert_eq!(run(&other, ExecutorId(1), space, &mut task), Trap::Syscall);
            assert_eq!(task.registers.rbx, round);
            task.registers.rax = round;
        }
        // The end of an executor's thread ends its stub threads, and the address space with them.
        both_are_done.wait();
    });
    (MANY..10 * MANY).for_each(|round| call(&platform, space, &mut task, round));
    end.wait();
    second.join().unwrap();
}

/// A program that does what the gate does, with a hostile twist: it fills its own area with what
/// `rdi` points to, and calls.
#[test]
fn hostile_areas_hurt_nobody_else() {
    // MOV eax, 39; SYSCALL; MOV rsi, r12; MOV rdi, r13; MOV ecx, 32; REP MOVSQ; JMP back.
    let code = [
        &CALL_LOOP[..7],
        &[0x4c, 0x89, 0xe6, 0x4c, 0x89, 0xef, 0xb9, 32, 0, 0, 0, 0xf3, 0x48, 0xa5, 0xeb, 0xe9],
    ]
    .concat();
    let platform = platform(2);
    let mut random = 1_u64;
    let mut next = || {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let space = text_space(&platform, &code);
    for executor in [0_u64, 0, 1] {
        let mut task = task(&platform);
        // It must not write before the area is there.
        (task.registers.r12, task.registers.r13) = (DATA, DATA + 2048);
        for round in 0..3000_u64 {
            let trap = platform.run_user(EXECUTOR, space, &mut task, None);
            if trap != Trap::Syscall && trap != Trap::Interrupted || round % 50 == 0 {
                task = common::task(&platform);
                task.registers.r12 = DATA;
                task.registers.r13 = if round > 500 { AREAS + executor * 256 } else { DATA + 2048 };
            }
            for word in 0..32 {
                let value = match next() % 4 {
                    0 => next() % 5,
                    1 => GATE + 0x400 + next() % 64,
                    2 => CODE + next() % 8,
                    _ => next() << 32 | next(),
                };
                let place = DATA_FRAME.address() + word * 8;
                platform.memory().write(place, &value.to_le_bytes()).unwrap();
            }
        }
    }
    // The platform still works.
    let space = text_space(&platform, &CALL_LOOP);
    let mut task = task(&platform);
    (0..MANY).for_each(|round| call(&platform, space, &mut task, round));
}

#[test]
fn programs_may_jump_anywhere_in_the_gate() {
    let (platform, space, mut task) = warmed_up(|_| {});
    for address in GATE..GATE + 0x480 {
        for rax in [0, GATE + 0x400, GATE + 0x402, 1 << 63] {
            task.registers.rip = address;
            (task.registers.rax, task.registers.rcx, task.registers.r11) = (rax, CODE, DATA);
            task.registers.rsp = DATA + 2048;
            for _ in 0..3 {
                platform.run_user(EXECUTOR, space, &mut task, None);
            }
        }
    }
    (task.registers.rip, task.registers.rbx) = (CODE, 0);
    (0..MANY).for_each(|round| call(&platform, space, &mut task, round));
}
