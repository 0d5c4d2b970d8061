//! Buffers inside a device window.
//!
//! A device sees its window and nothing else of the sandbox, so whatever it is to read or write is
//! copied through a buffer here. Slots are handed out last-in first-out: few pages of the window
//! are ever touched, and they stay warm in the cache.

use alloc::{sync::Arc, vec::Vec};
use core::fmt;

use guest_abi::device::DeviceDescriptor;
use spin::mutex::SpinMutex;

use crate::{
    errno::{Errno, Result},
    kernel::{PollEvents, WaitQueue},
    memory::{OutOfRange, PhysicalMemory},
    platform::PlatformRef,
};

/// The part of a window that follows its queues, cut into pools from the front.
#[derive(Clone, Copy, Debug)]
pub struct BufferArea {
    next: u64,
    end: u64,
}

impl BufferArea {
    /// The buffer area of `device`.
    ///
    /// # Errors
    /// EINVAL if the descriptor contradicts itself.
    pub fn of(device: &DeviceDescriptor) -> Result<Self> {
        let end = device.window_base.checked_add(device.window_size);
        let next = device.buffers_base;
        match end {
            Some(end) if (device.window_base..=end).contains(&next) => Ok(Self { next, end }),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Bytes left.
    pub const fn remaining(&self) -> u64 {
        self.end - self.next
    }

    /// Cuts off a pool of at most `count` slots of `slot_size` bytes.
    ///
    /// # Errors
    /// ENOMEM if not even one slot fits.
    pub fn cut(
        &mut self,
        platform: &PlatformRef,
        slot_size: usize,
        count: usize,
    ) -> Result<Arc<BufferPool>> {
        let size = u64::try_from(slot_size).map_err(|_| Errno::EINVAL)?;
        let fitting = self.remaining().checked_div(size).ok_or(Errno::EINVAL)?;
        let count = fitting.min(u64::try_from(count).unwrap_or(u64::MAX));
        if count == 0 {
            return Err(Errno::ENOMEM);
        }
        let base = self.next;
        self.next += count * size;
        // Reversed, so that the first slot is the first to be used.
        let free = (0..count).rev().map(|slot| base + slot * size).collect();
        Ok(Arc::new(BufferPool {
            platform: platform.clone(),
            slot_size,
            free: SpinMutex::new(free),
            released: WaitQueue::new(),
        }))
    }
}

/// Equal slots of a window. The lock is a leaf.
pub struct BufferPool {
    platform: PlatformRef,
    slot_size: usize,
    /// Addresses of the free slots; the last is the next to be used.
    free: SpinMutex<Vec<u64>>,
    released: WaitQueue,
}

impl BufferPool {
    /// Size of a slot in bytes.
    pub const fn slot_size(&self) -> usize {
        self.slot_size
    }

    /// A free slot, if there is one. Its contents are whatever was there before.
    pub fn try_allocate(self: &Arc<Self>) -> Option<Buffer> {
        let address = self.free.lock().pop()?;
        Some(Buffer { pool: self.clone(), address })
    }

    /// A slot, as soon as one is free.
    pub async fn allocate(self: &Arc<Self>) -> Buffer {
        self.released.wait_until(PollEvents::OUT, || self.try_allocate()).await
    }

    /// Number of free slots.
    pub fn free_count(&self) -> usize {
        self.free.lock().len()
    }
}

/// One slot, given back when dropped.
pub struct Buffer {
    pool: Arc<BufferPool>,
    address: u64,
}

impl Buffer {
    /// Physical address of its first byte.
    pub const fn address(&self) -> u64 {
        self.address
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.pool.slot_size
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Errors
    /// EIO if they do not fit.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        let address = self.locate(offset, bytes.len())?;
        self.memory().write(address, bytes).map_err(io_error)
    }

    /// Copies bytes from `offset` out. The device may change them at any time: copy once, then
    /// judge the copy.
    ///
    /// # Errors
    /// EIO if the buffer is shorter.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let address = self.locate(offset, bytes.len())?;
        self.memory().read(address, bytes).map_err(io_error)
    }

    /// Copies `length` bytes from `offset` to physical memory at `target`.
    ///
    /// # Errors
    /// EIO if the buffer is shorter, or `target` lies outside physical memory.
    pub fn copy_to(&self, offset: usize, target: u64, length: usize) -> Result<()> {
        let address = self.locate(offset, length)?;
        self.memory().copy(address, target, length).map_err(io_error)
    }

    /// Copies `length` bytes from physical memory at `source` to `offset`.
    ///
    /// # Errors
    /// As [`Self::copy_to`].
    pub fn copy_from(&self, offset: usize, source: u64, length: usize) -> Result<()> {
        let address = self.locate(offset, length)?;
        self.memory().copy(source, address, length).map_err(io_error)
    }

    /// Physical address of `length` bytes from `offset`.
    ///
    /// # Errors
    /// EIO if they leave the buffer.
    pub fn locate(&self, offset: usize, length: usize) -> Result<u64> {
        if offset > self.size() || length > self.size() - offset {
            return Err(Errno::EIO);
        }
        let offset = u64::try_from(offset).map_err(|_| Errno::EIO)?;
        Ok(self.address + offset)
    }

    fn memory(&self) -> &PhysicalMemory {
        self.pool.platform.memory()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({:#x})", self.address)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.free.lock().push(self.address);
        self.pool.released.wake(PollEvents::OUT);
    }
}

fn io_error(_: OutOfRange) -> Errno {
    Errno::EIO
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::testing::TestMachine;

    #[test]
    fn slots_come_back_last_in_first_out() {
        let machine = TestMachine::new(1 << 16);
        let mut area = BufferArea::of(&machine.device).unwrap();
        let pool = area.cut(&machine.platform(), 1024, 4).unwrap();
        let first = pool.try_allocate().unwrap();
        let second = pool.try_allocate().unwrap();
        let address = first.address();
        drop(first);
        assert_eq!(pool.try_allocate().unwrap().address(), address);
        assert_ne!(second.address(), address);
        assert_eq!(pool.free_count(), 3);
    }

    #[test]
    fn access_stays_inside_the_slot() {
        let machine = TestMachine::new(1 << 16);
        let mut area = BufferArea::of(&machine.device).unwrap();
        let pool = area.cut(&machine.platform(), 1024, 4).unwrap();
        let buffer = pool.try_allocate().unwrap();
        assert_eq!(buffer.write(1020, b"four"), Ok(()));
        assert_eq!(buffer.write(1021, b"four"), Err(Errno::EIO));
        assert_eq!(buffer.read(usize::MAX, &mut [0; 2]), Err(Errno::EIO));
    }

    #[test]
    fn an_area_too_small_is_an_error() {
        let machine = TestMachine::new(1 << 16);
        let mut area = BufferArea::of(&machine.device).unwrap();
        assert!(area.cut(&machine.platform(), 1 << 20, 1).is_err());
        assert!(area.cut(&machine.platform(), 0, 1).is_err());
    }
}
