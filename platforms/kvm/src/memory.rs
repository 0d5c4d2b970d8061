//! Guest memory: sandbox memory and device windows, mapped here and given to the machine.

use std::{fs::File, os::fd::OwnedFd};

use guest_abi::memory_map::RAM_BASE;
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use vm_memory::{
    Address, FileOffset, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap, GuestMemoryRegion,
};

use crate::config::{DeviceWindow, Error};

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

/// Gives the machine one memory slot per region.
pub fn register(vm: &VmFd, memory: &GuestMemoryMmap) -> Result<(), Error> {
    for (slot, region) in (0..).zip(memory.iter()) {
        let host = memory.get_host_address(region.start_addr()).map_err(Error::memory)?;
        let region = kvm_userspace_memory_region {
            slot,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: host as u64,
            flags: 0,
        };
        // SAFETY: the machine keeps the mapping for as long as the virtual machine exists.
        unsafe { vm.set_user_memory_region(region) }.map_err(Error::kvm("add guest memory"))?;
    }
    Ok(())
}
