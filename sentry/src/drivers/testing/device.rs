//! The device side of a virtqueue, for tests. It can also misbehave.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU16, Ordering};

use guest_abi::virtqueue::{
    DESCRIPTOR_BYTES, Descriptor, DescriptorFlags, QueueLayout, USED_NO_NOTIFY,
};
use zerocopy::FromBytes;

use crate::platform::PlatformRef;

/// The device side of one queue.
pub(crate) struct DeviceQueue {
    platform: PlatformRef,
    layout: QueueLayout,
    taken: AtomicU16,
}

/// A chain as the device sees it.
#[derive(Debug)]
pub(crate) struct DeviceChain {
    /// Head descriptor.
    pub(crate) head: u16,
    /// All readable bytes.
    pub(crate) readable: Vec<u8>,
    /// Address and length of each writable buffer.
    writable: Vec<(u64, usize)>,
}

impl DeviceQueue {
    pub(super) fn new(platform: PlatformRef, layout: QueueLayout) -> Self {
        Self { platform, layout, taken: AtomicU16::new(0) }
    }

    /// The next available chain.
    pub(crate) fn pop(&self) -> Option<DeviceChain> {
        let memory = self.platform.memory();
        let ring = self.layout.available_ring;
        let taken = self.taken.load(Ordering::Relaxed);
        let available = memory.atomic_u16(ring + 2).unwrap();
        if available.load(Ordering::Acquire) == taken {
            return None;
        }
        let entry = ring + 4 + 2 * u64::from(taken % self.layout.size);
        let head = memory.atomic_u16(entry).unwrap().load(Ordering::Relaxed);
        self.taken.store(taken.wrapping_add(1), Ordering::Relaxed);
        Some(self.read_chain(head))
    }

    fn read_chain(&self, head: u16) -> DeviceChain {
        let (mut readable, mut writable, mut index) = (Vec::new(), Vec::new(), head);
        loop {
            let descriptor = self.read_descriptor(index);
            let flags = DescriptorFlags::from_bits_truncate(descriptor.flags);
            let length = usize::try_from(descriptor.length).unwrap();
            if flags.contains(DescriptorFlags::WRITE) {
                writable.push((descriptor.address, length));
            } else {
                assert!(writable.is_empty(), "readable after writable");
                let mut bytes = vec![0; length];
                let memory = self.platform.memory();
                memory.read(descriptor.address, &mut bytes).unwrap();
                readable.extend(bytes);
            }
            if !flags.contains(DescriptorFlags::NEXT) {
                return DeviceChain { head, readable, writable };
            }
            index = descriptor.next;
        }
    }

    fn read_descriptor(&self, index: u16) -> Descriptor {
        let mut bytes = [0; 16];
        let address = self.layout.descriptor_table + DESCRIPTOR_BYTES * u64::from(index);
        self.platform.memory().read(address, &mut bytes).unwrap();
        Descriptor::read_from_bytes(&bytes).unwrap()
    }

    /// Writes `bytes` into `chain` and returns it; what does not fit is cut off.
    pub(crate) fn answer(&self, chain: &DeviceChain, bytes: &[u8]) {
        let mut rest = bytes;
        for &(address, length) in &chain.writable {
            let (now, later) = rest.split_at(rest.len().min(length));
            self.platform.memory().write(address, now).unwrap();
            rest = later;
        }
        let written = bytes.len() - rest.len();
        self.push_used(chain.head.into(), u32::try_from(written).unwrap());
    }

    /// Appends any element to the used ring.
    pub(crate) fn push_used(&self, id: u32, length: u32) {
        let memory = self.platform.memory();
        let index = memory.atomic_u16(self.layout.used_ring + 2).unwrap();
        let used = index.load(Ordering::Relaxed);
        let entry = self.layout.used_ring + 4 + 8 * u64::from(used % self.layout.size);
        memory.atomic_u32(entry).unwrap().store(id, Ordering::Relaxed);
        memory.atomic_u32(entry + 4).unwrap().store(length, Ordering::Relaxed);
        index.store(used.wrapping_add(1), Ordering::Release);
    }

    /// Moves the used index without writing elements.
    pub(crate) fn set_used_index(&self, value: u16) {
        let memory = self.platform.memory();
        let index = memory.atomic_u16(self.layout.used_ring + 2).unwrap();
        index.store(value, Ordering::Release);
    }

    /// Says whether the driver may spare its kicks.
    pub(crate) fn suppress_kicks(&self, suppress: bool) {
        let flags = if suppress { USED_NO_NOTIFY } else { 0 };
        let memory = self.platform.memory();
        let word = memory.atomic_u16(self.layout.used_ring).unwrap();
        word.store(flags, Ordering::Release);
    }
}

impl DeviceChain {
    /// Bytes the driver left room for.
    pub(crate) fn room(&self) -> usize {
        self.writable.iter().map(|(_, length)| length).sum()
    }
}
