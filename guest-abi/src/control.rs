//! The control device: what the host tells the sentry and what the sentry reports.

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Queues of the control device, by index. Each buffer carries one [`crate::message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ControlQueue {
    /// Device-writable buffers, filled with [`HostMessage`]s.
    FromHost = 0,
    /// Device-readable buffers holding [`SentryMessage`]s.
    ToHost = 1,
}

/// Largest encoded control message in bytes.
pub const MAX_CONTROL_MESSAGE: usize = 64 * 1024;

/// A message from the host to the sentry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostMessage {
    /// Send signal `number` to the container's first process.
    Signal {
        /// Linux signal number, 1 to 64.
        number: u8,
        /// Deliver to the terminal's foreground process group instead, if there is a terminal.
        foreground: bool,
    },
    /// The host terminal changed its size, in character cells.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
}

/// A message from the sentry to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SentryMessage {
    /// The container's first process is about to execute its first instruction.
    Started,
    /// The container could not be started; nothing of it ran.
    StartFailed {
        /// What failed, one line, without a final full stop.
        cause: String,
        /// The Linux errno behind it.
        errno: u16,
    },
    /// The container's first process ended.
    Exited {
        /// As `wait(2)` encodes it.
        status: ExitStatus,
    },
    /// A line for the log.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// One line, without a final newline.
        text: String,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It called `exit`, with this code.
    Code(u8),
    /// A signal with this number killed it.
    Signal(u8),
}

impl ExitStatus {
    /// The status a shell would show: the code, or 128 plus the signal number.
    pub const fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(number) => 128_u8.saturating_add(number),
        }
    }
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
    /// The sandbox cannot go on.
    Error,
    /// Something is not as it should be.
    Warning,
    /// Worth knowing.
    Information,
    /// For developers, including the system-call trace.
    Debug,
}
