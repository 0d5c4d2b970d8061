//! stat, statm and io.

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;

use super::{ProcessSubject, status::state_letter, task_name};
use crate::{
    fs::proc::system::{TICK, start_nanoseconds},
    kernel::{Kernel, Resource, SchedulingPolicy, Usage, signal::SignalSet},
    memory::PAGE_SIZE,
    mm::Statistics,
};

impl ProcessSubject {
    pub(super) fn statistics(&self) -> Statistics {
        self.mm().map(|mm| mm.statistics()).unwrap_or_default()
    }
}

/// Resident pages.
pub(super) const fn resident(statistics: &Statistics) -> u64 {
    statistics.resident_private + statistics.resident_file
}

/// /proc/PID/statm, in pages: total, resident, shared, text, 0, data, 0.
pub(super) fn statm(subject: &ProcessSubject) -> Vec<u8> {
    let statistics = subject.statistics();
    let data = statistics.data + statistics.stack;
    let (total, shared, code) = (statistics.total, statistics.resident_file, statistics.code);
    format!("{total} {} {shared} {code} 0 {data} 0\n", resident(&statistics)).into_bytes()
}

/// /proc/PID/io. Bytes read and written are those that its calls had the file server fetch or store;
/// nothing written is cancelled later.
pub(super) fn io(subject: &ProcessSubject, kernel: &Kernel) -> Vec<u8> {
    let mut io = subject.process.usage(kernel.platform.monotonic_nanoseconds()).io;
    io.add(&subject.process.children_usage().io);
    format!(
        "rchar: {}\nwchar: {}\nsyscr: {}\nsyscw: {}\nread_bytes: {}\nwrite_bytes: {}\n\
         cancelled_write_bytes: 0\n",
        io.characters_read,
        io.characters_written,
        io.reads,
        io.writes,
        io.bytes_fetched,
        io.bytes_stored,
    )
    .into_bytes()
}

/// Signals ignored and caught, as masks.
pub(super) fn dispositions(subject: &ProcessSubject) -> (SignalSet, SignalSet) {
    use crate::kernel::signal::{Handler, Signal};
    let actions = subject.process.signal_actions();
    let actions = actions.lock();
    let (mut ignored, mut caught) = (SignalSet::EMPTY, SignalSet::EMPTY);
    for signal in (1..=i32::from(Signal::MAX)).filter_map(|number| Signal::from_number(number).ok())
    {
        match actions.get(signal).handler {
            Handler::Default => {}
            Handler::Ignore => ignored.insert(signal),
            Handler::Function(_) => caught.insert(signal),
        }
    }
    (ignored, caught)
}

/// /proc/PID/stat: the 52 numbers of proc_pid_stat(5), in its order.
pub(super) fn stat(subject: &ProcessSubject, kernel: &Arc<Kernel>) -> Vec<u8> {
    let process = &subject.process;
    let id = subject.task.as_ref().map_or(process.pid(), |task| task.tid());
    let mut line = format!("{id} (").into_bytes();
    line.extend(task_name(subject));
    let group = process.group();
    let terminal = process.session().terminal();
    let terminal_device = terminal.as_ref().map_or(0, |terminal| terminal.device().to_user());
    let foreground = terminal.map_or(-1, |terminal| i64::from(terminal.foreground_group()));
    let (parent, group_id, session) = (process.parent_pid(), group.id(), process.session().id());
    let letter = state_letter(subject);
    let text = format!(
        ") {letter} {parent} {group_id} {session} {terminal_device} {foreground} {}",
        flags(subject)
    );
    line.extend(text.into_bytes());
    line.extend(times(subject, kernel).into_bytes());
    line.extend(memory_and_signals(subject).into_bytes());
    line
}

/// Field 9, the flags of include/linux/sched.h that are about what programs may know.
fn flags(subject: &ProcessSubject) -> u32 {
    const FORKED_WITHOUT_EXECUTING: u32 = 0x40;
    const RANDOMIZED: u32 = 0x40_0000;
    const ADDR_NO_RANDOMIZE: u32 = 0x4_0000;
    let process = &subject.process;
    let is_random = process.personality.load(Ordering::Relaxed) & ADDR_NO_RANDOMIZE == 0;
    let random = if is_random { RANDOMIZED } else { 0 };
    if process.has_executed() { random } else { random | FORKED_WITHOUT_EXECUTING }
}

/// How the thread is scheduled.
fn scheduling(subject: &ProcessSubject) -> SchedulingPolicy {
    subject.task.as_ref().map(|task| task.scheduling.lock().clone()).unwrap_or_default()
}

/// Fields 10 to 22: faults, times, priorities, threads, start.
fn times(subject: &ProcessSubject, kernel: &Arc<Kernel>) -> String {
    let process = &subject.process;
    let used = process.usage(kernel.platform.monotonic_nanoseconds());
    let children = process.children_usage();
    let ticks = |usage: &Usage| (usage.user_nanoseconds / TICK, usage.system_nanoseconds / TICK);
    let ((user, system), (child_user, child_system)) = (ticks(&used), ticks(&children));
    let threads = process.threads().len();
    let scheduling = scheduling(subject);
    let nice = scheduling.nice;
    // proc_pid_stat(5): of a real-time task the negated priority, less one.
    let priority = match scheduling.priority {
        0 => 20 + i64::from(nice),
        real_time => -1 - i64::from(real_time),
    };
    let started = process.start_nanoseconds.saturating_sub(start_nanoseconds(kernel)) / TICK;
    format!(
        " {} {} 0 0 {user} {system} {child_user} {child_system} {priority} {nice} {threads} 0 \
         {started}",
        used.minor_faults, children.minor_faults
    )
}

/// Fields 23 to 52. Addresses of code and registers are not shown, as to a stranger in Linux.
fn memory_and_signals(subject: &ProcessSubject) -> String {
    let statistics = subject.statistics();
    let size = statistics.total * PAGE_SIZE as u64;
    let limit = subject.process.limit(Resource::ResidentSet).soft;
    let blocked = subject.task.as_ref().map_or(SignalSet::EMPTY, |task| task.blocked_signals());
    let (ignored, caught) = dispositions(subject);
    let strings = subject.process.string_ranges();
    let ((arguments, arguments_end), (environment, environment_end)) =
        (strings.arguments, strings.environment);
    // Of the masks only the classic 31 signals fit (proc_pid_stat(5), "obsolete").
    let low = |set: SignalSet| set.0 & 0x7fff_ffff;
    let status = subject.process.exit_status().map_or(0, |status| status.0);
    let pending = subject.task.as_ref().map_or(SignalSet::EMPTY, |task| task.pending_signals());
    let (policy, exit_signal) = (scheduling(subject), subject.process.exit_signal());
    let processor = subject.task.as_ref().map_or(0, |task| task.runnable.executor().0);
    let (real_time, policy) = (policy.priority, policy.policy);
    format!(
        " {size} {} {limit} 0 0 0 0 0 {} {} {} {} 0 0 0 {exit_signal} {processor} {real_time} \
         {policy} 0 0 0 0 0 0 \
         {arguments} {arguments_end} {environment} {environment_end} {status}\n",
        resident(&statistics),
        low(pending),
        low(blocked),
        low(ignored),
        low(caught),
    )
}
