//! The container's own terminal: a [`Terminal`] whose line is the console device.

use alloc::{boxed::Box, sync::Arc, vec};

use super::{ConsoleNumber, PtyTable, Terminal, WindowSize};
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

/// The container's terminal that was just made.
pub struct Attached {
    /// The terminal.
    pub terminal: Arc<Terminal>,
    /// N of /dev/pts/N, its name for as long as the host has its line.
    pub number: u32,
}

/// Makes `console` a terminal of user `uid` among `ptys`, and starts to move bytes between the two.
///
/// # Errors
/// ENOSPC if there are too many terminals.
pub fn attach(
    kernel: &Arc<Kernel>,
    ptys: &Arc<PtyTable>,
    console: &Arc<Console>,
    window: WindowSize,
    uid: u32,
) -> Result<Attached> {
    let line = ptys.add_console(kernel, uid)?;
    let (number, terminal) = (line.number(), line.terminal().clone());
    terminal.resize(window);
    kernel.scheduler.spawn(Box::pin(feed(console.clone(), line)));
    kernel.scheduler.spawn(Box::pin(drain(console.clone(), terminal.clone())));
    Ok(Attached { terminal, number })
}

/// Moves what is typed into the terminal, until the host closes its side, which hangs up.
async fn feed(console: Arc<Console>, line: ConsoleNumber) {
    let terminal = line.terminal();
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
