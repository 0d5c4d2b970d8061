//! The console device: the container's standard streams as bytes.
//!
//! Each stream is a [`File`](crate::vfs::File) that looks like one end of a pipe. If the container
//! has a terminal, the terminal's line discipline sits on top and uses the raw byte interface
//! ([`ConsoleInput::read`], [`ConsoleOutput::push`]) instead.

mod input;
mod output;
#[cfg(test)]
mod tests;

pub use input::ConsoleInput;
pub use output::ConsoleOutput;

use alloc::sync::Arc;

use guest_abi::{console::ConsoleQueue, device::DeviceDescriptor};

use super::{BufferArea, Virtqueue};
use crate::{errno::Result, kernel::Driver, platform::PlatformRef};

/// Size of a console buffer in bytes.
const SLOT_SIZE: usize = 16 << 10;

/// Whoever can follow the link to a stream in /proc/PID/fd may open it, whatever user the container
/// runs as.
const STREAM_PERMISSIONS: u16 = 0o666;

/// Buffers of an output stream; together what a pipe holds by default (pipe(7)).
const OUTPUT_SLOTS: usize = 4;

/// The three standard streams.
pub struct Console {
    input: Arc<ConsoleInput>,
    output: Arc<ConsoleOutput>,
    error: Arc<ConsoleOutput>,
}

impl Console {
    /// Drives `device`, which has index `index` in the device table. Its window must have room
    /// for at least three buffers of 16 KiB; nine are used.
    ///
    /// # Errors
    /// EINVAL or ENXIO if the descriptor is not valid, ENOMEM if the window is too small.
    pub fn new(platform: &PlatformRef, index: u16, device: &DeviceDescriptor) -> Result<Arc<Self>> {
        let mut area = BufferArea::of(device)?;
        let queue = |queue: ConsoleQueue| Virtqueue::new(platform, index, device, queue as u16);
        let input =
            ConsoleInput::new(queue(ConsoleQueue::Input)?, area.cut(platform, SLOT_SIZE, 1)?);
        let half = area.remaining() / 2;
        let slots = usize::try_from(half).unwrap_or(usize::MAX) / SLOT_SIZE;
        let mut output = |name| {
            let pool = area.cut(platform, SLOT_SIZE, slots.min(OUTPUT_SLOTS))?;
            queue(name).map(|queue| ConsoleOutput::new(queue, pool))
        };
        Ok(Arc::new(Self {
            input,
            output: output(ConsoleQueue::Output)?,
            error: output(ConsoleQueue::Error)?,
        }))
    }

    /// Standard input.
    pub const fn input(&self) -> &Arc<ConsoleInput> {
        &self.input
    }

    /// Standard output.
    pub const fn output(&self) -> &Arc<ConsoleOutput> {
        &self.output
    }

    /// Standard error.
    pub const fn error(&self) -> &Arc<ConsoleOutput> {
        &self.error
    }

    /// Waits until the host has all output. To be awaited before the host is told of the exit.
    pub async fn flush(&self) {
        self.output.flush().await;
        self.error.flush().await;
    }
}

impl Driver for Console {
    fn poll(&self) {
        self.input.queue().poll();
        self.output.queue().poll();
        self.error.queue().poll();
    }
}
