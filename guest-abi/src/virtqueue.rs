//! Layout of a split virtqueue (Virtual I/O Device 1.3, section 2.7), as seen by both sides.
//!
//! The VMM places the rings; the sentry drives them; the device back end (VMM thread or gofer)
//! serves them with the `virtio-queue` crate. Neither negotiates addresses at run time.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Largest queue size this ABI allows; a power of two.
pub const MAX_QUEUE_SIZE: u16 = 256;

/// Placement of one virtqueue. Addresses are physical (see [`crate::memory_map`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueLayout {
    /// Number of descriptors; a power of two, at most [`MAX_QUEUE_SIZE`].
    pub size: u16,
    /// Address of the descriptor table (16-byte aligned).
    pub descriptor_table: u64,
    /// Address of the available ring, written by the driver (2-byte aligned).
    pub available_ring: u64,
    /// Address of the used ring, written by the device (4-byte aligned).
    pub used_ring: u64,
}

impl QueueLayout {
    /// Lays a queue of `size` descriptors out from the page-aligned address `base`.
    pub const fn at(base: u64, size: u16) -> Self {
        let descriptor_table = base;
        let available_ring = descriptor_table + DESCRIPTOR_BYTES * size as u64;
        let available_end = available_ring + 6 + 2 * size as u64;
        let used_ring = available_end.next_multiple_of(4);
        Self { size, descriptor_table, available_ring, used_ring }
    }

    /// First address after the queue.
    pub const fn end(&self) -> u64 {
        self.used_ring + 6 + 8 * self.size as u64
    }
}

/// Bytes of one [`Descriptor`].
pub const DESCRIPTOR_BYTES: u64 = 16;

/// One buffer of a chain (`struct virtq_desc`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Descriptor {
    /// Physical address of the buffer; must lie in the device's own window.
    pub address: u64,
    /// Length of the buffer in bytes.
    pub length: u32,
    /// [`DescriptorFlags`].
    pub flags: u16,
    /// Index of the next descriptor if `NEXT` is set.
    pub next: u16,
}

bitflags! {
    /// `flags` of a [`Descriptor`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DescriptorFlags: u16 {
        /// The chain goes on at `next`.
        const NEXT = 1;
        /// The device writes the buffer (otherwise it reads it).
        const WRITE = 2;
    }
}

/// One element of the used ring (`struct virtq_used_elem`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct UsedElement {
    /// Head descriptor index of the chain that was used.
    pub id: u32,
    /// Bytes written into the chain's device-writable part.
    pub length: u32,
}

/// `flags` of the available ring: the driver wants no "call" (completion notification).
pub const AVAILABLE_NO_INTERRUPT: u16 = 1;
/// `flags` of the used ring: the device wants no "kick" (it is awake and will look).
pub const USED_NO_NOTIFY: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn descriptor_layout_is_virtq_desc() {
        assert_eq!(size_of::<Descriptor>(), 16);
        assert_eq!(offset_of!(Descriptor, length), 8);
        assert_eq!(offset_of!(Descriptor, flags), 12);
        assert_eq!(offset_of!(Descriptor, next), 14);
        assert_eq!(size_of::<UsedElement>(), 8);
    }

    #[test]
    fn rings_do_not_overlap_and_are_aligned() {
        for size in [1, 2, 64, 256] {
            let queue = QueueLayout::at(0x1000, size);
            assert_eq!(queue.descriptor_table % 16, 0);
            assert_eq!(queue.available_ring % 2, 0);
            assert_eq!(queue.used_ring % 4, 0);
            assert!(queue.available_ring >= queue.descriptor_table + 16 * u64::from(size));
            assert!(queue.used_ring >= queue.available_ring + 6 + 2 * u64::from(size));
        }
    }
}
