//! Sending signals.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::{Disposition, Signal, SignalInfo, SignalSet, code};
use crate::{
    errno::{Errno, Result},
    kernel::{
        Capabilities, Credentials, PollEvents, Process, Resource, StopReport, StopState, Task,
        WaitStatus, process::ProcessState,
    },
};

impl Process {
    /// Sends a signal to the process: any thread that does not block it may take it. No permission
    /// check; nothing happens if the process has exited.
    pub fn send(&self, info: SignalInfo) {
        let continued = {
            let mut state = self.state.lock();
            let continued = self.before_sending(&mut state, info.signal);
            if self.accepts(&state, None, &info) {
                if self.may_queue(state.pending.queued(), &info) {
                    state.pending.add(info);
                } else {
                    state.pending.add_without_information(info.signal);
                }
                self.after_sending(&mut state, None, info.signal);
            }
            continued
        };
        self.signal_arrived.wake(PollEvents::IN);
        if continued {
            self.tell_parent_of_stop(code::CLD_CONTINUED, Signal::CONT);
        }
    }

    /// What sending `signal` does whether or not it is then ignored: SIGCONT continues the process
    /// and drops stop signals, and the other way round. True if it continued.
    fn before_sending(&self, state: &mut ProcessState, signal: Signal) -> bool {
        if SignalSet::STOP.contains(signal) {
            state.remove_pending(SignalSet::of(&[Signal::CONT]));
        }
        if signal != Signal::CONT {
            return false;
        }
        state.remove_pending(SignalSet::STOP);
        self.resume(state)
    }

    /// Ends a stop; true if the process was stopped.
    fn resume(&self, state: &mut ProcessState) -> bool {
        let was_stopped = state.stop != StopState::Running;
        state.stop = StopState::Running;
        if was_stopped {
            state.report = Some(StopReport::Continued);
            state.threads.iter().for_each(|task| task.runnable.wake_now());
        }
        was_stopped
    }

    /// Whether a signal is kept at all: an ignored one is not, unless its target blocks it and may
    /// change its mind.
    fn accepts(&self, state: &ProcessState, target: Option<&Task>, info: &SignalInfo) -> bool {
        let signal = info.signal;
        let Some(task) = target.or_else(|| state.threads.first().map(|task| &**task)) else {
            return false;
        };
        let signals = task.signals.lock();
        let held = signals.blocked.union(signals.awaited).contains(signal);
        drop(signals);
        let disposition = self.signal_actions().lock().disposition(signal);
        held || (disposition != Disposition::Ignore && !self.is_protected(disposition, info))
    }

    /// Whether `info` cannot touch this process, because it is the container's init and
    /// handles no such signal: only the host may kill or stop it then (pid_namespaces(7)).
    pub(super) fn is_protected(&self, disposition: Disposition, info: &SignalInfo) -> bool {
        let from_host = info.code == code::SI_KERNEL || info.pid() == 0;
        let own_fault = info.code > 0 && SignalSet::SYNCHRONOUS.contains(info.signal);
        let forced = own_fault || (from_host && SignalSet::UNBLOCKABLE.contains(info.signal));
        self.is_init && matches!(disposition, Disposition::Default(_)) && !forced
    }

    /// Whether the queue has room for the information of another signal; standard signals that are
    /// not from sigqueue(3) are always queued.
    fn may_queue(&self, queued: usize, info: &SignalInfo) -> bool {
        let limit = self.limit(Resource::PendingSignals).soft;
        !info.signal.is_real_time() || u64::try_from(queued).is_ok_and(|queued| queued < limit)
    }

    /// Finds a thread to take a signal that was just queued and wakes it. A signal that ends the
    /// process does so at once.
    fn after_sending(&self, state: &mut ProcessState, target: Option<&Arc<Task>>, signal: Signal) {
        if self.is_fatal_now(signal) {
            state.begin_ending(WaitStatus::killed(signal, false));
            return;
        }
        let wants = |task: &Task| {
            let signals = task.signals.lock();
            !signals.blocked.difference(signals.awaited).contains(signal)
        };
        let taker = match target {
            Some(task) => wants(task).then_some(task),
            None => state.threads.iter().find(|task| wants(task)),
        };
        if let Some(task) = taker {
            task.notify();
        }
    }

    fn is_fatal_now(&self, signal: Signal) -> bool {
        signal == Signal::KILL
    }

    /// Tells the parent that this process stopped or continued, unless it asked not to be told
    /// (SA_NOCLDSTOP).
    pub(in crate::kernel) fn tell_parent_of_stop(&self, code: i32, signal: Signal) {
        let Some(parent) = self.parent() else { return };
        let uid = self.real_uid();
        let usage = self.usage(0);
        let wants = {
            let actions = parent.signal_actions();
            let actions = actions.lock();
            !actions.get(Signal::CHLD).flags.contains(super::ActionFlags::NO_CHILD_STOP)
        };
        if wants {
            parent.send(SignalInfo::child(
                code,
                self.pid(),
                uid,
                i32::from(signal.number()),
                usage.user_nanoseconds / 10_000_000,
                usage.system_nanoseconds / 10_000_000,
            ));
        }
        parent.notify_children_changed();
    }

    /// Ends the process with `status`, as exit_group(2) and SIGKILL do. Its threads exit when they
    /// run next.
    pub fn end(&self, status: WaitStatus) {
        self.state.lock().begin_ending(status);
    }
}

impl ProcessState {
    /// Makes all threads exit; the first status counts.
    pub fn begin_ending(&mut self, status: WaitStatus) {
        if self.ending.is_none() {
            self.ending = Some(status);
        }
        self.stop = StopState::Running;
        self.threads.iter().for_each(|task| task.notify());
    }

    pub fn remove_pending(&mut self, set: SignalSet) {
        self.pending.remove(set);
        self.threads.iter().for_each(|task| task.signals.lock().pending.remove(set));
    }
}

impl Task {
    /// Sends a signal to this thread alone, without a permission check.
    pub fn send(self: &Arc<Self>, info: SignalInfo) {
        let process = &self.process;
        let continued = {
            let mut state = process.state.lock();
            let continued = process.before_sending(&mut state, info.signal);
            if process.accepts(&state, Some(self), &info) {
                let mut signals = self.signals.lock();
                if process.may_queue(signals.pending.queued(), &info) {
                    signals.pending.add(info);
                } else {
                    signals.pending.add_without_information(info.signal);
                }
                drop(signals);
                process.after_sending(&mut state, Some(self), info.signal);
            }
            continued
        };
        process.signal_arrived.wake(PollEvents::IN);
        if continued {
            process.tell_parent_of_stop(code::CLD_CONTINUED, Signal::CONT);
        }
    }

    /// Sends `signal` to this thread in its own name, as Linux sends SIGPIPE.
    pub fn send_to_itself(self: &Arc<Self>, signal: Signal) {
        let (pid, uid) = (self.process.pid(), self.process.real_uid());
        self.send(SignalInfo::from_process(signal, code::SI_USER, pid, uid));
    }

    /// Sends a signal that an instruction of the task caused. It cannot be blocked or ignored: if
    /// it is, its action becomes the default, which ends the process.
    pub(in crate::kernel) fn force(self: &Arc<Self>, info: SignalInfo) {
        let actions = self.process.signal_actions();
        let mut state = self.process.state.lock();
        let mut signals = self.signals.lock();
        let mut actions = actions.lock();
        let blocked = signals.blocked.contains(info.signal);
        if blocked || actions.disposition(info.signal) == Disposition::Ignore {
            actions.set(info.signal, super::SignalAction::default());
            signals.blocked.remove(info.signal);
        }
        drop(actions);
        signals.pending.add(info);
        drop(signals);
        self.process.after_sending(&mut state, Some(self), info.signal);
    }

    /// Makes the task look at its signals soon, wherever it is.
    pub(in crate::kernel) fn notify(&self) {
        self.notified.store(true, Ordering::SeqCst);
        self.runnable.wake_now();
    }

    /// Decides anew whether something waits for this task, after its mask or the queues changed.
    /// For the task itself.
    pub(in crate::kernel) fn recalculate_notified(&self) {
        let state = self.process.state.lock();
        let signals = self.signals.lock();
        let pending = state.pending.set().union(signals.pending.set());
        let notified = !pending.difference(signals.blocked).is_empty()
            || state.ending.is_some()
            || state.stop != StopState::Running
            || state.executing.as_ref().is_some_and(|task| !core::ptr::eq(&**task, self));
        self.notified.store(notified, Ordering::SeqCst);
    }

    /// Replaces the mask of blocked signals; for the task itself.
    pub fn set_blocked_signals(&self, mask: SignalSet) {
        self.signals.lock().blocked = mask.difference(SignalSet::UNBLOCKABLE);
        self.recalculate_notified();
    }

    /// Whether `sender` may send `signal` to this task (kill(2)).
    ///
    /// # Errors
    /// EPERM.
    pub fn check_signal_permission(
        &self,
        sender: &Credentials,
        same_session: bool,
        signal: Option<Signal>,
    ) -> Result<()> {
        let target = self.credentials();
        let same_user = [sender.effective_uid, sender.uid]
            .iter()
            .any(|uid| [target.uid, target.saved_uid].contains(uid));
        let continues = signal == Some(Signal::CONT) && same_session;
        if same_user || continues || sender.has_over(&target, Capabilities::KILL) {
            return Ok(());
        }
        Err(Errno::EPERM)
    }
}
