//! A small driver, so that tests can drive a back end through its queue within one process.

use std::{fs::File, os::fd::OwnedFd};

use guest_abi::{
    device::{DeviceDescriptor, DeviceKind},
    virtqueue::{DescriptorFlags, QueueLayout},
};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vm_memory::{Bytes, GuestAddress};

use super::{DeviceQueue, Doorbell, Window};

/// One chain at a time: a driver that posts a request and looks for its answer.
pub struct Driver {
    window: Window,
    queue: QueueLayout,
    buffers: u64,
    posted: u16,
    /// The doorbell of the device.
    pub kick: Doorbell,
    /// The doorbell of this driver.
    pub call: Doorbell,
}

/// A fresh window of `size` bytes with a device of `kind`: the driver and its memfd.
pub fn device(kind: DeviceKind, size: u64) -> (DeviceDescriptor, OwnedFd) {
    let descriptor = DeviceDescriptor::layout(kind, 0, 64, size);
    let memfd = memfd_create("window", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memfd, size).unwrap();
    (descriptor, memfd)
}

impl Driver {
    /// A driver and the device's end of its first queue.
    pub fn connect(kind: DeviceKind, size: u64) -> (Self, DeviceQueue) {
        let (descriptor, memfd) = device(kind, size);
        let driver = Self::new(&descriptor, memfd);
        let (kick, call) = (driver.kick.clone(), driver.call.clone());
        let queue = DeviceQueue::new(driver.window.clone(), &driver.queue, kick, call).unwrap();
        (driver, queue)
    }

    /// A driver of the first queue of `device`, whose window is `memfd`.
    pub fn new(device: &DeviceDescriptor, memfd: impl Into<File>) -> Self {
        let window = Window::map(OwnedFd::from(memfd.into()), device).unwrap();
        Self {
            window,
            queue: device.queues[0],
            buffers: device.buffers_base,
            posted: 0,
            kick: Doorbell::new().unwrap(),
            call: Doorbell::new().unwrap(),
        }
    }

    /// Posts `request` in pieces of `piece` bytes and room for `reply_room` bytes of answer.
    pub fn post(&mut self, request: &[u8], piece: usize, reply_room: usize) {
        let mut index = 0;
        let mut address = self.buffers;
        let readable = request.chunks(piece).map(|part| (Some(part), part.len()));
        let room = std::iter::repeat_n(piece, reply_room / piece).chain([reply_room % piece]);
        let writable = room.filter(|&length| length > 0).map(|length| (None, length));
        let mut parts = readable.chain(writable).peekable();
        while let Some((data, length)) = parts.next() {
            if let Some(data) = data {
                self.window.memory.write_slice(data, GuestAddress(address)).unwrap();
            }
            let mut flags = DescriptorFlags::empty();
            flags.set(DescriptorFlags::NEXT, parts.peek().is_some());
            flags.set(DescriptorFlags::WRITE, data.is_none());
            self.describe(index, address, length.try_into().unwrap(), flags);
            index += 1;
            address += u64::try_from(length).unwrap();
        }
        self.make_available(0);
    }

    /// Writes descriptor `index`; its successor is the next one.
    pub fn describe(&self, index: u16, address: u64, length: u32, flags: DescriptorFlags) {
        let at = GuestAddress(self.queue.descriptor_table + 16 * u64::from(index));
        let memory = &self.window.memory;
        memory.write_obj(address, at).unwrap();
        memory.write_obj(length, GuestAddress(at.0 + 8)).unwrap();
        memory.write_obj(flags.bits(), GuestAddress(at.0 + 12)).unwrap();
        memory.write_obj(index + 1, GuestAddress(at.0 + 14)).unwrap();
    }

    /// Makes the chain at `head` available.
    pub fn make_available(&mut self, head: u16) {
        let memory = &self.window.memory;
        let slot = u64::from(self.posted % self.queue.size);
        memory.write_obj(head, GuestAddress(self.queue.available_ring + 4 + 2 * slot)).unwrap();
        self.posted = self.posted.wrapping_add(1);
        let index = GuestAddress(self.queue.available_ring + 2);
        memory.store(self.posted, index, std::sync::atomic::Ordering::Release).unwrap();
    }

    /// Index of the used ring.
    pub fn used_index(&self) -> u16 {
        let index = GuestAddress(self.queue.used_ring + 2);
        self.window.memory.load(index, std::sync::atomic::Ordering::Acquire).unwrap()
    }

    /// What was written by the device in answer to the last `post` of a request of `request_length`
    /// bytes.
    pub fn answer(&self, request_length: usize) -> Vec<u8> {
        let mut answer = vec![0; self.used_length().try_into().unwrap()];
        let start = self.buffers + u64::try_from(request_length).unwrap();
        self.window.memory.read_slice(&mut answer, GuestAddress(start)).unwrap();
        answer
    }

    /// Used length of the chain that was returned last.
    pub fn used_length(&self) -> u32 {
        let slot = u64::from(self.used_index().wrapping_sub(1) % self.queue.size);
        let element = GuestAddress(self.queue.used_ring + 4 + 8 * slot);
        self.window.memory.read_obj(GuestAddress(element.0 + 4)).unwrap()
    }

    /// Sets the flags of the available ring.
    pub fn set_available_flags(&self, flags: u16) {
        let address = GuestAddress(self.queue.available_ring);
        self.window.memory.write_obj(flags, address).unwrap();
    }

    /// Address of the buffer area.
    pub const fn buffers(&self) -> u64 {
        self.buffers
    }
}
