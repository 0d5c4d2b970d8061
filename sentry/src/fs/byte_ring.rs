//! A bounded queue of bytes that takes memory only as it fills: what is inside a pipe, a stream
//! socket and a terminal.

use alloc::vec::Vec;

use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryResult},
};

/// Size of the first allocation, in bytes.
const SMALLEST: usize = 4096;

/// The queue.
pub struct ByteRing {
    buffer: Vec<u8>,
    /// Index of the oldest byte.
    head: usize,
    length: usize,
    capacity: usize,
}

impl ByteRing {
    /// An empty ring for up to `capacity` bytes.
    pub const fn new(capacity: usize) -> Self {
        Self { buffer: Vec::new(), head: 0, length: 0, capacity }
    }

    /// Bytes it holds.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes it may hold.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes it still takes.
    pub const fn free(&self) -> usize {
        self.capacity.saturating_sub(self.length)
    }

    /// Changes how many bytes it may hold.
    ///
    /// # Errors
    /// EBUSY if it holds more now.
    pub fn set_capacity(&mut self, capacity: usize) -> Result<()> {
        if capacity < self.length {
            return Err(Errno::EBUSY);
        }
        self.capacity = capacity;
        if self.buffer.len() > capacity {
            self.resize(capacity)?;
        }
        Ok(())
    }

    /// Moves up to `limit` bytes in from `source`, as far as there is room; returns how many.
    ///
    /// # Errors
    /// ENOMEM, or the source's error if it gave none.
    pub fn fill_from(&mut self, source: &mut dyn Source, limit: usize) -> TryResult<usize> {
        let wanted = limit.min(source.remaining()).min(self.free());
        self.grow_for(wanted)?;
        let mut moved = 0;
        while moved < wanted {
            let (start, room) = self.free_run();
            let run = room.min(wanted - moved);
            let Some(target) = self.buffer.get_mut(start..start + run) else {
                break;
            };
            match source.take(target) {
                Ok(0) => break,
                Ok(count) => {
                    self.length += count;
                    moved += count;
                }
                Err(error) if moved == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(moved)
    }

    /// Moves up to `limit` bytes out to `destination`; returns how many.
    ///
    /// # Errors
    /// The destination's error if it took none.
    pub fn drain_into(
        &mut self,
        destination: &mut dyn Destination,
        limit: usize,
    ) -> TryResult<usize> {
        let moved = self.copy_to(destination, limit)?;
        self.discard(moved);
        Ok(moved)
    }

    /// Copies up to `limit` of the oldest bytes to `destination` and keeps them.
    ///
    /// # Errors
    /// The destination's error if it took none.
    pub fn copy_to(&self, destination: &mut dyn Destination, limit: usize) -> TryResult<usize> {
        let (front, back) = self.slices();
        let mut moved = 0;
        for slice in [front, back] {
            let slice = &slice[..slice.len().min(limit - moved)];
            if slice.is_empty() {
                break;
            }
            match destination.put(slice) {
                Ok(count) => {
                    moved += count;
                    if count < slice.len() {
                        break;
                    }
                }
                Err(error) if moved == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(moved)
    }

    /// Drops up to `count` of the oldest bytes.
    pub fn discard(&mut self, count: usize) {
        let count = count.min(self.length);
        self.length -= count;
        self.head = if self.length == 0 { 0 } else { (self.head + count) % self.buffer.len() };
    }

    /// Adds one byte; false if there is no room.
    pub fn push(&mut self, byte: u8) -> bool {
        if self.free() == 0 || self.grow_for(1).is_err() {
            return false;
        }
        let (start, _) = self.free_run();
        if let Some(slot) = self.buffer.get_mut(start) {
            *slot = byte;
            self.length += 1;
        }
        true
    }

    /// The bytes, oldest first, in two runs.
    pub fn slices(&self) -> (&[u8], &[u8]) {
        let end = self.head + self.length;
        let size = self.buffer.len();
        if end <= size {
            (&self.buffer[self.head..end], &[])
        } else {
            (&self.buffer[self.head..], &self.buffer[..end - size])
        }
    }

    /// Start and length of the first run of unused buffer.
    fn free_run(&self) -> (usize, usize) {
        let size = self.buffer.len();
        let end = self.head + self.length;
        if end < size { (end, size - end) } else { (end - size, self.head + size - end) }
    }

    fn grow_for(&mut self, more: usize) -> Result<()> {
        let needed = self.length + more;
        if needed <= self.buffer.len() {
            return Ok(());
        }
        let size = needed.next_power_of_two().max(SMALLEST).min(self.capacity);
        self.resize(size)
    }

    /// Moves the bytes to a buffer of `size` bytes, at least the number it holds.
    fn resize(&mut self, size: usize) -> Result<()> {
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
        let (front, back) = self.slices();
        buffer.extend_from_slice(front);
        buffer.extend_from_slice(back);
        buffer.resize(size, 0);
        self.buffer = buffer;
        self.head = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::fs::testing::{Bytes, Sink};

    proptest! {
        #[test]
        fn behaves_like_a_queue(steps in prop::collection::vec((any::<bool>(), 0_usize..9000), 1..60)) {
            let mut ring = ByteRing::new(10_000);
            let mut model = VecDeque::new();
            let mut next = 0_u8;
            for (write, count) in steps {
                if write {
                    let bytes: Vec<u8> = (0..count).map(|_| { next = next.wrapping_add(1); next }).collect();
                    let taken = ring.fill_from(&mut Bytes::new(&bytes), usize::MAX).unwrap();
                    prop_assert_eq!(taken, count.min(10_000 - model.len()));
                    model.extend(&bytes[..taken]);
                } else {
                    let mut sink = Sink::new(count);
                    let given = ring.drain_into(&mut sink, usize::MAX).unwrap();
                    let expected: Vec<u8> = model.drain(..count.min(model.len())).collect();
                    prop_assert_eq!(given, expected.len());
                    prop_assert_eq!(sink.bytes, expected);
                }
                prop_assert_eq!(ring.len(), model.len());
            }
        }
    }

    #[test]
    fn capacity_does_not_shrink_below_the_contents() {
        let mut ring = ByteRing::new(8192);
        assert_eq!(ring.fill_from(&mut Bytes::new(&[1; 6000]), usize::MAX), Ok(6000));
        assert_eq!(ring.set_capacity(4096), Err(Errno::EBUSY));
        ring.discard(3000);
        assert_eq!(ring.set_capacity(4096), Ok(()));
        assert_eq!((ring.len(), ring.free()), (3000, 1096));
    }
}
