//! eventfd(2): a counter to wait on.

use alloc::sync::Arc;

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use super::record::{put_record, take_record};
use crate::{
    errno::Errno,
    io::{Destination, Source, TryError, TryResult},
    kernel::{PollEvents, WaitQueue},
    vfs::{Anonymous, File, WritePosition, Written},
};

/// The largest value the counter reaches by writing.
const MAX: u64 = u64::MAX - 1;

/// The counter.
pub struct EventFd {
    count: SpinMutex<u64>,
    /// A read takes 1, not all (EFD_SEMAPHORE).
    semaphore: bool,
    queue: WaitQueue,
}

impl EventFd {
    /// A counter that starts at `initial`.
    pub fn new(initial: u32, semaphore: bool) -> Arc<Self> {
        let count = SpinMutex::new(u64::from(initial));
        Arc::new(Self { count, semaphore, queue: WaitQueue::new() })
    }

    /// The counter (/proc/PID/fdinfo).
    pub fn count(&self) -> u64 {
        *self.count.lock()
    }

    /// Adds 1 for a kernel event; stays at the largest value.
    pub fn signal(&self) {
        let mut count = self.count.lock();
        *count = count.saturating_add(1);
        drop(count);
        self.queue.wake(PollEvents::IN);
    }
}

#[async_trait]
impl File for EventFd {
    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        if destination.remaining() < 8 {
            return Err(Errno::EINVAL.into());
        }
        let mut count = self.count.lock();
        if *count == 0 {
            return Err(TryError::WouldBlock);
        }
        let value = if self.semaphore { 1 } else { *count };
        put_record(destination, &value.to_ne_bytes())?;
        *count -= value;
        drop(count);
        self.queue.wake(PollEvents::OUT);
        Ok(8)
    }

    fn try_write(&self, _at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        if source.remaining() < 8 {
            return Err(Errno::EINVAL.into());
        }
        let mut count = self.count.lock();
        // Looked at before the bytes are taken, which a retry could not take again.
        if *count == MAX {
            return Err(TryError::WouldBlock);
        }
        let value = u64::from_ne_bytes(take_record(source)?);
        if value == u64::MAX {
            return Err(Errno::EINVAL.into());
        }
        *count = count.checked_add(value).filter(|sum| *sum <= MAX).ok_or(TryError::WouldBlock)?;
        drop(count);
        self.queue.wake(PollEvents::IN);
        Ok(Written { count: 8, end: 0 })
    }

    fn poll(&self) -> PollEvents {
        let count = *self.count.lock();
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN, count > 0);
        events.set(PollEvents::OUT, count < MAX);
        events.set(PollEvents::ERROR, count == u64::MAX);
        events
    }

    fn anonymous(&self) -> Anonymous {
        Anonymous::inode("eventfd")
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::{Bytes, Sink};

    fn read(file: &EventFd) -> TryResult<u64> {
        let mut sink = Sink::new(8);
        file.try_read(0, &mut sink)?;
        Ok(u64::from_ne_bytes(sink.bytes.try_into().unwrap()))
    }

    fn write(file: &EventFd, value: u64) -> TryResult<usize> {
        let written = file.try_write(WritePosition::At(0), &mut Bytes::new(&value.to_ne_bytes()));
        written.map(|written| written.count)
    }

    #[test]
    fn counts_and_resets() {
        let file = EventFd::new(2, false);
        assert_eq!(write(&file, 3), Ok(8));
        assert_eq!(read(&file), Ok(5));
        assert_eq!(read(&file), Err(TryError::WouldBlock));
        assert_eq!(file.poll(), PollEvents::OUT);
    }

    #[test]
    fn semaphore_gives_one_at_a_time() {
        let file = EventFd::new(2, true);
        assert_eq!((read(&file), read(&file)), (Ok(1), Ok(1)));
        assert_eq!(read(&file), Err(TryError::WouldBlock));
    }

    #[test]
    fn does_not_overflow() {
        let file = EventFd::new(0, false);
        assert_eq!(write(&file, u64::MAX), Err(Errno::EINVAL.into()));
        assert_eq!(write(&file, MAX), Ok(8));
        assert_eq!(write(&file, 1), Err(TryError::WouldBlock));
        assert_eq!(file.poll(), PollEvents::IN);
    }
}
