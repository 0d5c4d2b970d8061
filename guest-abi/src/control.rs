//! The control device: what the host tells the sentry and what the sentry reports.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::container::{ContainerSpec, Limits, ProcessSpec};

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

/// Names a process that the host started, on the control device. Process ids inside the container
/// are the sentry's and may be used again; these are the host's and are not. A container is named by
/// the number of its first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessNumber(pub u32);

impl ProcessNumber {
    /// The first process of the sandbox's first container.
    pub const FIRST: Self = Self(0);
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalTarget {
    /// One process.
    Process(ProcessNumber),
    /// The foreground process group of the first container's terminal; without one, all that belong to
    /// the first process's group.
    Foreground,
    /// Every process of this container.
    All(ProcessNumber),
}

/// A message from the host to the sentry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "each exists for a moment, and there are few")]
pub enum HostMessage {
    /// Let this prepared container run ([`crate::container::ContainerSpec::waits_for_start`]).
    Start(ProcessNumber),
    /// Send a signal.
    Signal {
        /// Linux signal number, 1 to 64.
        number: u8,
        /// To whom.
        target: SignalTarget,
    },
    /// The terminal of a process changed its size, in character cells.
    Resize {
        /// Whose terminal.
        process: ProcessNumber,
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Make another container beside the first; answered by [`SentryMessage::Created`] or
    /// [`SentryMessage::ExecuteFailed`]. Its first process then is like one of [`Self::Execute`]. Its
    /// file-system devices are free for others after [`SentryMessage::ExecutedExited`].
    CreateContainer {
        /// Its number, not used before.
        number: ProcessNumber,
        /// The console of its first process, as that of [`Self::Execute`].
        console: u16,
        /// What it is.
        container: ContainerSpec,
    },
    /// Start another process in a container.
    Execute {
        /// Its number, not used before.
        number: ProcessNumber,
        /// The container.
        container: ProcessNumber,
        /// Which of the consoles of the [`crate::device::DeviceKind::ExecConsoles`] device carries
        /// its standard streams. The host gives it to no other before
        /// [`SentryMessage::StreamsClosed`] or [`SentryMessage::ExecuteFailed`].
        console: u16,
        /// What to start.
        process: ProcessSpec,
    },
    /// Whoever served the file-system devices of this further container is gone: what is asked of them
    /// fails from now on.
    LoseDevices(ProcessNumber),
    /// Stop running user code of this container; answered by [`SentryMessage::Paused`].
    Pause(ProcessNumber),
    /// Go on; answered by [`SentryMessage::Resumed`].
    Resume(ProcessNumber),
    /// Change what a container may use.
    Limit {
        /// The container.
        container: ProcessNumber,
        /// What changes; what is absent stays.
        limits: Limits,
    },
    /// Answer with [`SentryMessage::Processes`] of this container.
    ListProcesses(ProcessNumber),
}

/// A message from the sentry to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SentryMessage {
    /// This container is prepared and waits for [`HostMessage::Start`].
    Created(ProcessNumber),
    /// The first process of this container is about to execute its first instruction.
    Started(ProcessNumber),
    /// The first container could not be started; nothing of it ran.
    StartFailed {
        /// What failed, one line, without a final full stop.
        cause: String,
        /// The Linux errno behind it.
        errno: u16,
    },
    /// The first container's first process ended, and with it the sandbox.
    Exited {
        /// As `wait(2)` encodes it.
        status: ExitStatus,
    },
    /// A process that [`HostMessage::Execute`] asked for is about to run.
    Executed {
        /// Which.
        number: ProcessNumber,
        /// Its process id in the container.
        pid: u32,
    },
    /// A process that [`HostMessage::Execute`] asked for could not be started, or a container that
    /// [`HostMessage::CreateContainer`] asked for not be made; nothing of it remains.
    ExecuteFailed {
        /// Which.
        number: ProcessNumber,
        /// What failed, one line, without a final full stop.
        cause: String,
        /// The Linux errno behind it.
        errno: u16,
    },
    /// A process that [`HostMessage::Execute`] started has ended, and all it wrote is with the host.
    /// Others may still have its streams. For the first process of a container this says that all
    /// processes of the container have ended, and that all its files are written.
    ExecutedExited {
        /// Which.
        number: ProcessNumber,
        /// How.
        status: ExitStatus,
    },
    /// Nobody has the output streams of a process any more that ended before.
    StreamsClosed {
        /// Which.
        number: ProcessNumber,
    },
    /// No user code of this container runs.
    Paused(ProcessNumber),
    /// User code of this container runs again.
    Resumed(ProcessNumber),
    /// The processes of a container.
    Processes {
        /// The container.
        container: ProcessNumber,
        /// The oldest first; as many as fit into a message.
        list: Vec<ProcessEntry>,
    },
    /// A line for the log.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// One line, without a final newline.
        text: String,
    },
}

/// One process of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEntry {
    /// Its id in the container.
    pub pid: u32,
    /// Its parent's; 0 if that is outside.
    pub parent: u32,
    /// Its real user id.
    pub uid: u32,
    /// Processor time used, in milliseconds.
    pub milliseconds: u64,
    /// Its name, as /proc/PID/comm shows it.
    pub name: String,
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
