//! Delivery: what a task does about its signals before user code runs on.

use alloc::sync::Arc;
use core::task::Poll;

use super::{
    ActionFlags, DefaultAction, Disposition, Signal, SignalAction, SignalInfo, SignalSet, code,
    frame,
};
use crate::{
    errno::{Errno, Result},
    kernel::{
        Current, Deadline, Interruption, StopReport, StopState, Task, WaitReason, WaitStatus,
    },
};

impl Current {
    /// Serves everything that waits for this task: the end of its process, a stop, signals. Then
    /// an interrupted system call is restarted, unless a handler was entered and says otherwise.
    pub(in crate::kernel) async fn deliver_signals(&mut self) {
        while self.task.has_deliverable_signal() && self.ending.is_none() {
            if let Some(status) = self.commanded_end() {
                self.ending = Some(status);
                return;
            }
            if self.process().stop_state() != StopState::Running {
                self.stay_stopped().await;
                continue;
            }
            match self.task.take_deliverable() {
                Some((info, disposition)) if self.process().is_protected(disposition, &info) => {}
                Some((info, disposition)) => self.act_on(&info, disposition).await,
                None => self.task.recalculate_notified(),
            }
        }
        self.restart_interrupted_call();
        if let Some(mask) = self.saved_mask.take() {
            self.task.set_blocked_signals(mask);
        }
    }

    /// The status to end with, if the process ends or another thread executes a program.
    pub(in crate::kernel) fn commanded_end(&self) -> Option<WaitStatus> {
        let state = self.process().state.lock();
        let other_executes =
            state.executing.as_ref().is_some_and(|task| !Arc::ptr_eq(task, &self.task));
        state.ending.or_else(|| other_executes.then_some(WaitStatus::exited(0)))
    }

    async fn act_on(&mut self, info: &SignalInfo, disposition: Disposition) {
        match disposition {
            Disposition::Ignore
            | Disposition::Default(DefaultAction::Ignore | DefaultAction::Continue) => {}
            Disposition::Default(DefaultAction::Terminate) => self.die_of(info.signal, false),
            Disposition::Default(DefaultAction::Core) => self.die_of(info.signal, true),
            Disposition::Default(DefaultAction::Stop) => self.begin_stop(info.signal),
            Disposition::Handle(action) => self.enter_handler(info, &action).await,
        }
    }

    fn die_of(&self, signal: Signal, core: bool) {
        self.process().end(WaitStatus::killed(signal, core));
    }

    fn begin_stop(&self, signal: Signal) {
        let process = self.process();
        // Nobody could continue it (setpgid(2)); SIGSTOP stops it all the same.
        if signal != Signal::STOP && process.group().is_orphaned() {
            return;
        }
        let mut state = process.state.lock();
        if state.ending.is_none() && state.stop == StopState::Running {
            state.stop = StopState::Stopped(signal);
            state.stopped_threads = 0;
            state.stop_epoch += 1;
            state.threads.iter().for_each(|task| task.notify());
        }
    }

    /// Waits until the process continues or ends. The last thread to come tells the parent.
    async fn stay_stopped(&self) {
        let process = self.process();
        let (epoch, reported) = {
            let mut state = process.state.lock();
            state.stopped_threads += 1;
            (state.stop_epoch, state.report_complete_stop())
        };
        if let Some(signal) = reported {
            process.tell_parent_of_stop(code::CLD_STOPPED, signal);
        }
        self.task.set_wait_reason(WaitReason::Stopped);
        core::future::poll_fn(|_| {
            let state = process.state.lock();
            let same_stop = state.stop != StopState::Running && state.stop_epoch == epoch;
            if !same_stop || state.executing.is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.task.set_wait_reason(WaitReason::Running);
        self.task.recalculate_notified();
    }

    async fn enter_handler(&mut self, info: &SignalInfo, action: &SignalAction) {
        self.end_interrupted_call(action);
        let blocked = self.task.blocked_signals();
        let mask = self.saved_mask.take().unwrap_or(blocked);
        if frame::enter_handler(self, info, action, mask).await.is_err() {
            self.task.set_blocked_signals(mask);
            if info.signal == Signal::SEGV {
                self.die_of(Signal::SEGV, true);
            } else {
                self.task.force(SignalInfo::kernel(Signal::SEGV));
            }
            return;
        }
        let mut during = blocked.union(action.mask);
        if !action.flags.contains(ActionFlags::NO_DEFER) {
            during.insert(info.signal);
        }
        self.task.set_blocked_signals(during);
    }

    /// A handler is about to run: decides between EINTR and a restart after it.
    fn end_interrupted_call(&mut self, action: &SignalAction) {
        let Some(errno) = self.interrupted_call.take() else { return };
        self.restart_deadline = None;
        let restart = match errno {
            Errno::ERESTARTSYS => action.flags.contains(ActionFlags::RESTART),
            Errno::ERESTARTNOINTR => true,
            _ => false,
        };
        if restart {
            self.rewind_call();
        } else {
            self.context.registers.rax = Errno::EINTR.return_value();
        }
    }

    /// No handler ran: every interrupted call is made again.
    fn restart_interrupted_call(&mut self) {
        if self.interrupted_call.take().is_some() {
            self.rewind_call();
        }
    }

    /// Goes back to the two-byte SYSCALL instruction.
    fn rewind_call(&mut self) {
        let registers = &mut self.context.registers;
        registers.rax = registers.original_rax;
        registers.rip = registers.rip.wrapping_sub(2);
    }
}

impl Task {
    /// Takes the next signal to deliver and says what is to be done; a handler that is to run once
    /// only is reset (SA_RESETHAND).
    fn take_deliverable(&self) -> Option<(SignalInfo, Disposition)> {
        let info = {
            let mut state = self.process.state.lock();
            let mut signals = self.signals.lock();
            let allowed = SignalSet(!signals.blocked.0);
            let own = signals.pending.take(allowed);
            own.or_else(|| state.pending.take(allowed))?
        };
        let actions = self.process.signal_actions();
        let mut actions = actions.lock();
        let disposition = actions.disposition(info.signal);
        if let Disposition::Handle(action) = disposition
            && action.flags.contains(ActionFlags::RESET_HANDLER)
        {
            let reset = SignalAction { handler: super::Handler::Default, ..action };
            actions.set(info.signal, reset);
        }
        Some((info, disposition))
    }

    /// Takes a pending signal of `set` without delivering it (sigtimedwait(2), signalfd(2)).
    pub fn take_signal(&self, set: SignalSet) -> Option<SignalInfo> {
        let taken = {
            let mut state = self.process.state.lock();
            let mut signals = self.signals.lock();
            let own = signals.pending.take(set);
            own.or_else(|| state.pending.take(set))
        };
        if taken.is_some() {
            self.recalculate_notified();
        }
        taken
    }

    /// Puts a signal back that was taken and could not be told to user code after all.
    pub fn return_signal(&self, info: SignalInfo) {
        self.process.state.lock().pending.put_back(info);
        self.recalculate_notified();
    }

    /// Signals that are pending for this task alone.
    pub fn private_signals(&self) -> SignalSet {
        self.signals.lock().pending.set()
    }

    /// Signals that are pending for this task or its process.
    pub fn pending_signals(&self) -> SignalSet {
        let state = self.process.state.lock();
        let own = self.signals.lock().pending.set();
        own.union(state.pending.set())
    }
}

impl crate::kernel::process::ProcessState {
    /// The stop signal, if the last running thread has just stopped; the stop becomes reportable.
    pub fn report_complete_stop(&mut self) -> Option<Signal> {
        let StopState::Stopped(signal) = self.stop else { return None };
        if self.stopped_threads < self.threads.len() {
            return None;
        }
        self.report = Some(StopReport::Stopped(signal));
        Some(signal)
    }
}

impl Current {
    /// Waits for a signal of `set`, which is taken instead of being delivered.
    ///
    /// # Errors
    /// EAGAIN at the deadline; EINTR if another signal is to be delivered.
    pub async fn await_signal(
        &self,
        set: SignalSet,
        deadline: Option<Deadline>,
    ) -> Result<SignalInfo> {
        let task = &self.task;
        if let Some(info) = task.take_signal(set) {
            return Ok(info);
        }
        task.signals.lock().awaited = set;
        // A sender wakes the task itself, so there is no queue to wait in.
        let arrived = core::future::poll_fn(|_| match task.take_signal(set) {
            Some(info) => Poll::Ready(info),
            None => Poll::Pending,
        });
        let outcome = self.wait(WaitReason::Signal, deadline, arrived).await;
        task.signals.lock().awaited = SignalSet::EMPTY;
        task.recalculate_notified();
        outcome.map_err(|interruption| match interruption {
            Interruption::Signal => Errno::EINTR,
            Interruption::TimedOut => Errno::EAGAIN,
        })
    }

    /// A fault of the task's own making that no instruction shows.
    pub(crate) fn raise_segv(&self) {
        self.task.force(SignalInfo::kernel(Signal::SEGV));
    }
}

impl crate::kernel::Process {
    /// Replaces the action for `signal` and answers the old one. A signal that is ignored from now
    /// on is pending no longer (sigaction(2), POSIX "2.4.3 Signal Actions").
    pub fn set_signal_action(&self, signal: Signal, new: SignalAction) -> SignalAction {
        let actions = self.signal_actions();
        let mut state = self.state.lock();
        let mut actions = actions.lock();
        let old = *actions.get(signal);
        actions.set(signal, new);
        let ignored = actions.ignores(signal);
        drop(actions);
        if ignored {
            state.remove_pending(SignalSet::of(&[signal]));
        }
        old
    }
}
