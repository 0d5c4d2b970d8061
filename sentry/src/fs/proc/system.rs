//! Files about the system as a whole.

use alloc::{format, string::String, vec::Vec};

use super::Shown;
use crate::kernel::{KERNEL_RELEASE, KERNEL_VERSION, Kernel, Usage, WaitReason};

/// /proc/filesystems.
pub const FILE_SYSTEMS: &str = "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\n\
    nodev\tdevtmpfs\nnodev\tpipefs\nnodev\tsockfs\nnodev\tdevpts\nnodev\tmqueue\nnodev\toverlay\n";

/// /proc/devices.
pub const DEVICES: &str = "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\n\
    Block devices:\n";

/// Clock ticks in a second (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// Nanoseconds in a clock tick.
pub const TICK: u64 = 1_000_000_000 / TICKS_PER_SECOND;

/// CLOCK_MONOTONIC when the sandbox started, in nanoseconds.
pub fn start_nanoseconds(kernel: &Kernel) -> u64 {
    kernel.containers.sandbox.first_process().map_or(0, |init| init.start_nanoseconds)
}

fn uptime_nanoseconds(kernel: &Kernel) -> u64 {
    kernel.platform.monotonic_nanoseconds().saturating_sub(start_nanoseconds(kernel))
}

/// Processor time used by everything so far. What waited-for children used is with their parents,
/// so each process counts once.
pub fn total_usage(kernel: &Kernel) -> Usage {
    let now = kernel.platform.monotonic_nanoseconds();
    let mut total = Usage::default();
    for process in kernel.all_processes() {
        total.add(&process.usage(now));
        total.add(&process.children_usage());
    }
    total
}

fn idle_nanoseconds(kernel: &Kernel, used: &Usage) -> u64 {
    let available = uptime_nanoseconds(kernel) * u64::from(kernel.platform.executor_count());
    available.saturating_sub(used.processor_nanoseconds())
}

/// `nanoseconds` as seconds with two decimals.
fn seconds(nanoseconds: u64) -> String {
    let hundredths = nanoseconds / 10_000_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// /proc/uptime.
pub fn uptime(kernel: &Kernel) -> Vec<u8> {
    let idle = idle_nanoseconds(kernel, &total_usage(kernel));
    format!("{} {}\n", seconds(uptime_nanoseconds(kernel)), seconds(idle)).into_bytes()
}

/// Tasks that run or want to.
fn running_tasks(kernel: &Kernel) -> usize {
    count_tasks(kernel, |reason| reason == WaitReason::Running)
}

/// Tasks that wait for a device.
fn blocked_tasks(kernel: &Kernel) -> usize {
    count_tasks(kernel, |reason| reason == WaitReason::Device)
}

fn count_tasks(kernel: &Kernel, condition: impl Fn(WaitReason) -> bool) -> usize {
    let processes = kernel.all_processes();
    let threads = processes.iter().flat_map(|process| process.threads());
    threads.filter(|task| condition(task.wait_reason())).count()
}

/// /proc/loadavg. No average is kept: all three are the load now.
pub(super) fn loadavg(Shown(container): &Shown, kernel: &Kernel) -> Vec<u8> {
    let running = running_tasks(kernel);
    let (tasks, last) = (container.processes.task_count(), container.processes.last_id());
    format!("{running}.00 {running}.00 {running}.00 {running}/{tasks} {last}\n").into_bytes()
}

/// /proc/version.
pub fn version() -> Vec<u8> {
    format!("Linux version {KERNEL_RELEASE} (sandbox-vmm) {KERNEL_VERSION}\n").into_bytes()
}

/// /proc/stat.
pub(super) fn stat(Shown(container): &Shown, kernel: &Kernel) -> Vec<u8> {
    let used = total_usage(kernel);
    let processors = u64::from(kernel.platform.executor_count()).max(1);
    let idle = idle_nanoseconds(kernel, &used);
    let line = |name: &str, part: u64| {
        format!(
            "{name} {} 0 {} {} 0 0 0 0 0 0\n",
            used.user_nanoseconds / TICK / part,
            used.system_nanoseconds / TICK / part,
            idle / TICK / part,
        )
    };
    let mut text = line("cpu ", 1);
    // Time is not kept by processor; each shows its share.
    (0..processors).for_each(|index| text += &line(&format!("cpu{index}"), processors));
    let since = kernel.platform.realtime_nanoseconds().saturating_sub(uptime_nanoseconds(kernel));
    let switches = used.voluntary_switches + used.involuntary_switches;
    text += &format!("ctxt {switches}\nbtime {}\n", since / 1_000_000_000);
    text += &format!("processes {}\n", container.processes.last_id());
    let (running, blocked) = (running_tasks(kernel), blocked_tasks(kernel));
    text += &format!("procs_running {running}\nprocs_blocked {blocked}\n");
    text.into_bytes()
}
