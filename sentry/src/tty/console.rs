//! The container's own terminal: a [`Terminal`] whose line is the console device.

use alloc::{boxed::Box, sync::Arc, vec};

use super::{Terminal, WindowSize};
use crate::{
    drivers::Console,
    errno::Result,
    kernel::{Kernel, PollEvents},
    vfs::DeviceNumber,
};

/// Device number of /dev/console.
pub const CONSOLE: DeviceNumber = DeviceNumber { major: 5, minor: 1 };

/// Bytes moved at a time.
const CHUNK: usize = 4096;

/// Makes `console` a terminal, and starts to move bytes between the two.
pub fn attach(kernel: &Arc<Kernel>, console: &Arc<Console>, window: WindowSize) -> Arc<Terminal> {
    let terminal = Terminal::new(kernel, CONSOLE);
    terminal.resize(window);
    kernel.scheduler.spawn(Box::pin(feed(console.clone(), terminal.clone())));
    kernel.scheduler.spawn(Box::pin(drain(console.clone(), terminal.clone())));
    terminal
}

/// Moves what is typed into the terminal, until the host closes its side.
async fn feed(console: Arc<Console>, terminal: Arc<Terminal>) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(count) = console.input().read(&mut buffer).await
        && count > 0
    {
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let room = || (terminal.input_room() > 0).then_some(());
            terminal.line_queue().wait_until(PollEvents::OUT, room).await;
            rest = rest.get(terminal.receive(rest)..).unwrap_or_default();
        }
    }
    terminal.hang_up();
}

/// Moves output to the host, until nobody there reads any more.
async fn drain(console: Arc<Console>, terminal: Arc<Terminal>) {
    while deliver_next(&console, &terminal).await.is_ok() {}
    terminal.hang_up();
}

async fn deliver_next(console: &Console, terminal: &Terminal) -> Result<()> {
    let next = || terminal.next_output(CHUNK).ok();
    let bytes = terminal.line_queue().wait_until(PollEvents::IN, next).await;
    console.output().write_all(&bytes).await
}
