//! A device's window, mapped.

use std::{fs::File, os::fd::OwnedFd, sync::Arc};

use guest_abi::device::DeviceDescriptor;
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap, mmap::FromRangesError};

/// Why a window could not be mapped.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// The memfd is shorter than the device table says; touching the rest would be SIGBUS.
    #[error("the device's window is {actual} bytes, not {expected}")]
    TooShort {
        /// Size by the device table.
        expected: u64,
        /// Size of the memfd.
        actual: u64,
    },
    /// The size does not fit this machine.
    #[error("the device's window is too large")]
    TooLarge,
    /// fstat(2) failed.
    #[error("cannot examine the device's window: {0}")]
    Examine(#[from] std::io::Error),
    /// mmap(2) failed.
    #[error("cannot map the device's window: {0}")]
    Map(#[from] FromRangesError),
}

/// The one range of physical memory that a device shares with its driver.
#[derive(Clone, Debug)]
pub struct Window {
    pub(super) memory: Arc<GuestMemoryMmap>,
}

impl Window {
    /// Maps the memfd `file` as the window of `device`.
    ///
    /// # Errors
    /// [`WindowError`]. The file must keep its size (`F_SEAL_SHRINK`) while it is mapped.
    pub fn map(file: OwnedFd, device: &DeviceDescriptor) -> Result<Self, WindowError> {
        let file = File::from(file);
        let actual = file.metadata()?.len();
        let expected = device.window_size;
        if actual < expected {
            return Err(WindowError::TooShort { expected, actual });
        }
        let size = usize::try_from(expected).map_err(|_| WindowError::TooLarge)?;
        let range = (GuestAddress(device.window_base), size, Some(FileOffset::new(file, 0)));
        let memory = GuestMemoryMmap::from_ranges_with_files([range])?;
        Ok(Self { memory: Arc::new(memory) })
    }
}
