//! Descriptor chains.

use guest_abi::virtqueue::MAX_QUEUE_SIZE;
use virtio_queue::DescriptorChain;
use vm_memory::GuestMemoryMmap;

use super::{Buffers, Window};

/// One request of the driver: buffers to read, then buffers to write.
#[derive(Debug)]
pub struct Chain {
    head: u16,
    /// What the driver wrote for the device.
    pub readable: Buffers,
    /// Where the driver expects the answer.
    pub writable: Buffers,
}

/// A chain that breaks the rules of Virtual I/O Device 1.3, section 2.7.4: a buffer outside the
/// window, a device-readable buffer behind a device-writable one, or more buffers than the queue
/// has descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadChain;

impl Chain {
    /// Reads the descriptors of `chain`, once.
    pub(super) fn read(
        window: &Window,
        chain: DescriptorChain<&GuestMemoryMmap>,
    ) -> Result<Self, BadChain> {
        let head = chain.head_index();
        let mut readable = Buffers::new(window.clone());
        let mut writable = Buffers::new(window.clone());
        for (count, descriptor) in chain.enumerate() {
            let misplaced = !descriptor.is_write_only() && !writable.is_empty();
            if misplaced || count >= usize::from(MAX_QUEUE_SIZE) {
                return Err(BadChain);
            }
            let buffers = if descriptor.is_write_only() { &mut writable } else { &mut readable };
            buffers.push(descriptor.addr(), descriptor.len()).map_err(|_| BadChain)?;
        }
        Ok(Self { head, readable, writable })
    }

    /// Index of the head descriptor, which names the chain in the rings.
    pub const fn head(&self) -> u16 {
        self.head
    }
}
