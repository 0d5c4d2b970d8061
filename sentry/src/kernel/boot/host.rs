//! What the host asks for while the container runs.

use alloc::{boxed::Box, sync::Arc};

use guest_abi::control::HostMessage;

use crate::{
    drivers::Control,
    kernel::{
        Kernel,
        signal::{Signal, SignalInfo, code},
    },
    tty::WindowSize,
};

/// Serves the host's messages from now on.
pub fn listen(kernel: &Arc<Kernel>, control: &Arc<Control>) {
    let serving = kernel.clone();
    let handle = move |message| serve(&serving, &message);
    kernel.scheduler.spawn(Box::pin(control.clone().dispatch(handle)));
}

fn serve(kernel: &Kernel, message: &HostMessage) {
    match *message {
        HostMessage::Signal { number, foreground } => send_signal(kernel, number, foreground),
        HostMessage::Resize { rows, columns } => {
            if let Some(terminal) = kernel.terminals.console.get() {
                terminal.resize(WindowSize { rows, columns, ..WindowSize::default() });
            }
        }
    }
}

fn send_signal(kernel: &Kernel, number: u8, foreground: bool) {
    let Ok(signal) = Signal::from_number(i32::from(number)) else { return };
    // From outside the container, as Linux shows a sender in another pid namespace: process 0.
    let info = SignalInfo::from_process(signal, code::SI_USER, 0, 0);
    let Some(init) = kernel.processes.init() else { return };
    if !foreground {
        init.send(info);
        return;
    }
    // Without a terminal of its own the container is one job of the host's terminal, whose keys
    // reach all of it.
    let terminal = init.session().terminal();
    let group = terminal.and_then(|it| kernel.processes.group(it.foreground_group()));
    group.unwrap_or_else(|| init.group()).send(info);
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
