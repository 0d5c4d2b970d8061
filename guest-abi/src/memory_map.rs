//! Where things are in the sandbox's physical address space.
//!
//! Sandbox memory (guest RAM under KVM, one memfd under ptrace) starts at address 0. Each device
//! owns one *window* above [`DEVICE_WINDOWS_BASE`]: a separate memfd that holds its queues and
//! buffers and nothing else, so a device back end never sees application memory.

/// Size of a page and of a frame, in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// Physical address of the first byte of sandbox memory.
pub const RAM_BASE: u64 = 0;

/// Largest supported sandbox memory, in bytes; everything from here up belongs to devices.
pub const RAM_LIMIT: u64 = DEVICE_WINDOWS_BASE;

/// Physical address of the first device window (256 GiB). Common processors number physical memory
/// with no more than 39 bits, of which guests may use no more either.
pub const DEVICE_WINDOWS_BASE: u64 = 1 << 38;

/// Distance between the starts of two device windows, and the largest size of one (64 MiB).
pub const DEVICE_WINDOW_STRIDE: u64 = 64 << 20;

/// Physical address of the window of the device at `index` of the device table.
pub const fn device_window_base(index: u32) -> u64 {
    DEVICE_WINDOWS_BASE + index as u64 * DEVICE_WINDOW_STRIDE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_page_aligned_and_disjoint() {
        assert_eq!(device_window_base(0) % PAGE_SIZE, 0);
        assert_eq!(device_window_base(3) - device_window_base(2), DEVICE_WINDOW_STRIDE);
    }
}
