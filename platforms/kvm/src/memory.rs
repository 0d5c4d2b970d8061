//! Guest memory: sandbox memory and device windows, mapped here and given to the machine.

use std::{fs::File, ops::Range, os::fd::OwnedFd};

use guest_abi::memory_map::RAM_BASE;
use kvm_bindings::{KVM_MEM_READONLY, kvm_userspace_memory_region};
use kvm_ioctls::VmFd;
use vm_memory::{
    Address, FileOffset, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap, GuestMemoryRegion,
};

use crate::{
    config::{DeviceWindow, Error},
    image::SharedPages,
};

/// Maps all of guest memory, lazily backed.
pub fn map(
    memory: OwnedFd,
    memory_size: u64,
    windows: Vec<DeviceWindow>,
) -> Result<GuestMemoryMmap, Error> {
    let ram = DeviceWindow { file: memory, base: RAM_BASE, size: memory_size };
    let ranges = std::iter::once(ram).chain(windows).map(|window| {
        let size = usize::try_from(window.size)
            .map_err(|_| Error::Configuration("memory that fits the address space"))?;
        let file = FileOffset::new(File::from(window.file), 0);
        Ok((GuestAddress(window.base), size, Some(file)))
    });
    let ranges: Vec<_> = ranges.collect::<Result<_, Error>>()?;
    GuestMemoryMmap::from_ranges_with_files(ranges).map_err(Error::memory)
}

/// Gives the machine one memory slot per region, less what `shared` shows instead, by slots of its own
/// that the guest cannot write.
pub fn register(vm: &VmFd, memory: &GuestMemoryMmap, shared: &[SharedPages]) -> Result<(), Error> {
    let mut slots = Vec::new();
    for region in memory.iter() {
        let start = region.start_addr().raw_value();
        for part in without(start..start + region.len(), shared) {
            let host = memory.get_host_address(GuestAddress(part.start)).map_err(Error::memory)?;
            slots.push((part, host as u64, 0));
        }
    }
    for pages in shared {
        let part = pages.range();
        slots.push((part, pages.bytes.as_ptr() as u64, KVM_MEM_READONLY));
    }
    for (slot, (part, userspace_addr, flags)) in (0..).zip(slots) {
        let region = kvm_userspace_memory_region {
            slot,
            guest_phys_addr: part.start,
            memory_size: part.end - part.start,
            userspace_addr,
            flags,
        };
        // SAFETY: the machine keeps the mapping of its memory for as long as the virtual machine
        // exists; shared pages are this program's own, and the guest cannot write them.
        unsafe { vm.set_user_memory_region(region) }.map_err(Error::kvm("add guest memory"))?;
    }
    Ok(())
}

/// The parts of `whole` that are not `shared`, whose addresses ascend.
fn without(whole: Range<u64>, shared: &[SharedPages]) -> Vec<Range<u64>> {
    let mut parts = Vec::new();
    let mut start = whole.start;
    for pages in shared.iter().map(SharedPages::range) {
        if whole.contains(&pages.start) {
            parts.push(start..pages.start);
            start = pages.end;
        }
    }
    parts.push(start..whole.end);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_surrounds_what_is_shared() {
        static PAGES: [u8; 8192] = [0; 8192];
        let pages = |address, length: usize| SharedPages { address, bytes: &PAGES[..length] };
        let shared = [pages(0x2000, 4096), pages(0x3000, 8192)];
        let parts = |whole| -> Vec<_> {
            without(whole, &shared).into_iter().map(|part| (part.start, part.end)).collect()
        };
        assert_eq!(parts(0..0x9000), [(0, 0x2000), (0x5000, 0x9000)]);
        assert_eq!(parts(0x2000..0x9000), [(0x5000, 0x9000)]);
        assert_eq!(parts(0x10000..0x20000), [(0x10000, 0x20000)]);
    }
}
