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

use alloc::{sync::Arc, vec::Vec};

use guest_abi::{
    console::{CONSOLE_QUEUES, ConsoleQueue},
    device::DeviceDescriptor,
};

use super::{BufferArea, BufferPool, Virtqueue};
use crate::{
    errno::{Errno, Result},
    kernel::{Completion, Driver},
    platform::PlatformRef,
};

/// Size of a console buffer in bytes.
const SLOT_SIZE: usize = 16 << 10;

/// Whoever can follow the link to a stream in /proc/PID/fd may open it, whatever user the container
/// runs as.
const STREAM_PERMISSIONS: u16 = 0o666;

/// Buffers of an output stream; together what a pipe holds by default (pipe(7)).
const OUTPUT_SLOTS: usize = 4;

/// One stream's way to the host.
struct Line {
    queue: Arc<Virtqueue>,
    pool: Arc<BufferPool>,
}

/// The queues and buffers of one console. One process after the other may have it.
pub struct ConsoleLines {
    input: Line,
    output: Line,
    error: Line,
}

/// The three standard streams of one process.
pub struct Console {
    input: Arc<ConsoleInput>,
    output: Arc<ConsoleOutput>,
    error: Arc<ConsoleOutput>,
    released: Arc<Completion>,
}

/// What the output streams of a console share: its drop tells that nobody has either any more. What
/// the host has not taken yet keeps them too.
struct Hold(Arc<Completion>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.complete();
    }
}

impl ConsoleLines {
    /// Drives all consoles of `device`, which has index `index` in the device table. Its window
    /// must have room for at least three buffers of 16 KiB for each; at most nine are used.
    ///
    /// # Errors
    /// EINVAL or ENXIO if the descriptor is not valid, ENOMEM if the window is too small.
    pub fn all(platform: &PlatformRef, index: u16, device: &DeviceDescriptor) -> Result<Vec<Self>> {
        let count = device.queues.len() / CONSOLE_QUEUES;
        let mut area = BufferArea::of(device)?;
        let share = usize::try_from(area.remaining()).unwrap_or(usize::MAX);
        let slots = share.checked_div(count * SLOT_SIZE).ok_or(Errno::EINVAL)?;
        let output_slots = (slots.saturating_sub(1) / 2).clamp(1, OUTPUT_SLOTS);
        let mut line = |console: usize, queue: ConsoleQueue, slots: usize| {
            let first = u16::try_from(console * CONSOLE_QUEUES).map_err(|_| Errno::EINVAL)?;
            Ok(Line {
                queue: Virtqueue::new(platform, index, device, first + queue as u16)?,
                pool: area.cut(platform, SLOT_SIZE, slots)?,
            })
        };
        (0..count)
            .map(|console| {
                Ok(Self {
                    input: line(console, ConsoleQueue::Input, 1)?,
                    output: line(console, ConsoleQueue::Output, output_slots)?,
                    error: line(console, ConsoleQueue::Error, output_slots)?,
                })
            })
            .collect()
    }

    /// Streams over these lines, for a process that is the only one to use them.
    pub fn open(&self) -> Arc<Console> {
        for line in [&self.input, &self.output, &self.error] {
            // What the last user left with the host is back by now.
            line.queue.poll();
        }
        let released = Arc::new(Completion::default());
        let hold = Arc::new(Hold(released.clone()));
        let output =
            |line: &Line| ConsoleOutput::new(line.queue.clone(), line.pool.clone(), hold.clone());
        Arc::new(Console {
            input: ConsoleInput::new(self.input.queue.clone(), self.input.pool.clone()),
            output: output(&self.output),
            error: output(&self.error),
            released,
        })
    }
}

impl Console {
    /// The streams of `device`, a single console.
    ///
    /// # Errors
    /// As [`ConsoleLines::all`].
    pub fn new(platform: &PlatformRef, index: u16, device: &DeviceDescriptor) -> Result<Arc<Self>> {
        let consoles = ConsoleLines::all(platform, index, device)?;
        consoles.first().map(ConsoleLines::open).ok_or(Errno::EINVAL)
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

    /// Complete when nobody has the output streams any more, this included.
    pub const fn released(&self) -> &Arc<Completion> {
        &self.released
    }

    /// Waits until the host has all output. To be awaited before the host is told of the exit.
    pub async fn flush(&self) {
        self.output.flush().await;
        self.error.flush().await;
    }

    /// Cuts the streams off from the host, whoever still has them open.
    pub fn close(&self) {
        self.input.close();
        self.output.close();
        self.error.close();
    }
}

impl Driver for ConsoleLines {
    fn poll(&self) {
        for line in [&self.input, &self.output, &self.error] {
            line.queue.poll();
        }
    }
}

impl Driver for Console {
    fn poll(&self) {
        self.input.queue().poll();
        self.output.queue().poll();
        self.error.queue().poll();
    }
}
