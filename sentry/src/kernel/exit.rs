//! The end of a task, and of a process when its last thread ends (exit(2), exit_group(2)).

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;

use super::{
    Current, Kernel, PollEvents, Process, ProcessGroup, ProcessTable, StopState, Task, Usage,
    WaitStatus,
    process_table::Tree,
    signal::{ActionFlags, Handler, Signal, SignalInfo, code},
};

/// Ends the calling task.
pub(in crate::kernel) async fn exit(mut current: Current) {
    let status = current.ending.unwrap_or(WaitStatus::exited(0));
    current.release_memory().await;
    let Current { task, kernel, mm, files, fs, .. } = current;
    task.set_mm(None);
    task.release_files();
    drop((mm, files, fs));
    if leave_process(&kernel, &task) {
        process_exited(&kernel, &task.process, status);
    }
}

/// Takes `task` out of its process; true if it was the last thread.
fn leave_process(kernel: &Kernel, task: &Arc<Task>) -> bool {
    let mut tree = task.process.table().lock();
    tree.remove_task(task.tid());
    let process = &task.process;
    let now = kernel.platform.monotonic_nanoseconds();
    process.past_usage.lock().add(&task.accounting.usage(now));
    let (last, executor, stopped) = {
        let mut state = process.state.lock();
        state.threads.retain(|other| !Arc::ptr_eq(other, task));
        let last = state.threads.is_empty();
        let alone = state.threads.len() == 1;
        let executor = state.executing.clone().filter(|_| alone);
        let stopped = if last { None } else { state.report_complete_stop() };
        (last, executor, stopped)
    };
    drop(tree);
    if let Some(executor) = executor {
        executor.runnable.wake_now();
    }
    if let Some(signal) = stopped {
        process.tell_parent_of_stop(code::CLD_STOPPED, signal);
    }
    last
}

/// All that ends with a process: its children get another parent, its session its terminal back,
/// its parent is told.
fn process_exited(kernel: &Arc<Kernel>, process: &Arc<Process>, last_status: WaitStatus) {
    process.timers.clear(kernel);
    process.semaphore_undo.apply(process.pid(), crate::ipc::now(kernel));
    let session = process.session();
    if session.id() == process.pid()
        && let Some(terminal) = session.terminal()
    {
        session.set_terminal(None);
        terminal.leader_exited();
    }
    if process.pid() != 1 {
        abandon_children(process);
    }
    let status = {
        let mut state = process.state.lock();
        let status = state.ending.unwrap_or(last_status);
        // Who waits for the process sees it end from now on.
        state.status = Some(status);
        status
    };
    if kernel.ends_with(process) {
        kernel.sandbox_ended(status);
    } else if process.pid() == 1 {
        end_namespace(process.table());
    }
    tell_parent(process);
    process.exited.wake(PollEvents::IN);
}

/// Without its init a pid namespace has no processes (pid_namespaces(7)).
fn end_namespace(table: &ProcessTable) {
    for process in table.processes() {
        process.kill();
    }
}

/// Gives the children of `process` to the nearest ancestor that wants orphans
/// (PR_SET_CHILD_SUBREAPER), else to the first process.
fn abandon_children(process: &Arc<Process>) {
    let mut tree = process.table().lock();
    let children = process.children();
    let Some(adopter) = adopter(&tree, process) else { return };
    let mut groups: Vec<Arc<ProcessGroup>> = Vec::new();
    if would_orphan_group(process) {
        groups.push(process.group());
    }
    for child in &children {
        let group = child.group();
        let was_orphaned = group.is_orphaned();
        tree.reparent(child, &adopter);
        let is_known = groups.iter().any(|known| Arc::ptr_eq(known, &group));
        if !was_orphaned && !is_known {
            groups.push(group);
        }
    }
    drop(tree);
    for child in &children {
        let death_signal = child.state.lock().parent_death_signal;
        if let Some(signal) = death_signal {
            child.send(SignalInfo::from_process(signal, code::SI_USER, process.pid(), 0));
        }
        if child.exit_status().is_some() {
            tell_parent(child);
        }
    }
    groups.iter().for_each(|group| continue_if_orphaned(group));
}

/// Whether `process`, now a zombie, was what kept its own group from being orphaned: its parent was
/// the link.
fn would_orphan_group(process: &Process) -> bool {
    process.group().is_orphaned()
}

/// A stopped group that has just become orphaned gets SIGHUP and SIGCONT (POSIX, _exit).
fn continue_if_orphaned(group: &ProcessGroup) {
    let stopped = group.members().iter().any(|process| process.stop_state() != StopState::Running);
    if stopped && group.is_orphaned() {
        group.send(SignalInfo::kernel(Signal::HUP));
        group.send(SignalInfo::kernel(Signal::CONT));
    }
}

fn adopter(tree: &Tree, process: &Arc<Process>) -> Option<Arc<Process>> {
    let mut ancestor = process.parent();
    while let Some(candidate) = ancestor {
        let wants = candidate.is_subreaper.load(Ordering::Relaxed);
        if wants && candidate.exit_status().is_none() {
            return Some(candidate);
        }
        ancestor = candidate.parent();
    }
    tree.process(1).cloned()
}

/// Sends the exit signal to the parent and wakes its waiters. A parent that ignores SIGCHLD never
/// sees a zombie (sigaction(2), SA_NOCLDWAIT), nor does a parent outside the container.
fn tell_parent(process: &Arc<Process>) {
    let Some(parent) = process.parent() else {
        if process.pid() != 1 {
            process.table().lock().remove_process(process);
        }
        return;
    };
    let number = process.exit_signal.load(Ordering::Relaxed);
    let signal = i32::try_from(number).ok().and_then(|number| Signal::from_number(number).ok());
    let (ignored, no_zombie) = {
        let actions = parent.signal_actions();
        let action = *actions.lock().get(Signal::CHLD);
        let ignored = action.handler == Handler::Ignore;
        (ignored, ignored || action.flags.contains(ActionFlags::NO_CHILD_WAIT))
    };
    let reap = signal == Some(Signal::CHLD) && no_zombie;
    if reap {
        process.table().lock().remove_process(process);
    }
    if let Some(signal) = signal
        && !(ignored && signal == Signal::CHLD)
    {
        parent.send(child_info(process).with_signal(signal));
    }
    parent.notify_children_changed();
}

/// The siginfo of `process`'s end.
pub(super) fn child_info(process: &Process) -> SignalInfo {
    const TICK: u64 = 10_000_000;
    let status = process.exit_status().unwrap_or(WaitStatus::exited(0));
    let (code, value) = match status.code() {
        Some(code) => (code::CLD_EXITED, i32::from(code)),
        None if status.is_core() => (code::CLD_DUMPED, i32::from(status.signal_number())),
        None => (code::CLD_KILLED, i32::from(status.signal_number())),
    };
    let usage: Usage = *process.past_usage.lock();
    let uid = process.real_uid();
    SignalInfo::child(
        code,
        process.pid(),
        uid,
        value,
        usage.user_nanoseconds / TICK,
        usage.system_nanoseconds / TICK,
    )
}

impl Current {
    /// Gives up what this task has in its address space: robust futexes, the word to clear, and
    /// the parent that waits in vfork(2). Also before a new program takes the space's place.
    pub(super) async fn release_memory(&mut self) {
        self.release_robust_futexes().await;
        let address = core::mem::take(&mut self.clear_child_tid);
        if address != 0 {
            // An address that went away is nobody's loss (set_tid_address(2)).
            let _ = self.clear_and_wake(address).await;
        }
        if let Some(done) = self.vfork_done.take() {
            done.complete();
        }
    }
}
