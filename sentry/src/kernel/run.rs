//! The life of a task: run user code, serve what stopped it, deliver signals.

use alloc::{boxed::Box, sync::Arc};
use core::{future::Future, pin::pin, sync::atomic::Ordering};

use super::{
    Activity, BoxFuture, Current, Kernel, Task, executor, exit,
    signal::{FaultRecord, Signal, SignalInfo, code},
    yield_now,
};
use crate::{
    errno::Errno,
    mm::Fault,
    platform::{Access, Exception, ExecutorId, Trap},
    syscalls,
};

/// How long a task runs on while others of its executor wait, in nanoseconds. Each time costs several VM
/// exits: the timer is set, fires, and its interrupt is injected and ended.
const TIME_SLICE: u64 = 10_000_000;

/// The future of a task.
pub(super) async fn run(current: Current) {
    let (task, kernel) = (current.task.clone(), current.kernel.clone());
    accounted(&task, &kernel, live(current)).await;
}

async fn live(mut current: Current) {
    while current.ending.is_none() {
        if current.task.has_deliverable_signal() {
            seldom(current.deliver_signals()).await;
            continue;
        }
        match current.run_user() {
            Trap::Syscall if current.kernel.boot_info().strace => {
                seldom(current.serve_traced_call()).await;
            }
            Trap::Syscall => {
                if !current.try_serve_call() {
                    let result = syscalls::dispatch(&mut current).await;
                    current.complete_call(result);
                }
            }
            Trap::PageFault { address, access } => current.serve_fault(address, access).await,
            Trap::Exception(exception) => current.raise(exception),
            Trap::Interrupted => current.give_way().await,
            Trap::Lost => current.process().kill(),
        }
    }
    seldom(exit::exit(current)).await;
}

/// `future` on the heap. The future and the code of who awaits it, which run often, stay small.
#[inline(never)]
fn seldom<'a>(future: impl Future<Output = ()> + Send + 'a) -> BoxFuture<'a, ()> {
    Box::pin(future)
}

/// Counts the time in which `future` is polled as `task`'s.
async fn accounted(task: &Task, kernel: &Kernel, future: impl Future<Output = ()> + Send) {
    let mut future = pin!(future);
    core::future::poll_fn(|context| {
        task.accounting.resume(kernel.platform.monotonic_nanoseconds());
        let outcome = future.as_mut().poll(context);
        task.accounting.suspend(kernel.platform.monotonic_nanoseconds());
        outcome
    })
    .await;
}

impl Current {
    /// Runs user code until it traps. Whoever wants the executor after the activity was set
    /// interrupts it; what came before is seen here.
    fn run_user(&mut self) -> Trap {
        let executor = self.task.runnable.executor();
        let kernel = &*self.kernel;
        kernel.scheduler.set_activity(executor, Activity::User);
        let trap = if must_stay(kernel, &self.task, executor, &mut self.slice_end) {
            Trap::Interrupted
        } else {
            let deadline = earliest(kernel.timers.next_deadline(), self.slice_end);
            let trap =
                kernel.platform.run_user(executor, self.mm.space(), &mut self.context, deadline);
            kernel.loaded_spaces.note(executor, &self.mm);
            self.task.accounting.add_user(self.context.user_nanoseconds);
            trap
        };
        kernel.scheduler.set_activity(executor, Activity::Kernel);
        trap
    }

    /// Serves the call at once if that takes no waiting, or if seccomp(2) forbids it. A call that is
    /// left to others has been judged.
    fn try_serve_call(&mut self) -> bool {
        let judgement = self.judge_call().map(Ok);
        let Some(result) = judgement.or_else(|| syscalls::try_dispatch(self)) else { return false };
        self.complete_call(result);
        true
    }

    async fn serve_traced_call(&mut self) {
        let call = self.describe_call().await;
        let result = match self.judge_call() {
            None => syscalls::dispatch(self).await,
            Some(value) => Ok(value),
        };
        self.trace_call(&call, result);
        self.complete_call(result);
    }

    /// Hands `result` to user code.
    fn complete_call(&mut self, result: syscalls::SyscallResult) {
        self.context.registers.rax = match result {
            Ok(value) => {
                self.restart_deadline = None;
                value
            }
            Err(errno) => {
                self.restart_deadline =
                    self.restart_deadline.filter(|_| errno == Errno::ERESTART_RESTARTBLOCK);
                self.interrupted_call = errno.is_restart().then_some(errno);
                errno.return_value()
            }
        };
        self.finish_call(result.err());
    }

    /// Without an interruption a temporary signal mask ends with the call; otherwise after the
    /// delivery.
    fn finish_call(&mut self, error: Option<Errno>) {
        let interrupted = error.is_some_and(|errno| errno.is_restart() || errno == Errno::EINTR);
        if interrupted {
            // Also when somebody else took the signal meanwhile: the call must be restarted.
            self.task.notified.store(true, Ordering::Relaxed);
        } else if let Some(mask) = self.saved_mask.take() {
            self.task.set_blocked_signals(mask);
        }
    }

    async fn serve_fault(&mut self, address: u64, access: Option<Access>) {
        self.task.accounting.count_fault();
        let Err(fault) = self.mm.fault(address, access).await else { return };
        self.fault =
            FaultRecord { trap_number: 14, error_code: page_fault_error(&fault, access), address };
        self.task.force(match fault {
            Fault::NotMapped => SignalInfo::fault(Signal::SEGV, code::SEGV_MAPERR, address),
            Fault::NotPermitted => SignalInfo::fault(Signal::SEGV, code::SEGV_ACCERR, address),
            Fault::BusError => SignalInfo::fault(Signal::BUS, code::BUS_ADRERR, address),
            Fault::OutOfMemory => SignalInfo::kernel(Signal::KILL),
        });
    }

    fn raise(&mut self, exception: Exception) {
        let rip = self.context.registers.rip;
        let (trap_number, info) = match exception {
            Exception::DivideError => (0, SignalInfo::fault(Signal::FPE, code::FPE_INTDIV, rip)),
            Exception::Debug => (1, SignalInfo::fault(Signal::TRAP, code::TRAP_TRACE, rip)),
            Exception::Breakpoint => (3, SignalInfo::kernel(Signal::TRAP)),
            Exception::Overflow => (4, SignalInfo::kernel(Signal::SEGV)),
            Exception::InvalidOpcode => (6, SignalInfo::fault(Signal::ILL, code::ILL_ILLOPN, rip)),
            Exception::GeneralProtection => (13, SignalInfo::kernel(Signal::SEGV)),
            Exception::FloatingPoint => (16, SignalInfo::fault(Signal::FPE, code::FPE_FLTINV, rip)),
            Exception::AlignmentCheck => (17, SignalInfo::fault(Signal::BUS, code::BUS_ADRALN, 0)),
            Exception::BusError => (14, SignalInfo::fault(Signal::BUS, code::BUS_ADRERR, 0)),
        };
        self.fault = FaultRecord { trap_number, error_code: 0, address: 0 };
        self.task.force(info);
    }

    /// The executor was interrupted or the time slice is over: lets timers, drivers and other
    /// tasks go first, and moves to an idle executor if there is one and others wait here.
    async fn give_way(&mut self) {
        self.container().freezer.thawed().await;
        executor::poll_events(&self.kernel);
        let executor = self.task.runnable.executor();
        if !self.kernel.scheduler.has_others(executor) {
            return;
        }
        if let Some(idle) = self.kernel.scheduler.idle_executor() {
            self.save_extended_state();
            self.task.runnable.set_executor(idle);
        }
        self.slice_end = None;
        self.task.accounting.count_switch(false);
        yield_now().await;
    }

    /// Brings the vector state into `context.extended`.
    pub(super) fn save_extended_state(&mut self) {
        let executor = self.task.runnable.executor();
        self.kernel.platform.save_extended_state(executor, &mut self.context);
    }
}

/// Whether `task` has something to do before it may run user code on `executor`: a signal, a pause,
/// or others to let go first. Those who wait here move its end of slice to a time slice after they
/// were first seen; if they could run elsewhere, it gives way at once and lets itself be moved.
fn must_stay(
    kernel: &Kernel,
    task: &Task,
    executor: ExecutorId,
    slice_end: &mut Option<u64>,
) -> bool {
    if task.has_deliverable_signal() || task.process.container().freezer.is_frozen() {
        return true;
    }
    if !kernel.scheduler.has_others(executor) {
        *slice_end = None;
        return false;
    }
    if kernel.scheduler.idle_executor().is_some() {
        return true;
    }
    let now = kernel.platform.monotonic_nanoseconds();
    *slice_end.get_or_insert(now + TIME_SLICE) <= now
}

fn earliest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// The error code that the processor pushes for a page fault (Intel SDM volume 3, 4.7).
fn page_fault_error(fault: &Fault, access: Option<Access>) -> u64 {
    const PRESENT: u64 = 1;
    const WRITE: u64 = 2;
    const USER: u64 = 4;
    const FETCH: u64 = 16;
    let present = if matches!(fault, Fault::NotPermitted) { PRESENT } else { 0 };
    let kind = match access {
        Some(Access::Write) => WRITE,
        Some(Access::Execute) => FETCH,
        Some(Access::Read) | None => 0,
    };
    USER | present | kind
}

/// Starts the future of a task that was registered.
pub(super) fn start(current: Current) {
    let (kernel, runnable): (Arc<Kernel>, _) =
        (current.kernel.clone(), current.task.runnable.clone());
    kernel.scheduler.start(&runnable, Box::pin(run(current)));
}
