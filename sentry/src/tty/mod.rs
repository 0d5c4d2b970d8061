//! Terminals: line discipline, job control, pseudo-terminals. See README.md.

pub mod console;
mod file;
mod input;
mod ioctl;
mod job_control;
mod line_discipline;
mod output;
mod pty;
mod reading;
mod terminal;
mod termios;

pub use file::TerminalFile;
pub(crate) use job_control::controlling_terminal;
pub use pty::{ConsoleNumber, Master, PtyTable, SLAVE_MAJOR, SlaveNode};
pub use terminal::Terminal;
pub use termios::{Control, InputFlags, LocalFlags, OutputFlags, Termios, Termios2, WindowSize};

use alloc::sync::Arc;

use spin::Once;

/// The terminals of a container.
#[derive(Default)]
pub struct Terminals {
    /// Pseudo-terminals.
    pub ptys: Arc<PtyTable>,
    /// The container's terminal, if it has one.
    pub console: Once<Arc<Terminal>>,
}

#[cfg(test)]
mod tests;
