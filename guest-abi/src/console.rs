//! The console device: the container's standard input, output and error as byte streams.
//!
//! A stream is raw bytes; line discipline, echo and job control are the sentry's (its terminal
//! code). If the host side is a terminal, the host puts it into raw mode and announces its size by
//! [`crate::control::HostMessage::Resize`].

/// Number of queues that carry the streams of one process.
pub const CONSOLE_QUEUES: usize = 3;

/// Processes with streams of their own that may be there at a time besides the first one.
pub const EXEC_CONSOLES: usize = 64;

/// Queues of the console device, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ConsoleQueue {
    /// Device-writable buffers, filled from the host's standard input. A buffer is posted only
    /// when the container wants to read, and returned with length 0 at end of file.
    Input = 0,
    /// Device-readable buffers, written to standard output; returned once written. A used length
    /// of [`OUTPUT_CLOSED`] says that nobody reads any more (EPIPE).
    Output = 1,
    /// The same for standard error.
    Error = 2,
}

/// Used length of an output buffer that could not be delivered because the reader is gone.
pub const OUTPUT_CLOSED: u32 = u32::MAX;
