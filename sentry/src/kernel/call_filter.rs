//! Judging system calls before they are served (seccomp(2)).

use alloc::{format, sync::Arc};

use guest_abi::control::LogLevel;

use super::{
    Current, Kernel, Task, WaitStatus,
    signal::{Signal, SignalInfo},
};
use crate::{
    errno::{Errno, Result},
    seccomp::{ARCHITECTURE, Action, CallData, Filter, Filters, Mode, Verdict},
    syscalls::name_of,
};

/// Largest error number a filter can make a call fail with (MAX_ERRNO).
const MAX_ERRNO: u16 = 4095;

/// Calls that strict mode serves: read, write, rt_sigreturn, exit.
const STRICT_CALLS: [u64; 4] = [0, 1, 15, 60];

impl Current {
    /// Judges the call that the task has trapped with. `None` if it is to be served; else the value
    /// of the result register instead. Without filters it costs one branch.
    #[inline]
    pub(super) fn judge_call(&mut self) -> Option<u64> {
        match self.task.seccomp.mode() {
            Mode::Disabled => None,
            Mode::Strict => self.judge_strictly(),
            Mode::Filter => self.judge_by_filters(),
        }
    }

    fn judge_strictly(&mut self) -> Option<u64> {
        let number = self.context.registers.original_rax;
        if STRICT_CALLS.contains(&number) {
            return None;
        }
        self.ending = Some(WaitStatus::killed(Signal::KILL, false));
        Some(number)
    }

    fn judge_by_filters(&mut self) -> Option<u64> {
        let registers = &self.context.registers;
        let number = registers.original_rax;
        let low_half = registers.call_number();
        if self.task.seccomp.always_allows(low_half) {
            return None;
        }
        let data = CallData {
            number: low_half,
            instruction_pointer: registers.rip,
            arguments: registers.syscall_arguments(),
        };
        let (verdict, wants_log) = self.task.seccomp.filters().judge(&data);
        let action = verdict.action();
        if wants_log || matches!(action, Action::Log | Action::KillThread | Action::KillProcess) {
            self.kernel.note_judged_call(number, action);
        }
        match action {
            Action::Allow | Action::Log => return None,
            Action::Errno => {
                let errno = i64::from(verdict.data().min(MAX_ERRNO));
                return Some((-errno).cast_unsigned());
            }
            // There are neither tracers nor supervisors.
            Action::Trace | Action::Notify => return Some(Errno::ENOSYS.return_value()),
            Action::Trap => self.trap(&data, verdict),
            Action::KillThread if self.process().threads().len() > 1 => {
                self.ending = Some(WaitStatus::killed(Signal::SYS, false));
            }
            Action::KillThread | Action::KillProcess => {
                self.process().end(WaitStatus::killed(Signal::SYS, true));
            }
        }
        // The registers stay those of the call.
        Some(number)
    }

    /// Sends SIGSYS instead of serving the call.
    fn trap(&self, data: &CallData, verdict: Verdict) {
        let errno = verdict.data().into();
        let (at, number) = (data.instruction_pointer, data.number);
        self.task.force(SignalInfo::refused_call(at, number, ARCHITECTURE, errno));
    }

    /// Adds a filter to those of the task; with `all_threads`, every thread of the process gets
    /// the filters that the task has then (SECCOMP_FILTER_FLAG_TSYNC).
    ///
    /// # Errors
    /// EINVAL in strict mode; ENOMEM if the filters are too long together. The id of a thread that
    /// has filters of its own is the `Ok(Some)` of a call that changed nothing.
    pub fn add_call_filter(&self, filter: Filter, all_threads: bool) -> Result<Option<u32>> {
        if self.task.seccomp.mode() == Mode::Strict {
            return Err(Errno::EINVAL);
        }
        let own = self.task.seccomp.filters();
        let new = Arc::new(own.with(filter)?);
        let state = self.process().state.lock();
        if all_threads {
            let blocking = state.threads.iter().find(|task| !can_follow(task, &own));
            if let Some(task) = blocking {
                return Ok(Some(task.tid()));
            }
            let no_new_privileges = self.credentials().no_new_privileges;
            for task in &state.threads {
                task.seccomp.set_filters(new.clone());
                if no_new_privileges {
                    task.forbid_new_privileges();
                }
            }
        }
        self.task.seccomp.set_filters(new);
        Ok(None)
    }
}

/// Whether `task` can take over filters that begin with `leader`: it has none that these lack.
fn can_follow(task: &Task, leader: &Filters) -> bool {
    match task.seccomp.mode() {
        Mode::Disabled => true,
        Mode::Strict => false,
        Mode::Filter => task.seccomp.filters().is_beginning_of(leader),
    }
}

impl Kernel {
    /// Notes in the host's log, once a call, that a filter wanted it to be seen.
    fn note_judged_call(&self, number: u64, action: Action) {
        if self.judged_calls.add(number) {
            let name = name_of(number).unwrap_or("unknown");
            let text = format!("seccomp: system call {number} ({name}): {action:?}");
            self.log(LogLevel::Information, &text);
        }
    }
}
