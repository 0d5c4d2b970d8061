//! Standard input: from the host to a queue.

use rustix::io::Errno;

use super::{
    host_stream::HostStream,
    stream::{PIECE_BYTES, PIECES_PER_WAKE_UP, Progress, Pump},
};
use crate::virtqueue::{Chain, DeviceQueue, Doorbell, QueueError};

/// The input stream of the container. The host is read only while the sentry has a buffer posted.
#[derive(Debug)]
pub struct Input {
    queue: DeviceQueue,
    host: HostStream,
    current: Option<Chain>,
    piece: Vec<u8>,
}

impl Input {
    /// The stream from `host` to `queue`.
    pub const fn new(queue: DeviceQueue, host: HostStream) -> Self {
        Self { queue, host, current: None, piece: Vec::new() }
    }

    /// The queue, for another stream. A buffer that waited for input goes back empty.
    ///
    /// # Errors
    /// If the queue is broken.
    pub fn into_queue(mut self) -> Result<DeviceQueue, QueueError> {
        if let Some(chain) = self.current.take() {
            self.queue.complete(chain.head(), 0)?;
        }
        while let Some(chain) = self.queue.pop()? {
            self.queue.complete(chain.head(), 0)?;
        }
        Ok(self.queue)
    }

    /// Fills `chain`, or keeps it if there is nothing to fill it with yet.
    fn fill(&mut self, chain: Chain) -> Result<Option<Progress>, QueueError> {
        self.piece.resize(chain.writable.len().min(PIECE_BYTES), 0);
        let count = match self.host.read(&mut self.piece) {
            Ok(count) => count,
            Err(Errno::AGAIN) => {
                self.current = Some(chain);
                return Ok(Some(Progress::HostBusy));
            }
            Err(Errno::INTR) => {
                self.current = Some(chain);
                return Ok(None);
            }
            // A terminal that hung up (EIO), a directory (EISDIR): there is no more to read.
            Err(_) => 0,
        };
        let bytes = self.piece.get(..count).unwrap_or_default();
        let written = chain.writable.write(0, bytes).map_or(0, |()| count);
        self.queue.complete(chain.head(), u32::try_from(written).unwrap_or(0))?;
        Ok(None)
    }
}

impl Pump for Input {
    fn pump(&mut self) -> Result<Progress, QueueError> {
        for _ in 0..PIECES_PER_WAKE_UP {
            let chain = match self.current.take() {
                Some(chain) => chain,
                None => match self.queue.pop()? {
                    Some(chain) => chain,
                    None => return Ok(Progress::QueueEmpty),
                },
            };
            if let Some(progress) = self.fill(chain)? {
                return Ok(progress);
            }
        }
        Ok(Progress::ShareUsed)
    }

    fn kick(&self) -> &Doorbell {
        self.queue.kick()
    }

    fn host(&self) -> &HostStream {
        &self.host
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use guest_abi::device::DeviceKind;
    use rustix::pipe::pipe;

    use super::*;
    use crate::{devices::host_stream::Direction, virtqueue::driver::Driver};

    #[test]
    fn reads_only_when_asked_and_ends_with_length_zero() {
        let (read_end, write_end) = pipe().unwrap();
        let host = HostStream::open(read_end.as_fd(), Direction::Input).unwrap();
        let (mut driver, queue) = Driver::connect(DeviceKind::Console, 1 << 20);
        let mut input = Input::new(queue, host);

        rustix::io::write(&write_end, b"line\n").unwrap();
        assert_eq!(input.pump().unwrap(), Progress::QueueEmpty);
        driver.post(b"", 3, 8);
        assert_eq!(input.pump().unwrap(), Progress::QueueEmpty);
        assert_eq!(driver.answer(0), b"line\n");

        driver.post(b"", 3, 8);
        assert_eq!(input.pump().unwrap(), Progress::HostBusy);
        assert_eq!(driver.used_index(), 1);
        drop(write_end);
        assert_eq!(input.pump().unwrap(), Progress::QueueEmpty);
        assert_eq!(driver.used_index(), 2);
        assert_eq!(driver.answer(0), b"");
    }
}
