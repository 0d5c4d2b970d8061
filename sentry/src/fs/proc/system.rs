//! Files about the system as a whole.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use crate::{
    kernel::{KERNEL_RELEASE, KERNEL_VERSION, Kernel, Usage, WaitReason},
    memory::PAGE_SIZE,
};

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
    kernel.processes.init().map_or(0, |init| init.start_nanoseconds)
}

fn uptime_nanoseconds(kernel: &Kernel) -> u64 {
    kernel.platform.monotonic_nanoseconds().saturating_sub(start_nanoseconds(kernel))
}

/// Processor time used by everything so far. What waited-for children used is with their parents,
/// so each process counts once.
fn total_usage(kernel: &Kernel) -> Usage {
    let now = kernel.platform.monotonic_nanoseconds();
    let mut total = Usage::default();
    for process in kernel.processes.processes() {
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
    let processes = kernel.processes.processes();
    let running = |reason| reason == WaitReason::Running;
    let count = |threads: Vec<Arc<crate::kernel::Task>>| {
        threads.iter().filter(|task| running(task.wait_reason())).count()
    };
    processes.iter().map(|process| count(process.threads())).sum()
}

/// /proc/loadavg. No average is kept: all three are the load now.
pub fn loadavg(kernel: &Kernel) -> Vec<u8> {
    let running = running_tasks(kernel);
    let (tasks, last) = (kernel.processes.task_count(), kernel.processes.last_id());
    format!("{running}.00 {running}.00 {running}.00 {running}/{tasks} {last}\n").into_bytes()
}

/// /proc/version.
pub fn version() -> Vec<u8> {
    format!("Linux version {KERNEL_RELEASE} (sandbox-vmm) {KERNEL_VERSION}\n").into_bytes()
}

/// /proc/stat.
pub fn stat(kernel: &Kernel) -> Vec<u8> {
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
    text += &format!("intr 0\nctxt {switches}\nbtime {}\n", since / 1_000_000_000);
    text += &format!("processes {}\n", kernel.processes.last_id());
    text += &format!("procs_running {}\nprocs_blocked 0\n", running_tasks(kernel));
    text.into_bytes()
}

/// /proc/meminfo.
pub fn meminfo(kernel: &Kernel) -> Vec<u8> {
    let kib = |bytes: usize| bytes >> 10;
    let total = kib(kernel.frames.memory().ram_size());
    let free = kib(kernel.frames.free_frames().saturating_mul(PAGE_SIZE));
    let mut text = String::new();
    let lines = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", total.saturating_sub(free)),
        ("Inactive", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", total.saturating_sub(free)),
        ("Mapped", 0),
        ("Shmem", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("CommitLimit", total),
        ("Committed_AS", total.saturating_sub(free)),
    ];
    for (name, value) in lines {
        text += &format!("{:<16}{value:>8} kB\n", format!("{name}:"));
    }
    text += "HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n";
    text.into_bytes()
}

/// /proc/cpuinfo. What a processor can do programs ask of it themselves (CPUID).
pub fn cpuinfo(kernel: &Kernel) -> Vec<u8> {
    let count = kernel.platform.executor_count();
    let one = |index| {
        format!(
            "processor\t: {index}\nvendor_id\t: unknown\ncpu family\t: 6\nmodel\t\t: 0\n\
             model name\t: virtual processor\nstepping\t: 0\ncpu MHz\t\t: 1000.000\n\
             physical id\t: 0\nsiblings\t: {count}\ncore id\t\t: {index}\ncpu cores\t: {count}\n\
             fpu\t\t: yes\nwp\t\t: yes\n\
             flags\t\t: fpu tsc msr cx8 cmov mmx fxsr sse sse2 syscall nx lm\n\
             clflush size\t: 64\ncache_alignment\t: 64\n\n"
        )
    };
    (0..count).map(one).collect::<String>().into_bytes()
}
