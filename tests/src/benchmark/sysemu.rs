//! The yardstick of the ptrace platform: a bare PTRACE_SYSEMU stop.
#![allow(unsafe_code, reason = "traces a child of its own with raw ptrace")]

use std::{ptr, time::Instant};

/// Stops per measurement.
const STOPS: u32 = 20_000;

/// From <linux/ptrace.h>; libc has no name for it on this target.
const PTRACE_SYSEMU: libc::c_uint = 31;

/// Nanoseconds from resuming a traced child to its next system-call stop, the best of five rounds.
///
/// # Panics
/// If the child cannot be traced.
pub fn sysemu_stop_nanoseconds() -> u64 {
    // A thread of its own, because it is to stay on one processor.
    std::thread::spawn(measure).join().expect("a measurement")
}

fn measure() -> u64 {
    stay_on_this_processor();
    // SAFETY: the child only traces itself, stops, and makes system calls.
    let child = unsafe { libc::fork() };
    if child == 0 {
        call_forever();
    }
    assert!(child > 0, "fork");
    wait(child);
    let best = (0..5).map(|_| round(child)).min().unwrap_or_default();
    // SAFETY: the child is ours.
    unsafe { libc::kill(child, libc::SIGKILL) };
    wait(child);
    best
}

/// Tracer and child share a processor, as the sandbox's executors and stubs do.
fn stay_on_this_processor() {
    // SAFETY: the set is initialised by the calls, and large enough for the processor's number.
    unsafe {
        let mut processors = std::mem::zeroed();
        libc::CPU_SET(usize::try_from(libc::sched_getcpu()).unwrap_or_default(), &mut processors);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const processors);
    }
}

fn call_forever() -> ! {
    // SAFETY: as in the caller.
    unsafe {
        libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        libc::raise(libc::SIGSTOP);
        loop {
            libc::syscall(libc::SYS_getpid);
        }
    }
}

fn wait(child: libc::pid_t) {
    // SAFETY: the status is not wanted.
    assert_eq!(unsafe { libc::waitpid(child, ptr::null_mut(), 0) }, child);
}

fn round(child: libc::pid_t) -> u64 {
    let start = Instant::now();
    for _ in 0..STOPS {
        // SAFETY: the child is stopped and traced by this thread.
        unsafe { libc::ptrace(PTRACE_SYSEMU, child, 0, 0) };
        wait(child);
    }
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX) / u64::from(STOPS)
}
