//! Several tasks and several executors: vector state, concurrency, interrupts.
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
    Access, AddressSpaceId, ExecutorId, Platform, Protection, Trap, UserContext,
};

/// MOVQ xmm0, rdi; SYSCALL; MOVQ rdi, xmm0; SYSCALL.
const VECTOR_CODE: [u8; 14] =
    [0x66, 0x48, 0x0f, 0x6e, 0xc7, 0x0f, 0x05, 0x66, 0x48, 0x0f, 0x7e, 0xc7, 0x0f, 0x05];

/// LOCK INC qword [rdi]; JMP back: runs until interrupted.
const COUNTING_LOOP: [u8; 6] = [0xf0, 0x48, 0xff, 0x07, 0xeb, 0xfa];

fn step(platform: &PtracePlatform, executor: u16, space: AddressSpaceId, task: &mut UserContext) {
    assert_eq!(run(platform, ExecutorId(executor), space, task), Trap::Syscall);
}

/// The counter that [`COUNTING_LOOP`] counts in.
fn counter(platform: &PtracePlatform) -> u64 {
    platform.memory().atomic_u64(DATA_FRAME.address()).unwrap().load(Ordering::SeqCst)
}

fn counting(platform: &PtracePlatform) -> (AddressSpaceId, UserContext) {
    let space = space(platform, &COUNTING_LOOP);
    platform.map(space, DATA, DATA_FRAME, 1, READ_WRITE);
    let mut task = task(platform);
    task.registers.rdi = DATA;
    (space, task)
}

/// Calls `condition` until it holds.
fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never happens");
        std::thread::yield_now();
    }
}

#[test]
fn tasks_in_one_space_keep_their_vector_state() {
    let platform = platform(1);
    let space = space(&platform, &VECTOR_CODE);
    let mut tasks: Vec<_> = (0..3).map(|_| task(&platform)).collect();
    for (value, task) in (100..).zip(&mut tasks) {
        task.registers.rdi = value;
        step(&platform, 0, space, task);
        task.registers.rdi = 0;
    }
    for (value, task) in (100..).zip(&mut tasks) {
        step(&platform, 0, space, task);
        assert_eq!(task.registers.rdi, value);
    }
}

#[test]
fn vector_state_follows_a_task_to_another_space() {
    let platform = platform(1);
    let first = space(&platform, &VECTOR_CODE);
    let second = space(&platform, &VECTOR_CODE);
    let mut task = task(&platform);
    task.registers.rdi = 7;
    step(&platform, 0, first, &mut task);
    platform.destroy_address_space(first);
    step(&platform, 0, second, &mut task);
    assert_eq!(task.registers.rdi, 7);
}

#[test]
fn saved_vector_state_can_be_copied_and_moved_to_another_executor() {
    let platform = platform(2);
    let space = space(&platform, &VECTOR_CODE);
    let mut parent = task(&platform);
    parent.registers.rdi = 9;
    step(&platform, 0, space, &mut parent);
    platform.save_extended_state(EXECUTOR, &mut parent);
    assert!(!parent.extended.lock().live);
    let mut child = task(&platform);
    child.registers = parent.registers;
    child.extended = parent.extended.duplicate();
    let other = platform.clone();
    // Executor 1 must live on: the stubs it traces end with it.
    let (done, end) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (other_done, other_end) = (done.clone(), end.clone());
    let child = std::thread::spawn(move || {
        step(&other, 1, space, &mut child);
        other_done.wait();
        other_end.wait();
        child.registers.rdi
    });
    done.wait();
    step(&platform, 0, space, &mut parent);
    assert_eq!(parent.registers.rdi, 9);
    end.wait();
    assert_eq!(child.join().unwrap(), 9);
}

#[test]
fn the_extended_state_format_is_the_processor_s() {
    let platform = platform(1);
    let features = platform.extended_state_features();
    assert_eq!(features & 3, 3, "x87 and SSE always are");
    assert!(platform.extended_state_size() >= 576);
}

/// Runs a counting loop on executor 1 while `action` runs on this thread as executor 0. Answers
/// the trap that ended the loop; an interrupt ends it if the action wants that.
fn beside_a_busy_executor(
    action: impl FnOnce(&Arc<PtracePlatform>, AddressSpaceId, &AtomicBool),
) -> Trap {
    let platform = platform(2);
    let (space, mut task) = counting(&platform);
    let other = platform.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let busy = std::thread::spawn(move || {
        loop {
            match other.run_user(ExecutorId(1), space, &mut task, None) {
                Trap::Interrupted if !stopped.load(Ordering::SeqCst) => {}
                trap => return trap,
            }
        }
    });
    until(|| counter(&platform) > 0);
    action(&platform, space, &stop);
    busy.join().unwrap()
}

#[test]
fn two_executors_run_one_space_at_once() {
    let trap = beside_a_busy_executor(|platform, space, stop| {
        let mut task = task(platform);
        let before = counter(platform);
        // This one counts too, in the same page, until its slice ends.
        task.registers.rdi = DATA;
        while platform.run_user(EXECUTOR, space, &mut task, None) != Trap::Interrupted {}
        assert!(counter(platform) > before);
        stop.store(true, Ordering::SeqCst);
        platform.interrupt(ExecutorId(1));
    });
    assert_eq!(trap, Trap::Interrupted);
}

#[test]
fn an_unmap_stops_a_running_executor() {
    // Once with a stub thread of the calling executor in the space, and once without.
    for has_thread in [false, true] {
        let trap = beside_a_busy_executor(|platform, space, _| {
            if has_thread {
                let mut task = task(platform);
                task.registers.rdi = 0x1000;
                run(platform, EXECUTOR, space, &mut task);
            }
            platform.unmap(space, DATA, 1);
            let after = counter(platform);
            std::thread::yield_now();
            assert_eq!(counter(platform), after, "has_thread: {has_thread}");
        });
        assert_eq!(trap, Trap::PageFault { address: DATA, access: None });
    }
}

#[test]
fn a_protect_stops_a_running_executor() {
    let trap = beside_a_busy_executor(|platform, space, _| {
        platform.protect(space, DATA, 1, Protection::READ);
        let after = counter(platform);
        std::thread::yield_now();
        assert_eq!(counter(platform), after);
    });
    assert_eq!(trap, Trap::PageFault { address: DATA, access: Some(Access::Write) });
}

#[test]
fn a_busy_loop_is_interrupted_from_outside() {
    let platform = platform(1);
    let space = space(&platform, &JUMP_TO_SELF);
    let mut task = task(&platform);
    for _ in 0..20 {
        let other = platform.clone();
        let interrupter = std::thread::spawn(move || other.interrupt(EXECUTOR));
        assert_eq!(platform.run_user(EXECUTOR, space, &mut task, None), Trap::Interrupted);
        assert_eq!(task.registers.rip, CODE);
        interrupter.join().unwrap();
    }
}

#[test]
fn a_time_slice_ends() {
    let platform = platform(1);
    let space = space(&platform, &JUMP_TO_SELF);
    let mut task = task(&platform);
    for _ in 0..3 {
        assert_eq!(platform.run_user(EXECUTOR, space, &mut task, None), Trap::Interrupted);
    }
}

#[test]
fn user_mode_ends_at_its_deadline() {
    let platform = platform(1);
    let space = space(&platform, &JUMP_TO_SELF);
    let mut task = task(&platform);
    for _ in 0..5 {
        let deadline = platform.monotonic_nanoseconds() + 1_000_000;
        // A signal of the last round may end one early.
        while platform.monotonic_nanoseconds() < deadline {
            let trap = platform.run_user(EXECUTOR, space, &mut task, Some(deadline));
            assert_eq!(trap, Trap::Interrupted);
        }
    }
}

#[test]
fn halt_ends_everything_for_good() {
    let platform = platform(2);
    let space = space(&platform, &JUMP_TO_SELF);
    let other = platform.clone();
    let idle = std::thread::spawn(move || other.idle(ExecutorId(1), None));
    let halting = platform.clone();
    let halter = std::thread::spawn(move || halting.halt());
    let mut task = task(&platform);
    for _ in 0..3 {
        assert_eq!(platform.run_user(EXECUTOR, space, &mut task, None), Trap::Interrupted);
    }
    halter.join().unwrap();
    idle.join().unwrap();
    platform.idle(EXECUTOR, None);
    assert_eq!(platform.run_user(EXECUTOR, space, &mut task, None), Trap::Interrupted);
}

#[test]
fn a_device_call_ends_user_mode_when_nobody_is_idle() {
    let call = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let mut config = config(1);
    config.calls.push(call.try_clone().unwrap());
    let platform = PtracePlatform::new(config).unwrap();
    let (space, mut task) = counting(&platform);
    let other = platform.clone();
    let caller = std::thread::spawn(move || {
        until(|| counter(&other) > 0);
        rustix::io::write(&call, &1_u64.to_ne_bytes()).unwrap();
    });
    // On a busy host, a time slice may end before the first instruction.
    while !caller.is_finished() {
        assert_eq!(platform.run_user(EXECUTOR, space, &mut task, None), Trap::Interrupted);
    }
    caller.join().unwrap();
}

#[test]
fn spaces_are_reused_empty() {
    let platform = platform(1);
    let code = [0x48, 0x8b, 0x07, 0x0f, 0x05];
    for _ in 0..40 {
        let space = space(&platform, &code);
        let mut task = task(&platform);
        task.registers.rdi = DATA;
        let fault = Trap::PageFault { address: DATA, access: None };
        assert_eq!(run(&platform, EXECUTOR, space, &mut task), fault);
        platform.map(space, DATA, DATA_FRAME, 16, READ_WRITE);
        step(&platform, 0, space, &mut task);
        platform.destroy_address_space(space);
    }
}
