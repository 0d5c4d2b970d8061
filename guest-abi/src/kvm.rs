//! What the KVM platform's two halves share beyond [`crate::boot`]: where things lie in the guest,
//! how a vCPU starts, and the ports and vectors between them.
//!
//! A vCPU starts in long mode at the image's entry point, on the page tables and the stack that the
//! host made, with its index in RDI and interrupts off. Nothing of it comes from firmware.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{device::QueueId, memory_map::DEVICE_WINDOWS_BASE};

/// Physical address of the [`BootHeader`].
pub const BOOT_HEADER_ADDRESS: u64 = 0x1000;
/// Physical address of the first page table; the root of all.
pub const BOOT_PAGE_TABLES: u64 = 0x2000;
/// Physical address the image is loaded at.
pub const IMAGE_LOAD_ADDRESS: u64 = 0x20_0000;
/// Virtual address that physical address 0 would have in the image's mapping.
pub const IMAGE_VIRTUAL_OFFSET: u64 = 0xffff_ffff_8000_0000;
/// Virtual address of physical address 0 in the direct map of all memory and device windows.
pub const DIRECT_MAP_BASE: u64 = 0xffff_8000_0000_0000;
/// Virtual address of the first vCPU's stack area: in the image's GiB, whose tables serve both.
pub const STACKS_BASE: u64 = 0xffff_ffff_a000_0000;
/// Distance between two stack areas; the lowest page of each is not mapped.
pub const STACK_STRIDE: u64 = 0x2_0000;
/// Most vCPUs of a sandbox.
pub const MAX_VCPUS: u16 = 64;

/// First address that user code may not map: one page below the end of the lower half, because a
/// SYSCALL in the last bytes below 2^47 would return to a non-canonical address.
pub const USER_ADDRESS_LIMIT: u64 = (1 << 47) - 4096;

/// Virtual address of the first byte above the stack of the vCPU at `index`.
pub const fn stack_top(index: u16) -> u64 {
    STACKS_BASE + (index as u64 + 1) * STACK_STRIDE
}

/// A write of any byte to this port ends the vCPU: the sentry has halted.
pub const HALT_PORT: u16 = 0x510;
/// Bytes written to this port are lines of the emergency log.
pub const LOG_PORT: u16 = 0x511;
/// A write of any byte to this port ends the sandbox: the sentry panicked, and has logged why.
pub const PANIC_PORT: u16 = 0x512;
/// A 32-bit word written to this port is the low half of an address of the image that a panic's
/// backtrace goes through; the high half is that of [`IMAGE_VIRTUAL_OFFSET`].
pub const BACKTRACE_PORT: u16 = 0x513;
/// A 32-bit word written to this port plus `n` gives `2^n` frames of sandbox memory back to the host,
/// from the frame of that number on. They read as zero when the guest uses them again.
pub const RELEASE_PORT_BASE: u16 = 0x520;
/// Number of those ports.
pub const RELEASE_PORTS: u16 = 32;
/// First doorbell port. One port a queue: the cheapest exit there is, and none to decode.
pub const DOORBELL_PORT_BASE: u16 = 0x1000;

/// Most queues of one device.
pub const MAX_DEVICE_QUEUES: u16 = 64;

/// Port whose write kicks `queue`; `None` if there are too many devices or queues.
pub const fn doorbell_port(queue: QueueId) -> Option<u16> {
    let limit = (u16::MAX - DOORBELL_PORT_BASE) / MAX_DEVICE_QUEUES;
    if queue.queue >= MAX_DEVICE_QUEUES || queue.device >= limit {
        return None;
    }
    Some(DOORBELL_PORT_BASE + queue.device * MAX_DEVICE_QUEUES + queue.queue)
}

/// Interrupt vector of the local APIC timer.
pub const TIMER_VECTOR: u8 = 0x40;
/// Interrupt vector of an interrupt from another vCPU.
pub const WAKE_VECTOR: u8 = 0x41;
/// Interrupt vector of a device's call.
pub const DEVICE_VECTOR: u8 = 0x42;
/// Vector of spurious interrupts.
pub const SPURIOUS_VECTOR: u8 = 0xff;

/// "SBOX" and a version, so that halves of different builds notice.
pub const BOOT_MAGIC: u64 = 0x5342_4f58_0000_0003;

/// What the host tells the image besides [`crate::boot::BootInfo`].
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct BootHeader {
    /// [`BOOT_MAGIC`].
    pub magic: u64,
    /// Physical address of the encoded [`crate::boot::BootInfo`].
    pub boot_info_address: u64,
    /// Its length in bytes.
    pub boot_info_length: u64,
    /// Physical address of the sentry's heap, which BootInfo's memory does not include.
    pub heap_address: u64,
    /// Its size in bytes.
    pub heap_length: u64,
    /// CLOCK_REALTIME minus the guest's kvmclock, in nanoseconds.
    pub realtime_offset_nanoseconds: u64,
}

/// Physical address of a [`VcpuCounts`] for each vCPU, behind the [`BootHeader`] in the same page.
pub const VCPU_COUNTS_ADDRESS: u64 = BOOT_HEADER_ADDRESS + 0x800;

/// What the sentry did on one vCPU that may be a VM exit. The host counts exits, but not these apart.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct VcpuCounts {
    /// The timer was set.
    pub timer_settings: u64,
    /// An interrupt was acknowledged.
    pub interrupts_ended: u64,
    /// Another vCPU was interrupted.
    pub wakes_sent: u64,
}

/// Physical address of the counts of the vCPU at `index`.
pub const fn vcpu_counts_address(index: u16) -> u64 {
    VCPU_COUNTS_ADDRESS + index as u64 * size_of::<VcpuCounts>() as u64
}

const _: () = assert!(vcpu_counts_address(MAX_VCPUS) <= BOOT_PAGE_TABLES);

const _: () =
    assert!(DEVICE_WINDOWS_BASE < 1 << 39, "the smallest physical address width is 39 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doorbells_are_distinct_and_bounded() {
        let port = |device, queue| doorbell_port(QueueId { device, queue });
        assert_eq!(port(0, 0), Some(0x1000));
        assert_eq!(port(1, 2), Some(0x1042));
        assert_eq!(port(0, 64), None);
        assert_eq!(port(u16::MAX, 0), None);
    }

    #[test]
    fn header_has_no_padding() {
        assert_eq!(size_of::<BootHeader>(), 6 * 8);
    }
}
