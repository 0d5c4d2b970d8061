//! One queue, from the device's side.

use std::sync::atomic::{Ordering, fence};

use guest_abi::virtqueue::{AVAILABLE_NO_INTERRUPT, MAX_QUEUE_SIZE, QueueLayout};
use rustix::io::Errno;
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::{Chain, Doorbell, Window};

/// The queue cannot be served any further.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The VMM's device table is wrong.
    #[error("the device table describes an impossible queue")]
    BadLayout,
    /// The driver broke the ring: an index or a head that cannot be.
    #[error("the driver broke its queue: {0}")]
    Broken(#[from] virtio_queue::Error),
    /// The doorbell cannot be waited for.
    #[error("cannot wait for kicks: {0}")]
    Wait(#[from] Errno),
}

/// A queue that a back end serves.
#[derive(Debug)]
pub struct DeviceQueue {
    queue: Queue,
    window: Window,
    kick: Doorbell,
    call: Doorbell,
}

impl DeviceQueue {
    /// The queue at `layout` in `window`. The driver rings `kick`, the device `call`.
    ///
    /// # Errors
    /// [`QueueError::BadLayout`] if it does not lie in the window.
    pub fn new(
        window: Window,
        layout: &QueueLayout,
        kick: Doorbell,
        call: Doorbell,
    ) -> Result<Self, QueueError> {
        let mut queue = Queue::new(MAX_QUEUE_SIZE).map_err(|_| QueueError::BadLayout)?;
        queue
            .try_set_size(layout.size)
            .and_then(|()| queue.try_set_desc_table_address(GuestAddress(layout.descriptor_table)))
            .and_then(|()| queue.try_set_avail_ring_address(GuestAddress(layout.available_ring)))
            .and_then(|()| queue.try_set_used_ring_address(GuestAddress(layout.used_ring)))
            .map_err(|_| QueueError::BadLayout)?;
        queue.set_ready(true);
        if !queue.is_valid(&*window.memory) {
            return Err(QueueError::BadLayout);
        }
        Ok(Self { queue, window, kick, call })
    }

    /// The doorbell that the driver rings.
    pub const fn kick(&self) -> &Doorbell {
        &self.kick
    }

    /// Takes the next chain, if there is one. A chain that breaks the rules is returned to the
    /// driver at once, with used length 0.
    ///
    /// # Errors
    /// [`QueueError::Broken`] if the ring itself is not sound.
    pub fn pop(&mut self) -> Result<Option<Chain>, QueueError> {
        loop {
            let Some(chain) = self.queue.iter(&*self.window.memory)?.next() else {
                return Ok(None);
            };
            let head = chain.head_index();
            match Chain::read(&self.window, chain) {
                Ok(chain) => return Ok(Some(chain)),
                Err(_) => self.complete(head, 0)?,
            }
        }
    }

    /// Returns the chain with this head to the driver, `written` bytes into its device-writable
    /// part, and calls the driver if it wants that.
    ///
    /// # Errors
    /// [`QueueError::Broken`] if there is no such head.
    pub fn complete(&mut self, head: u16, written: u32) -> Result<(), QueueError> {
        self.queue.add_used(&*self.window.memory, head, written)?;
        if self.driver_wants_call()? {
            self.call.ring();
        }
        Ok(())
    }

    /// Asks the driver not to kick: the device is awake and looks by itself.
    ///
    /// # Errors
    /// [`QueueError::Broken`].
    pub fn disable_kicks(&mut self) -> Result<(), QueueError> {
        Ok(self.queue.disable_notification(&*self.window.memory)?)
    }

    /// Asks the driver to kick, and tells whether chains came before it could know that: then no
    /// kick comes for them.
    ///
    /// # Errors
    /// [`QueueError::Broken`].
    pub fn enable_kicks(&mut self) -> Result<bool, QueueError> {
        Ok(self.queue.enable_notification(&*self.window.memory)?)
    }

    /// Whether a chain is waiting.
    ///
    /// # Errors
    /// [`QueueError::Broken`].
    pub fn has_available(&self) -> Result<bool, QueueError> {
        let index = self.queue.avail_idx(&*self.window.memory, Ordering::Acquire)?;
        Ok(index.0 != self.queue.next_avail())
    }

    /// Whether the driver sleeps. The fence orders this after the used index is visible: either
    /// the driver sees the index before it sleeps, or this sees that it is going to sleep.
    fn driver_wants_call(&self) -> Result<bool, QueueError> {
        fence(Ordering::SeqCst);
        let flags: u16 = self
            .window
            .memory
            .load(GuestAddress(self.queue.avail_ring()), Ordering::Relaxed)
            .map_err(virtio_queue::Error::GuestMemory)?;
        Ok(u16::from_le(flags) & AVAILABLE_NO_INTERRUPT == 0)
    }
}

#[cfg(test)]
mod tests {
    use guest_abi::{device::DeviceKind, virtqueue::DescriptorFlags};

    use super::*;
    use crate::virtqueue::driver::Driver;

    #[test]
    fn scattered_buffers_read_and_write_as_one() {
        let (mut driver, mut device) = Driver::connect(DeviceKind::FileSystem, 1 << 20);
        assert!(device.pop().unwrap().is_none());
        driver.post(b"what is six times nine?", 5, 12);
        let chain = device.pop().unwrap().unwrap();
        let mut question = [0; 13];
        chain.readable.read(10, &mut question).unwrap();
        assert_eq!(&question, b"x times nine?");
        assert_eq!(chain.readable.read(11, &mut question), Err(super::super::OutOfBounds));
        chain.writable.write(2, b"forty-two").unwrap();
        assert!(chain.writable.write(4, b"forty-two").is_err());
        device.complete(chain.head(), 11).unwrap();
        assert_eq!(driver.answer(23), b"\0\0forty-two");
    }

    #[test]
    fn calls_only_a_driver_that_sleeps() {
        let (mut driver, mut device) = Driver::connect(DeviceKind::FileSystem, 1 << 20);
        for (flags, rings) in [(0, true), (AVAILABLE_NO_INTERRUPT, false)] {
            driver.set_available_flags(flags);
            driver.post(b"request", 64, 64);
            let chain = device.pop().unwrap().unwrap();
            device.complete(chain.head(), 0).unwrap();
            assert_eq!(driver.call.clear(), rings);
        }
    }

    #[test]
    fn enabling_kicks_tells_of_chains_that_came_meanwhile() {
        let (mut driver, mut device) = Driver::connect(DeviceKind::FileSystem, 1 << 20);
        device.disable_kicks().unwrap();
        assert!(!device.enable_kicks().unwrap());
        driver.post(b"request", 64, 64);
        assert!(device.enable_kicks().unwrap() && device.has_available().unwrap());
    }

    #[test]
    fn bad_chains_are_returned_unserved() {
        let (mut driver, mut device) = Driver::connect(DeviceKind::FileSystem, 1 << 20);
        let inside = driver.buffers();
        let (next, write) = (DescriptorFlags::NEXT, DescriptorFlags::WRITE);
        // Outside the window.
        driver.describe(0, 0, 64, DescriptorFlags::empty());
        driver.make_available(0);
        // Running out of the window.
        driver.describe(1, inside, u32::MAX, DescriptorFlags::empty());
        driver.make_available(1);
        // Readable behind writable.
        driver.describe(2, inside, 64, next | write);
        driver.describe(3, inside, 64, DescriptorFlags::empty());
        driver.make_available(2);
        assert!(device.pop().unwrap().is_none());
        assert_eq!(driver.used_index(), 3);
        assert_eq!(driver.answer(0), b"");
    }

    #[test]
    fn a_broken_ring_is_an_error() {
        let (mut driver, mut device) = Driver::connect(DeviceKind::FileSystem, 1 << 20);
        driver.make_available(9999);
        let chain = device.pop().unwrap().unwrap();
        assert!(chain.readable.is_empty() && chain.writable.is_empty());
        assert!(device.complete(chain.head(), 0).is_err());
        for _ in 0..200 {
            driver.make_available(0);
        }
        assert!(device.pop().is_err());
    }
}
