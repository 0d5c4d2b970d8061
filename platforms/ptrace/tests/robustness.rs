//! What the host sees: stubs are empty, end with the sandbox, and may be killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test helpers fail by panicking")]

mod common;

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use common::*;
use rustix::process::{Pid, Signal, kill_process};
use sentry::platform::{Platform, Trap};

/// Set in the process that [`stubs_end_with_the_sandbox`] kills.
const VICTIM: &str = "PTRACE_TEST_VICTIM";

/// Process ids of the children of `parent`.
fn children(parent: u32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap();
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

/// Parent of process `id`, from the fields after its name (proc_pid_stat(5)).
fn parent_of(id: i32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never happens");
        std::thread::yield_now();
    }
}

/// Runs this test program again as a process that holds a sandbox, for tests that look at all
/// children or kill it. Tests run as threads of one process, so they cannot do that in place.
fn in_own_process(test: &str, body: impl FnOnce()) -> Option<std::process::Child> {
    if std::env::var_os(VICTIM).is_some() {
        body();
        return None;
    }
    let program = std::env::current_exe().unwrap();
    let child = Command::new(program)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn();
    Some(child.unwrap())
}

#[test]
fn stubs_end_with_the_sandbox() {
    let sandbox = in_own_process("stubs_end_with_the_sandbox", || {
        let platform = platform(1);
        let space = space(&platform, &JUMP_TO_SELF);
        let mut task = task(&platform);
        loop {
            platform.run_user(EXECUTOR, space, &mut task, None);
        }
    });
    let Some(mut sandbox) = sandbox else { return };
    // The template, and the space, which is in user mode.
    until(|| children(sandbox.id()).len() == 2);
    let stubs = children(sandbox.id());
    sandbox.kill().unwrap();
    assert_eq!(sandbox.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
    until(|| stubs.iter().all(|id| parent_of(*id).is_none_or(|parent| parent != sandbox.id())));
    until(|| !stubs.iter().any(|id| is_running_stub(*id)));
}

/// Whether process `id` is a stub, and no zombie whose new parent has yet to reap it.
fn is_running_stub(id: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.contains("Name:\tstub") && !status.contains("State:\tZ")
}

#[test]
fn no_stub_is_left_behind() {
    let sandbox = in_own_process("no_stub_is_left_behind", || {
        let platform = platform(1);
        let spaces: Vec<_> = (0..24).map(|_| space(&platform, &SYSCALL)).collect();
        for &space in &spaces {
            let mut task = task(&platform);
            assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
        }
        let own = std::process::id();
        assert_eq!(children(own).len(), 25);
        for space in spaces {
            platform.destroy_address_space(space);
        }
        until(|| children(own).len() == 17);
        drop(platform);
        assert_eq!(children(own).len(), 0, "neither processes nor zombies");
    });
    if let Some(mut sandbox) = sandbox {
        assert!(sandbox.wait().unwrap().success());
    }
}

#[test]
fn a_stub_is_empty_and_without_privileges() {
    let sandbox = in_own_process("a_stub_is_empty_and_without_privileges", || {
        let platform = platform(1);
        let _space = platform.create_address_space(sentry::memory::Frame(0)).unwrap();
        let stubs = children(std::process::id());
        assert_eq!(stubs.len(), 2);
        for stub in stubs {
            let maps = fs::read_to_string(format!("/proc/{stub}/maps")).unwrap();
            let own = maps.lines().filter(|line| !line.contains("[vsyscall]"));
            let own: Vec<_> = own.filter_map(|line| line.split(' ').nth(1)).collect();
            assert_eq!(own, ["r--s", "r-xp"], "{maps}");
            let status = fs::read_to_string(format!("/proc/{stub}/status")).unwrap();
            for line in ["CapPrm:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
                assert!(status.contains(line), "{line}");
            }
            let descriptors = fs::read_dir(format!("/proc/{stub}/fd")).unwrap();
            assert_eq!(descriptors.count(), 3);
        }
    });
    if let Some(mut sandbox) = sandbox {
        assert!(sandbox.wait().unwrap().success());
    }
}

#[test]
fn a_killed_stub_is_reported_and_replaced() {
    let sandbox = in_own_process("a_killed_stub_is_reported_and_replaced", || {
        let platform = platform(1);
        let own = std::process::id();
        let template = children(own);
        let kill_stub = move || {
            let stub = *children(own).iter().find(|id| !template.contains(id)).unwrap();
            kill_process(Pid::from_raw(stub).unwrap(), Signal::KILL).unwrap();
        };
        // In user mode.
        let busy = space(&platform, &JUMP_TO_SELF);
        let mut victim = task(&platform);
        let killer = std::thread::spawn(kill_stub.clone());
        assert_eq!(run(&platform, EXECUTOR, busy, &mut victim), Trap::Lost);
        killer.join().unwrap();
        assert_eq!(run(&platform, EXECUTOR, busy, &mut victim), Trap::Lost);
        platform.unmap(busy, CODE, 1);
        platform.destroy_address_space(busy);
        // Between two runs.
        let stopped = space(&platform, &[SYSCALL, SYSCALL].concat());
        let mut victim = task(&platform);
        assert_eq!(run(&platform, EXECUTOR, stopped, &mut victim), Trap::Syscall);
        kill_stub();
        assert_eq!(run(&platform, EXECUTOR, stopped, &mut victim), Trap::Lost);
        platform.destroy_address_space(stopped);
        // Before the first run.
        let fresh = platform.create_address_space(sentry::memory::Frame(0)).unwrap();
        kill_stub();
        assert_eq!(run(&platform, EXECUTOR, fresh, &mut victim), Trap::Lost);
        platform.destroy_address_space(fresh);
        // The platform still works.
        let next = space(&platform, &SYSCALL);
        let mut task = task(&platform);
        assert_eq!(run(&platform, EXECUTOR, next, &mut task), Trap::Syscall);
        drop(platform);
        assert_eq!(children(own).len(), 0, "neither processes nor zombies");
    });
    if let Some(mut sandbox) = sandbox {
        assert!(sandbox.wait().unwrap().success());
    }
}

#[test]
fn host_signals_do_not_reach_user_code() {
    let sandbox = in_own_process("host_signals_do_not_reach_user_code", || {
        let platform = platform(1);
        let template = children(std::process::id());
        let space = space(&platform, &JUMP_TO_SELF);
        let stubs = children(std::process::id());
        let stub = *stubs.iter().find(|id| !template.contains(id)).unwrap();
        let stub = Pid::from_raw(stub).unwrap();
        let mut task = task(&platform);
        for signal in [Signal::TERM, Signal::SEGV, Signal::TRAP, Signal::STOP, Signal::CONT] {
            kill_process(stub, signal).unwrap();
            platform.map(space, DATA, DATA_FRAME, 1, READ_WRITE);
            assert_eq!(platform.run_user(EXECUTOR, space, &mut task, None), Trap::Interrupted);
            assert_eq!(task.registers.rip, CODE, "{signal:?}");
        }
    });
    if let Some(mut sandbox) = sandbox {
        assert!(sandbox.wait().unwrap().success());
    }
}

/// Number of times the keeper thread of this process has slept.
fn keeper_sleeps() -> u64 {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let mut statuses =
        threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).ok());
    let status = statuses.find(|status| status.starts_with("Name:\tkeeper\n")).unwrap();
    let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_idle_sandbox_does_nothing() {
    let sandbox = in_own_process("an_idle_sandbox_does_nothing", || {
        let platform = platform(1);
        let space = space(&platform, &SYSCALL);
        let mut task = task(&platform);
        assert_eq!(run(&platform, EXECUTOR, space, &mut task), Trap::Syscall);
        let sleep = |milliseconds: u64| {
            let deadline = platform.monotonic_nanoseconds() + milliseconds * 1_000_000;
            while platform.monotonic_nanoseconds() < deadline {
                platform.idle(EXECUTOR, Some(deadline));
            }
        };
        // The keeper looks once or twice more before it goes off duty.
        let mut before = keeper_sleeps();
        until(|| {
            sleep(30);
            std::mem::replace(&mut before, keeper_sleeps()) == keeper_sleeps()
        });
        sleep(100);
        assert_eq!(keeper_sleeps(), before);
    });
    if let Some(mut sandbox) = sandbox {
        assert!(sandbox.wait().unwrap().success());
    }
}
