//! The task side of a terminal as an open file.

use alloc::{boxed::Box, sync::Arc};

use async_trait::async_trait;

use super::{LocalFlags, Terminal, ioctl};
use crate::{
    errno::Result,
    io::{Destination, Source, TryResult},
    kernel::{Current, PollEvents, WaitQueue, signal::Signal},
    vfs::{Caller, File, OpenFlags, WritePosition, Written},
};

/// An open terminal.
pub struct TerminalFile {
    terminal: Arc<Terminal>,
}

impl TerminalFile {
    /// Opens `terminal`. It becomes the controlling terminal of a session leader that has none,
    /// unless `flags` have O_NOCTTY.
    ///
    /// # Errors
    /// EIO if its line is gone.
    pub fn open(
        terminal: Arc<Terminal>,
        caller: Caller<'_>,
        flags: OpenFlags,
    ) -> Result<Arc<dyn File>> {
        terminal.add_user()?;
        if !flags.contains(OpenFlags::NO_CONTROLLING_TERMINAL)
            && let Some(task) = caller.task
        {
            // Most openers are not in a position to acquire it, which is no error.
            let _ = terminal.become_controlling(task, false);
        }
        Ok(Arc::new(Self { terminal }))
    }

    /// The terminal.
    pub const fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }
}

#[async_trait]
impl File for TerminalFile {
    fn admit(&self, current: &Current, write: bool) -> Result<()> {
        if !write {
            return self.terminal.check_foreground(current, Signal::TTIN);
        }
        if self.terminal.termios().local().contains(LocalFlags::TOSTOP) {
            return self.terminal.check_foreground(current, Signal::TTOU);
        }
        Ok(())
    }

    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        self.terminal.read(destination)
    }

    fn try_write(&self, _at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        let count = self.terminal.write(source)?;
        Ok(Written { count, end: 0 })
    }

    async fn ioctl(&self, current: &mut Current, command: u32, argument: u64) -> Result<u64> {
        ioctl::terminal(&self.terminal, current, command, argument).await
    }

    fn poll(&self) -> PollEvents {
        self.terminal.events()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.terminal.queue)
    }
}

impl Drop for TerminalFile {
    fn drop(&mut self) {
        self.terminal.remove_user();
    }
}
