//! Where things lie in sandbox memory: boot tables below the image, then the image, then stacks and
//! boot information, then memory for the sentry to hand out, and its heap at the end.

use guest_abi::kvm::{MAX_VCPUS, STACK_STRIDE};

use crate::config::Error;

/// The size of a large page, to which the parts are aligned.
pub const LARGE_PAGE: u64 = 2 << 20;

/// The heap is this fraction of sandbox memory, and backed only where used.
const HEAP_FRACTION: u64 = 16;

/// Physical addresses of the parts that the host places.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Stacks of the vCPUs, one after the other.
    pub stacks: u64,
    /// Encoded boot information.
    pub boot_info: u64,
    /// First byte that the sentry hands out.
    pub free_start: u64,
    /// End of what it hands out, and start of its heap.
    pub heap: u64,
    /// End of sandbox memory.
    pub end: u64,
}

impl Layout {
    /// Lays out `memory_size` bytes behind an image that ends at `image_end`.
    pub fn new(
        memory_size: u64,
        image_end: u64,
        vcpus: u16,
        boot_info_length: u64,
    ) -> Result<Self, Error> {
        if vcpus == 0 || vcpus > MAX_VCPUS {
            return Err(Error::Configuration("1 to 64 vCPUs"));
        }
        let stacks = image_end.next_multiple_of(LARGE_PAGE);
        let boot_info = stacks + u64::from(vcpus) * STACK_STRIDE;
        let free_start = (boot_info + boot_info_length).next_multiple_of(LARGE_PAGE);
        let heap_length = (memory_size / HEAP_FRACTION).next_multiple_of(LARGE_PAGE);
        let heap = memory_size.saturating_sub(heap_length.max(8 * LARGE_PAGE));
        if !memory_size.is_multiple_of(LARGE_PAGE) || heap < free_start + 16 * LARGE_PAGE {
            return Err(Error::Configuration(
                "sandbox memory of at least 64 MiB, in steps of 2 MiB",
            ));
        }
        Ok(Self { stacks, boot_info, free_start, heap, end: memory_size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other() {
        let layout = Layout::new(1 << 30, 0x30_0000, 4, 5000).unwrap();
        assert!(layout.stacks >= 0x30_0000);
        assert!(layout.boot_info >= layout.stacks + 4 * STACK_STRIDE);
        assert!(layout.free_start >= layout.boot_info + 5000);
        assert!(layout.heap > layout.free_start && layout.heap < layout.end);
    }

    #[test]
    fn refuses_what_cannot_work() {
        assert!(Layout::new(16 << 20, 0x30_0000, 1, 100).is_err());
        assert!(Layout::new(1 << 30, 0x30_0000, 0, 100).is_err());
        assert!(Layout::new(1 << 30, 0x30_0000, 65, 100).is_err());
    }
}
