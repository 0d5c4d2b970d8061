//! Processes that the host starts in a container while it is there (`exec` of an OCI runtime).

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};
use core::future::Future;

use guest_abi::{
    container::ProcessSpec,
    control::{ProcessNumber, SentryMessage},
};
use spin::{Once, mutex::SpinMutex};

use super::{StartFailure, exit_status, new_process};
use crate::{
    drivers::{Console, ConsoleLines, Control},
    errno::Errno,
    kernel::{Driver, Kernel, PollEvents, Process, WaitStatus, run},
    platform::ExecutorId,
    tty::Terminal,
};

/// The processes that the host started and that have not ended. The lock is a leaf.
#[derive(Default)]
pub struct JoinedProcesses {
    consoles: Once<Vec<Arc<ConsoleLines>>>,
    running: SpinMutex<BTreeMap<ProcessNumber, Joined>>,
}

/// One of them.
#[derive(Clone)]
struct Joined {
    process: Arc<Process>,
    terminal: Option<Arc<Terminal>>,
}

/// What the host asks to start.
pub struct Order {
    /// The process's number.
    pub number: ProcessNumber,
    /// The container it is to be in.
    pub container: ProcessNumber,
    /// Which console it gets.
    pub console: u16,
    /// What it is.
    pub spec: ProcessSpec,
}

impl JoinedProcesses {
    /// Gives them consoles; once.
    pub(super) fn set_consoles(&self, consoles: Vec<Arc<ConsoleLines>>) {
        self.consoles.call_once(|| consoles);
    }

    /// The process with this number, unless it has ended.
    pub(super) fn process(&self, number: ProcessNumber) -> Option<Arc<Process>> {
        self.running.lock().get(&number).map(|joined| joined.process.clone())
    }

    /// Its terminal, if it has one.
    pub(super) fn terminal(&self, number: ProcessNumber) -> Option<Arc<Terminal>> {
        self.running.lock().get(&number).and_then(|joined| joined.terminal.clone())
    }

    pub(super) fn add(
        &self,
        number: ProcessNumber,
        process: &Arc<Process>,
        terminal: Option<Arc<Terminal>>,
    ) {
        let joined = Joined { process: process.clone(), terminal };
        self.running.lock().insert(number, joined);
    }

    pub(super) fn remove(&self, number: ProcessNumber) {
        let removed = self.running.lock().remove(&number);
        drop(removed);
    }

    /// The queues of the console with this index.
    pub(super) fn lines(&self, index: u16) -> Result<Arc<ConsoleLines>, StartFailure> {
        let lines = self.consoles.get().and_then(|all| all.get(usize::from(index)).cloned());
        lines.ok_or_else(|| StartFailure::new("there is no such console", Errno::ENXIO))
    }
}

/// Starts the process that `order` describes, and reports to the host how that went, how it ends
/// and when its streams are free again.
pub(super) fn start(kernel: &Arc<Kernel>, control: &Arc<Control>, order: Order) {
    let (kernel_of_task, control) = (kernel.clone(), control.clone());
    let life = async move {
        let number = order.number;
        let outcome = live(&kernel_of_task, &control, order).await;
        report_last(&control, number, outcome).await;
    };
    kernel.scheduler.spawn_on(ExecutorId::OF_DEVICES, Box::pin(life));
}

/// The last that the host hears of a process.
pub(super) async fn report_last(
    control: &Control,
    number: ProcessNumber,
    outcome: Result<(), StartFailure>,
) {
    let last = match outcome {
        Ok(()) => SentryMessage::StreamsClosed { number },
        Err(failure) => {
            let errno = failure.errno.number();
            SentryMessage::ExecuteFailed { number, cause: failure.cause, errno }
        }
    };
    // Nothing can be done for a host that does not listen.
    let _ = control.send(&last).await;
}

/// From the start of a process until nobody has its streams.
async fn live(kernel: &Arc<Kernel>, control: &Control, order: Order) -> Result<(), StartFailure> {
    let lines = kernel.joined.lines(order.console)?;
    driven(kernel, &lines, with_streams(kernel, control, &order, lines.open())).await
}

/// `future`, while executors look after `lines`.
pub(super) async fn driven<T>(
    kernel: &Kernel,
    lines: &Arc<ConsoleLines>,
    future: impl Future<Output = T>,
) -> T {
    let driver: Arc<dyn Driver> = lines.clone();
    kernel.drivers.write().push(driver.clone());
    let outcome = future.await;
    kernel.drivers.write().retain(|other| !Arc::ptr_eq(other, &driver));
    outcome
}

async fn with_streams(
    kernel: &Arc<Kernel>,
    control: &Control,
    order: &Order,
    console: Arc<Console>,
) -> Result<(), StartFailure> {
    match run_to_end(kernel, control, order, &console).await {
        Ok(status) => {
            report_end(control, order.number, status, console, order.spec.terminal).await;
            Ok(())
        }
        Err(failure) => {
            console.close();
            Err(failure)
        }
    }
}

/// Tells the host that a process has ended, and waits until nobody has its `console`, which the
/// process and those that it leaves behind have: as with a pipe, the host sees the end of a stream
/// when the last of them has closed it. A terminal is hung up when the process has ended that it was
/// made for.
pub(super) async fn report_end(
    control: &Control,
    number: ProcessNumber,
    status: WaitStatus,
    console: Arc<Console>,
    has_terminal: bool,
) {
    console.flush().await;
    let status = exit_status(status);
    // Nothing can be done for a host that does not listen.
    let _ = control.send(&SentryMessage::ExecutedExited { number, status }).await;
    if has_terminal {
        console.close();
        return;
    }
    let (input, released) = (console.input().clone(), console.released().clone());
    drop(console);
    released.wait().await;
    input.close();
}

async fn run_to_end(
    kernel: &Arc<Kernel>,
    control: &Control,
    order: &Order,
    console: &Arc<Console>,
) -> Result<WaitStatus, StartFailure> {
    let container = kernel.containers.get(order.container);
    let container =
        container.ok_or_else(|| StartFailure::new("there is no such container", Errno::ESRCH))?;
    let new = new_process::joining(kernel, &container, &order.spec, console).await?;
    let process = new.current.process().clone();
    kernel.joined.add(order.number, &process, new.terminal.clone());
    let executed = SentryMessage::Executed { number: order.number, pid: process.pid() };
    // Nothing can be done for a host that does not listen.
    let _ = control.send(&executed).await;
    // This task is about to wait, so the new one need not wake another executor. Nor is it tied to this one.
    new.current.task.runnable.set_executor(ExecutorId::OF_DEVICES);
    run::start(new.current);
    if container.has_ended() {
        // Too late: what ended with the first process did not see this one.
        process.kill();
    }
    let status = process.exited.wait_until(PollEvents::IN, || process.exit_status()).await;
    kernel.joined.remove(order.number);
    if let Some(terminal) = new.terminal {
        terminal.drained().await;
    }
    Ok(status)
}
