//! Processes that the host starts in the container while it is there (`exec` of an OCI runtime).

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};

use guest_abi::{
    container::ProcessSpec,
    control::{ProcessNumber, SentryMessage},
};
use spin::{Once, mutex::SpinMutex};

use super::{StartFailure, exit_status, new_process};
use crate::{
    drivers::{Console, ConsoleLines, Control},
    errno::Errno,
    kernel::{Completion, Driver, Kernel, PollEvents, Process, WaitStatus, run, signal::Signal},
    tty::Terminal,
};

/// The processes that the host started and that have not ended. The lock is a leaf.
#[derive(Default)]
pub struct JoinedProcesses {
    consoles: Once<Vec<Arc<ConsoleLines>>>,
    running: SpinMutex<BTreeMap<ProcessNumber, Joined>>,
    start: Completion,
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

    /// Complete when the first process may start.
    pub(super) const fn start_permission(&self) -> &Completion {
        &self.start
    }

    /// The process with this number, unless it has ended.
    pub(super) fn process(&self, number: ProcessNumber) -> Option<Arc<Process>> {
        self.running.lock().get(&number).map(|joined| joined.process.clone())
    }

    /// Its terminal, if it has one.
    pub(super) fn terminal(&self, number: ProcessNumber) -> Option<Arc<Terminal>> {
        self.running.lock().get(&number).and_then(|joined| joined.terminal.clone())
    }

    fn lines(&self, index: u16) -> Option<Arc<ConsoleLines>> {
        self.consoles.get()?.get(usize::from(index)).cloned()
    }
}

/// Starts the process that `order` describes, and reports to the host how that went, how it ends
/// and when its streams are free again.
pub(super) fn start(kernel: &Arc<Kernel>, control: &Arc<Control>, order: Order) {
    let (kernel_of_task, control) = (kernel.clone(), control.clone());
    let life = async move {
        let number = order.number;
        let last = match live(&kernel_of_task, &control, order).await {
            Ok(()) => SentryMessage::StreamsClosed { number },
            Err(failure) => {
                let errno = failure.errno.number();
                SentryMessage::ExecuteFailed { number, cause: failure.cause, errno }
            }
        };
        // Nothing can be done for a host that does not listen.
        let _ = control.send(&last).await;
    };
    kernel.scheduler.spawn(Box::pin(life));
}

/// From the start of a process until nobody has its streams.
async fn live(kernel: &Arc<Kernel>, control: &Control, order: Order) -> Result<(), StartFailure> {
    let lines = kernel
        .joined
        .lines(order.console)
        .ok_or_else(|| StartFailure::new("there is no such console", Errno::ENXIO))?;
    let driver: Arc<dyn Driver> = lines.clone();
    kernel.drivers.write().push(driver.clone());
    let outcome = with_streams(kernel, control, &order, lines.open()).await;
    kernel.drivers.write().retain(|other| !Arc::ptr_eq(other, &driver));
    outcome
}

/// The same on `console`, which the process and those that it leaves behind have: as with a pipe,
/// the host sees the end of a stream when the last of them has closed it. A terminal is hung up when
/// the process has ended that it was made for.
async fn with_streams(
    kernel: &Arc<Kernel>,
    control: &Control,
    order: &Order,
    console: Arc<Console>,
) -> Result<(), StartFailure> {
    let status = match run_to_end(kernel, control, order, &console).await {
        Ok(status) => status,
        Err(failure) => {
            console.close();
            return Err(failure);
        }
    };
    console.flush().await;
    let (number, status) = (order.number, exit_status(status));
    // Nothing can be done for a host that does not listen.
    let _ = control.send(&SentryMessage::ExecutedExited { number, status }).await;
    if order.spec.terminal {
        console.close();
        return Ok(());
    }
    let (input, released) = (console.input().clone(), console.released().clone());
    drop(console);
    released.wait().await;
    input.close();
    Ok(())
}

async fn run_to_end(
    kernel: &Arc<Kernel>,
    control: &Control,
    order: &Order,
    console: &Arc<Console>,
) -> Result<WaitStatus, StartFailure> {
    let new = new_process::joining(kernel, &order.spec, console).await?;
    let process = new.current.process().clone();
    let joined = Joined { process: process.clone(), terminal: new.terminal.clone() };
    kernel.joined.running.lock().insert(order.number, joined);
    let executed = SentryMessage::Executed { number: order.number, pid: process.pid() };
    // Nothing can be done for a host that does not listen.
    let _ = control.send(&executed).await;
    run::start(new.current);
    if kernel.processes.init().is_none_or(|init| init.exit_status().is_some()) {
        // Too late: what ended with the first process did not see this one.
        process.end(WaitStatus::killed(Signal::KILL, false));
    }
    let status = process.exited.wait_until(PollEvents::IN, || process.exit_status()).await;
    kernel.joined.running.lock().remove(&order.number);
    if let Some(terminal) = new.terminal {
        terminal.drained().await;
    }
    Ok(status)
}
