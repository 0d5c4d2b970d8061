//! What the host asks for while the container runs.

use alloc::{boxed::Box, string::String, sync::Arc};

use guest_abi::control::{HostMessage, ProcessEntry, ProcessNumber, SentryMessage, SignalTarget};

use super::joined::{self, Order};

use crate::{
    drivers::Control,
    kernel::{
        Kernel, Process,
        signal::{Signal, SignalInfo, code},
    },
    tty::{Terminal, WindowSize},
};

/// Serves the host's messages from now on.
pub fn listen(kernel: &Arc<Kernel>, control: &Arc<Control>) {
    let (serving, reports) = (kernel.clone(), control.clone());
    let handle = move |message| serve(&serving, &reports, message);
    kernel.scheduler.spawn(Box::pin(control.clone().dispatch(handle)));
}

fn serve(kernel: &Arc<Kernel>, control: &Arc<Control>, message: HostMessage) {
    match message {
        HostMessage::Start => kernel.joined.start_permission().complete(),
        HostMessage::Signal { number, target } => send_signal(kernel, number, target),
        HostMessage::Resize { process, rows, columns } => {
            if let Some(terminal) = terminal_of(kernel, process) {
                terminal.resize(WindowSize { rows, columns, ..WindowSize::default() });
            }
        }
        HostMessage::Execute { number, console, process } => {
            joined::start(kernel, control, Order { number, console, spec: process });
        }
        HostMessage::Pause => {
            kernel.freeze();
            report(kernel, control, SentryMessage::Paused);
        }
        HostMessage::Resume => {
            kernel.thaw();
            report(kernel, control, SentryMessage::Resumed);
        }
        HostMessage::LimitTasks(limit) => kernel.set_task_limit(limit),
        HostMessage::ListProcesses => report(kernel, control, processes(kernel)),
    }
}

/// Sends `message` without making the next message of the host wait for it.
fn report(kernel: &Kernel, control: &Arc<Control>, message: SentryMessage) {
    let control = control.clone();
    let send = async move {
        // Nothing can be done for a host that does not listen.
        let _ = control.send(&message).await;
    };
    kernel.scheduler.spawn(Box::pin(send));
}

fn terminal_of(kernel: &Kernel, process: ProcessNumber) -> Option<Arc<Terminal>> {
    match process {
        ProcessNumber::FIRST => kernel.terminals.console.get().cloned(),
        number => kernel.joined.terminal(number),
    }
}

fn send_signal(kernel: &Kernel, number: u8, target: SignalTarget) {
    let Ok(signal) = Signal::from_number(i32::from(number)) else { return };
    // From outside the container, as Linux shows a sender in another pid namespace: process 0.
    let info = SignalInfo::from_process(signal, code::SI_USER, 0, 0);
    match target {
        SignalTarget::Process(ProcessNumber::FIRST) => {
            if let Some(init) = kernel.processes.init() {
                init.send(info);
            }
        }
        SignalTarget::Process(number) => {
            if let Some(process) = kernel.joined.process(number) {
                process.send(info);
            }
        }
        SignalTarget::Foreground => send_to_foreground(kernel, info),
        SignalTarget::All => {
            kernel.processes.processes().iter().for_each(|process| process.send(info));
        }
    }
    if signal == Signal::KILL {
        // Nobody would see the end of what is paused.
        kernel.thaw();
    }
}

fn send_to_foreground(kernel: &Kernel, info: SignalInfo) {
    let Some(init) = kernel.processes.init() else { return };
    // Without a terminal of its own the container is one job of the host's terminal, whose keys
    // reach all of it.
    let terminal = init.session().terminal();
    let group = terminal.and_then(|it| kernel.processes.group(it.foreground_group()));
    group.unwrap_or_else(|| init.group()).send(info);
}

/// Most processes that are listed: with names of at most 15 bytes, they fit into one message.
const MAX_LISTED: usize = 1024;

fn processes(kernel: &Kernel) -> SentryMessage {
    const MILLISECOND: u64 = 1_000_000;
    let now = kernel.platform.monotonic_nanoseconds();
    let entry = |process: &Arc<Process>| {
        let name = process.first_thread().map(|task| task.name()).unwrap_or_default();
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let name = name.get(..end).unwrap_or_default();
        ProcessEntry {
            pid: process.pid(),
            parent: process.parent_pid(),
            uid: process.real_uid(),
            milliseconds: process.usage(now).processor_nanoseconds() / MILLISECOND,
            name: String::from_utf8_lossy(name).into_owned(),
        }
    };
    let all = kernel.processes.processes();
    SentryMessage::Processes(all.iter().take(MAX_LISTED).map(entry).collect())
}

/// Waits until the host has all output of the container.
pub async fn flush_output(kernel: &Kernel) {
    if let Some(terminal) = kernel.terminals.console.get() {
        terminal.drained().await;
    }
    if let Some(console) = kernel.console.get() {
        console.flush().await;
    }
}
