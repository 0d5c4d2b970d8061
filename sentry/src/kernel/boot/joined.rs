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
    consoles: Once<Vec<ConsoleLines>>,
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
    pub(super) fn set_consoles(&self, consoles: Vec<ConsoleLines>) {
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

    fn open_console(&self, index: u16) -> Option<Arc<Console>> {
        self.consoles.get()?.get(usize::from(index)).map(ConsoleLines::open)
    }
}

/// Starts the process that `order` describes, and reports to the host how that went and how it
/// ends.
pub(super) fn start(kernel: &Arc<Kernel>, control: &Arc<Control>, order: Order) {
    let (kernel_of_task, control) = (kernel.clone(), control.clone());
    let life = async move {
        let number = order.number;
        let last = match live(&kernel_of_task, &control, order).await {
            Ok(status) => SentryMessage::ExecutedExited { number, status: exit_status(status) },
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

async fn live(
    kernel: &Arc<Kernel>,
    control: &Control,
    order: Order,
) -> Result<WaitStatus, StartFailure> {
    let console = kernel
        .joined
        .open_console(order.console)
        .ok_or_else(|| StartFailure::new("there is no such console", Errno::ENXIO))?;
    let driver: Arc<dyn Driver> = console.clone();
    kernel.drivers.write().push(driver.clone());
    let outcome = run_to_end(kernel, control, &order, &console).await;
    console.flush().await;
    console.close();
    kernel.drivers.write().retain(|other| !Arc::ptr_eq(other, &driver));
    outcome
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
