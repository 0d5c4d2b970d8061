//! Doorbells: eventfds by which driver and device wake each other.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{Errno, read, retry_on_intr, write},
};

/// One direction of notification of one queue (eventfd(2), non-blocking). Its clones share one
/// descriptor: the consoles of a sandbox have one doorbell, and hundreds of queues.
#[derive(Clone, Debug)]
pub struct Doorbell(Arc<OwnedFd>);

impl Doorbell {
    /// Makes a silent doorbell.
    ///
    /// # Errors
    /// Those of eventfd(2).
    pub fn new() -> Result<Self, Errno> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Self::from)
    }

    /// Rings it. Ringing several times before the other side looks is the same as once.
    pub fn ring(&self) {
        // EAGAIN means that the counter is full: it rings already.
        let _ = retry_on_intr(|| write(&self.0, &1_u64.to_ne_bytes()));
    }

    /// Silences it and tells whether it rang.
    pub fn clear(&self) -> bool {
        retry_on_intr(|| read(&self.0, &mut [0_u8; 8])).is_ok()
    }

    /// Sleeps until it rings, then silences it.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self) -> Result<(), Errno> {
        let mut polled = [PollFd::new(&*self.0, PollFlags::IN)];
        retry_on_intr(|| poll(&mut polled, None::<&Timespec>))?;
        self.clear();
        Ok(())
    }
}

impl From<OwnedFd> for Doorbell {
    /// Takes over an eventfd received from another process. It should be non-blocking.
    fn from(descriptor: OwnedFd) -> Self {
        Self(Arc::new(descriptor))
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_once_however_often_it_is_rung() {
        let doorbell = Doorbell::new().unwrap();
        assert!(!doorbell.clear());
        doorbell.ring();
        doorbell.clone().ring();
        doorbell.wait().unwrap();
        assert!(!doorbell.clear());
    }
}
