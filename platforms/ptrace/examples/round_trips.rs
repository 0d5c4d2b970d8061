//! Measures what the platform costs on this host: `cargo run --release --example round_trips`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring program for developers")]

use std::time::{Duration, Instant};

use platform_ptrace::{Config, PtracePlatform, create_sandbox_memory};
use sentry::{
    memory::Frame,
    platform::{ExecutorId, Platform, Protection, Trap, UserContext},
};

const EXECUTOR: ExecutorId = ExecutorId(0);
const ROUNDS: u32 = 200_000;
const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x1000_0000;

/// SYSCALL; JMP back.
const SYSCALL_LOOP: [u8; 4] = [0x0f, 0x05, 0xeb, 0xfc];

/// MOV eax, 39; SYSCALL; JMP back.
const SITE_LOOP: [u8; 9] = [0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];

/// MOV [rdi], rax; ADD rdi, 4096; JMP back.
const TOUCH_LOOP: [u8; 12] = [0x48, 0x89, 0x07, 0x48, 0x81, 0xc7, 0, 0x10, 0, 0, 0xeb, 0xf4];

fn main() {
    let memory_size = 1 << 30;
    let memory = create_sandbox_memory(memory_size).unwrap();
    let platform = PtracePlatform::new(Config {
        memory,
        memory_size,
        windows: vec![],
        executors: 1,
        trusts_tsc: true,
        hands_over_calls: true,
        kicks: vec![],
        calls: vec![],
    });
    let platform = platform.unwrap();
    let bare = platform.measure_bare_stop(EXECUTOR, ROUNDS).unwrap();
    report("bare PTRACE_SYSEMU stop", bare);
    report("system call through run_user", system_calls(&platform, &SYSCALL_LOOP));
    report("the same, handed over", system_calls(&platform, &SITE_LOOP));
    report("reused address space, first trap, its end", spaces(&platform, 1));
    report("the same, 64 at once, so most are new", spaces(&platform, 64));
    for pages in [1, 16, 64] {
        let (fault, touch) = faults(&platform, pages);
        report(&format!("fault that maps {pages:2} pages"), fault);
        report("  of which per page", touch);
    }
}

fn report(what: &str, time: Duration) {
    println!("{what:46} {:8} ns", time.as_nanos());
}

fn task(platform: &PtracePlatform) -> UserContext {
    let mut context = UserContext::new(platform.extended_state_size());
    (context.registers.rip, context.registers.rdi) = (CODE, DATA);
    context
}

fn system_calls(platform: &PtracePlatform, code: &[u8]) -> Duration {
    platform.memory().write(4096, code).unwrap();
    let space = platform.create_address_space(Frame(0)).unwrap();
    let text = Protection::READ | Protection::EXECUTE | Protection::PRIVATE;
    platform.map(space, CODE, Frame(1), 1, text);
    let mut task = task(platform);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        while platform.run_user(EXECUTOR, space, &mut task, None) != Trap::Syscall {}
        task.registers.rax = 39;
    }
    let time = start.elapsed() / ROUNDS;
    platform.destroy_address_space(space);
    time
}

/// Time of a fault that maps `pages` pages, and that divided by the pages.
fn faults(platform: &PtracePlatform, pages: usize) -> (Duration, Duration) {
    const TOUCHED: u32 = 16_384;
    platform.memory().write(4096, &TOUCH_LOOP).unwrap();
    // The sentry clears frames before it maps them, so the host has them already.
    platform.memory().zero(16 << 20, TOUCHED as usize * 4096).unwrap();
    let space = platform.create_address_space(Frame(0)).unwrap();
    platform.map(space, CODE, Frame(1), 1, Protection::READ | Protection::EXECUTE);
    let mut task = task(platform);
    let (mut faults, start) = (0, Instant::now());
    loop {
        match platform.run_user(EXECUTOR, space, &mut task, None) {
            Trap::PageFault { address, .. } => {
                let page = (address - DATA) / 4096;
                if page >= u64::from(TOUCHED) {
                    break;
                }
                let frame = Frame::containing((16 << 20) + page * 4096).unwrap();
                platform.map(space, address, frame, pages, Protection::READ | Protection::WRITE);
                faults += 1;
            }
            trap => assert_eq!(trap, Trap::Interrupted),
        }
    }
    let time = start.elapsed();
    platform.destroy_address_space(space);
    (time / faults, time / TOUCHED)
}

/// Time to make, enter and end an address space, of which `count` exist at once.
fn spaces(platform: &PtracePlatform, count: u32) -> Duration {
    const ROUNDS: u32 = 20;
    platform.memory().write(4096, &SYSCALL_LOOP).unwrap();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let spaces: Vec<_> =
            (0..count).map(|_| platform.create_address_space(Frame(0)).unwrap()).collect();
        for &space in &spaces {
            platform.map(space, CODE, Frame(1), 1, Protection::READ | Protection::EXECUTE);
            let mut task = task(platform);
            while platform.run_user(EXECUTOR, space, &mut task, None) != Trap::Syscall {}
        }
        spaces.into_iter().for_each(|space| platform.destroy_address_space(space));
    }
    start.elapsed() / (ROUNDS * count)
}
