//! Standard output and error: from a queue to the host.

use guest_abi::console::OUTPUT_CLOSED;
use rustix::io::Errno;

use super::{
    host_stream::HostStream,
    stream::{PIECE_BYTES, PIECES_PER_WAKE_UP, Progress, Pump},
};
use crate::virtqueue::{Chain, DeviceQueue, Doorbell, QueueError};

/// An output stream of the container.
#[derive(Debug)]
pub struct Output {
    queue: DeviceQueue,
    host: HostStream,
    current: Option<Delivery>,
    piece: Vec<u8>,
}

/// A buffer on its way.
#[derive(Debug)]
struct Delivery {
    chain: Chain,
    written: usize,
}

/// What became of one piece.
enum Step {
    Moved,
    QueueEmpty,
    HostBusy,
}

impl Output {
    /// The stream from `queue` to `host`.
    pub const fn new(queue: DeviceQueue, host: HostStream) -> Self {
        Self { queue, host, current: None, piece: Vec::new() }
    }

    /// Whether everything that the sentry posted is delivered.
    ///
    /// # Errors
    /// If the queue is broken.
    pub fn is_delivered(&self) -> Result<bool, QueueError> {
        Ok(self.current.is_none() && !self.queue.has_available()?)
    }

    /// The queue, for another stream. What is not delivered yet is dropped.
    ///
    /// # Errors
    /// If the queue is broken.
    pub fn into_queue(mut self) -> Result<DeviceQueue, QueueError> {
        if let Some(delivery) = self.current.take() {
            self.queue.complete(delivery.chain.head(), OUTPUT_CLOSED)?;
        }
        while let Some(chain) = self.queue.pop()? {
            self.queue.complete(chain.head(), OUTPUT_CLOSED)?;
        }
        Ok(self.queue)
    }

    fn step(&mut self) -> Result<Step, QueueError> {
        let delivery = match self.current.take() {
            Some(delivery) => delivery,
            None => match self.queue.pop()? {
                Some(chain) => Delivery { chain, written: 0 },
                None => return Ok(Step::QueueEmpty),
            },
        };
        let length = (delivery.chain.readable.len() - delivery.written).min(PIECE_BYTES);
        if length == 0 {
            self.queue.complete(delivery.chain.head(), 0)?;
            return Ok(Step::Moved);
        }
        self.piece.resize(length, 0);
        if delivery.chain.readable.read(delivery.written, &mut self.piece).is_err() {
            self.queue.complete(delivery.chain.head(), 0)?;
            return Ok(Step::Moved);
        }
        self.deliver(delivery)
    }

    /// Writes the piece of `delivery` to the host, and keeps the rest for later.
    fn deliver(&mut self, delivery: Delivery) -> Result<Step, QueueError> {
        match self.host.write(&self.piece) {
            Ok(count) => {
                let written = delivery.written.saturating_add(count);
                self.current = Some(Delivery { written, ..delivery });
                Ok(Step::Moved)
            }
            Err(Errno::INTR) => {
                self.current = Some(delivery);
                Ok(Step::Moved)
            }
            Err(Errno::AGAIN) => {
                self.current = Some(delivery);
                Ok(Step::HostBusy)
            }
            // EPIPE; a terminal that hung up (EIO) or a full disk (ENOSPC) take no more either.
            Err(_) => {
                self.queue.complete(delivery.chain.head(), OUTPUT_CLOSED)?;
                Ok(Step::Moved)
            }
        }
    }
}

impl Pump for Output {
    fn pump(&mut self) -> Result<Progress, QueueError> {
        for _ in 0..PIECES_PER_WAKE_UP {
            match self.step()? {
                Step::Moved => {}
                Step::QueueEmpty => return Ok(Progress::QueueEmpty),
                Step::HostBusy => return Ok(Progress::HostBusy),
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
    use std::os::fd::{AsFd, OwnedFd};

    use guest_abi::device::DeviceKind;
    use rustix::pipe::pipe;

    use super::*;
    use crate::{devices::host_stream::Direction, virtqueue::driver::Driver};

    fn output() -> (Driver, Output, OwnedFd) {
        let (read_end, write_end) = pipe().unwrap();
        let (driver, queue) = Driver::connect(DeviceKind::Console, 1 << 20);
        let host = HostStream::open(write_end.as_fd(), Direction::Output).unwrap();
        (driver, Output::new(queue, host), read_end)
    }

    fn read(from: &OwnedFd) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 20];
        let count = rustix::io::read(from, &mut buffer).unwrap();
        buffer.truncate(count);
        buffer
    }

    #[test]
    fn delivers_scattered_buffers_in_order() {
        let (mut driver, mut output, host) = output();
        driver.post(b"hello, world", 5, 0);
        assert_eq!(output.pump().unwrap(), Progress::QueueEmpty);
        assert_eq!(read(&host), b"hello, world");
        assert_eq!(driver.used_index(), 1);
        assert!(output.is_delivered().unwrap());
    }

    #[test]
    fn a_slow_reader_holds_the_buffer_back() {
        let (mut driver, mut output, host) = output();
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(200_000).collect();
        driver.post(&bytes, 65_536, 0);
        assert_eq!(output.pump().unwrap(), Progress::HostBusy);
        assert_eq!(driver.used_index(), 0);
        assert!(!output.is_delivered().unwrap());
        let mut received = Vec::new();
        while driver.used_index() == 0 {
            received.extend(read(&host));
            output.pump().unwrap();
        }
        while received.len() < bytes.len() {
            received.extend(read(&host));
        }
        assert_eq!(received, bytes);
    }

    #[test]
    fn a_closed_reader_is_told() {
        let (mut driver, mut output, host) = output();
        drop(host);
        driver.post(b"nobody listens", 64, 0);
        assert_eq!(output.pump().unwrap(), Progress::QueueEmpty);
        assert_eq!(driver.used_index(), 1);
        assert_eq!(driver.used_length(), OUTPUT_CLOSED);
    }

    #[test]
    fn a_broken_queue_is_an_error() {
        let (mut driver, mut output, _host) = output();
        driver.make_available(9999);
        assert!(output.pump().is_err());
    }
}
