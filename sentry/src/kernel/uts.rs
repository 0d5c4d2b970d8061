//! Names of the system (uname(2)).

use alloc::vec::Vec;

/// What uname(2) gives as the release: the interface that programs may expect.
pub const KERNEL_RELEASE: &str = "6.1.0-sandbox";

/// What uname(2) gives as the version.
pub const KERNEL_VERSION: &str = "#1 SMP sandbox-vmm";

/// The names that can be changed; at most 64 bytes each.
#[derive(Clone, Debug, Default)]
pub struct UtsNames {
    /// Host name.
    pub host: Vec<u8>,
    /// NIS domain name.
    pub domain: Vec<u8>,
}
