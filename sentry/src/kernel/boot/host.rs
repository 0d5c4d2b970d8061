//! What the host asks for while containers run.

use alloc::{boxed::Box, string::String, sync::Arc};

use guest_abi::control::{HostMessage, ProcessEntry, ProcessNumber, SentryMessage, SignalTarget};

use super::{
    further,
    joined::{self, Order},
};
use crate::{
    drivers::Control,
    kernel::{
        Container, Kernel, Process,
        signal::{Signal, SignalInfo, code},
    },
    platform::ExecutorId,
    tty::{Terminal, WindowSize},
};

/// Serves the host's messages from now on.
pub fn listen(kernel: &Arc<Kernel>, control: &Arc<Control>) {
    let (serving, reports) = (kernel.clone(), control.clone());
    let handle = move |message| serve(&serving, &reports, message);
    let dispatch = control.clone().dispatch(handle);
    kernel.scheduler.spawn_on(ExecutorId::OF_DEVICES, Box::pin(dispatch));
}

fn serve(kernel: &Arc<Kernel>, control: &Arc<Control>, message: HostMessage) {
    match message {
        HostMessage::Start(number) => with(kernel, number, |container| container.start.complete()),
        HostMessage::Signal { number, target } => send_signal(kernel, number, target),
        HostMessage::Resize { process, rows, columns } => {
            if let Some(terminal) = terminal_of(kernel, process) {
                terminal.resize(WindowSize { rows, columns, ..WindowSize::default() });
            }
        }
        HostMessage::CreateContainer { number, console, container } => {
            further::create(kernel, control, further::Order { number, console, spec: container });
        }
        HostMessage::Execute { number, container, console, process } => {
            joined::start(kernel, control, Order { number, container, console, spec: process });
        }
        HostMessage::LoseDevices(number) => with(kernel, number, Container::close_queues),
        HostMessage::Pause(number) => with(kernel, number, |container| {
            kernel.freeze(container);
            report(kernel, control, SentryMessage::Paused(number));
        }),
        HostMessage::Resume(number) => with(kernel, number, |container| {
            container.freezer.thaw();
            report(kernel, control, SentryMessage::Resumed(number));
        }),
        HostMessage::Limit { container, limits } => {
            with(kernel, container, |container| container.limits.change(&limits));
            if container == ProcessNumber::FIRST
                && let Some(bytes) = limits.sandbox_memory_bytes()
            {
                kernel.frames.set_limit(bytes);
            }
        }
        HostMessage::ListProcesses(number) => {
            with(kernel, number, |container| report(kernel, control, processes(kernel, container)));
        }
    }
}

/// Does something to the container with this number, unless it has ended.
fn with(kernel: &Kernel, number: ProcessNumber, action: impl FnOnce(&Container)) {
    if let Some(container) = kernel.containers.get(number) {
        action(&container);
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
        ProcessNumber::FIRST => kernel.containers.sandbox.terminals.console.get().cloned(),
        number => kernel.joined.terminal(number),
    }
}

fn send_signal(kernel: &Kernel, number: u8, target: SignalTarget) {
    let Ok(signal) = Signal::from_number(i32::from(number)) else { return };
    // From outside the container, as Linux shows a sender in another pid namespace: process 0.
    let info = SignalInfo::from_process(signal, code::SI_USER, 0, 0);
    match target {
        SignalTarget::Process(number) => {
            let process = match number {
                ProcessNumber::FIRST => kernel.containers.sandbox.first_process(),
                number => kernel.joined.process(number),
            };
            if let Some(process) = process {
                process.send(info);
                after_signal(process.container(), signal);
            }
        }
        SignalTarget::Foreground => {
            send_to_foreground(kernel, info);
            after_signal(&kernel.containers.sandbox, signal);
        }
        SignalTarget::All(number) => with(kernel, number, |container| {
            container.members().iter().for_each(|process| process.send(info));
            after_signal(container, signal);
        }),
    }
}

/// A killed process ends also if its container is paused, or was never started.
fn after_signal(container: &Container, signal: Signal) {
    if signal == Signal::KILL {
        container.freezer.thaw();
        if container.first_process().is_some_and(|first| first.is_ending()) {
            container.start.complete();
        }
    }
}

fn send_to_foreground(kernel: &Kernel, info: SignalInfo) {
    let Some(init) = kernel.containers.sandbox.first_process() else { return };
    // Without a terminal of its own the container is one job of the host's terminal, whose keys
    // reach all of it.
    let terminal = init.session().terminal();
    let group = terminal.and_then(|it| init.table().group(it.foreground_group()));
    group.unwrap_or_else(|| init.group()).send(info);
}

/// Most processes that are listed: with names of at most 15 bytes, they fit into one message.
const MAX_LISTED: usize = 1024;

fn processes(kernel: &Kernel, container: &Container) -> SentryMessage {
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
    let list = container.members().iter().take(MAX_LISTED).map(entry).collect();
    SentryMessage::Processes { container: container.number, list }
}

/// Waits until the host has all output of the first container.
pub async fn flush_output(kernel: &Kernel) {
    if let Some(terminal) = kernel.containers.sandbox.terminals.console.get() {
        terminal.drained().await;
    }
    if let Some(console) = kernel.console.get() {
        console.flush().await;
    }
}
