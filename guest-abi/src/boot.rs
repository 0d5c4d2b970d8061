//! Boot information: everything the sentry knows when it starts.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::{container::ContainerSpec, device::DeviceDescriptor};

/// Version of this contract. Host and guest must agree exactly; there is no negotiation, because
/// both are built from one tree.
pub const ABI_VERSION: u32 = 3;

/// What the VMM hands to the sentry, as a [`crate::message`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootInfo {
    /// [`ABI_VERSION`] of the host.
    pub abi_version: u32,
    /// Size of sandbox memory in bytes (page multiple).
    pub ram_size: u64,
    /// First byte of sandbox memory that the sentry may hand out; what is below holds the sentry
    /// image and boot information.
    pub ram_free_start: u64,
    /// Number of executors: vCPUs under KVM, host threads under ptrace.
    pub executors: u16,
    /// Seed of the sentry's random generator.
    pub random_seed: [u8; 32],
    /// The devices.
    pub devices: Vec<DeviceDescriptor>,
    /// The sandbox's first container.
    pub container: ContainerSpec,
    /// Trace system calls to the log.
    pub strace: bool,
}

impl BootInfo {
    /// Whether this sentry can run with it.
    pub const fn is_compatible(&self) -> bool {
        self.abi_version == ABI_VERSION
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message;

    fn example() -> BootInfo {
        BootInfo {
            abi_version: ABI_VERSION,
            ram_size: 1 << 30,
            ram_free_start: 0,
            executors: 2,
            random_seed: [7; 32],
            devices: Vec::new(),
            container: ContainerSpec::default(),
            strace: false,
        }
    }

    #[test]
    fn survives_encoding() {
        let bytes = message::encode(&example()).unwrap();
        assert_eq!(message::decode::<BootInfo>(&bytes), Ok(example()));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = message::encode(&example()).unwrap();
        for length in 0..bytes.len() {
            assert!(message::decode::<BootInfo>(&bytes[..length]).is_err());
        }
    }
}
