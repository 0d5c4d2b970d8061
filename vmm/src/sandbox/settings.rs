//! How large a sandbox is.

use guest_abi::{
    container::MIN_MEMORY_BYTES,
    memory_map::{PAGE_SIZE, RAM_LIMIT},
};
use serde::{Deserialize, Serialize};

/// The kvm platform maps memory by pages of this size, in bytes.
const LARGE_PAGE_SIZE: u64 = 2 << 20;

/// Most executors that are started without being asked for: beyond that, contention costs more
/// than it brings.
const MAX_DEFAULT_EXECUTORS: usize = 16;

/// What the command line decides about a sandbox besides its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Size of sandbox memory in bytes; a page multiple.
    pub memory_bytes: u64,
    /// Number of executors.
    pub executors: u16,
    /// Trace system calls to the log.
    pub strace: bool,
    /// What runs the container's instructions.
    pub platform: Platform,
}

/// What runs the container's instructions (docs/platforms.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Platform {
    /// vCPUs of a virtual machine whose ring 0 is the sentry.
    Kvm,
    /// Processes that this one traces.
    Ptrace,
}

/// What network a container is to have. For now it has its loopback interface in each case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Its loopback interface only.
    None,
    /// The interfaces of its network namespace, on a stack in the sandbox.
    #[default]
    Sandbox,
    /// The host's.
    Host,
}

/// `bytes` rounded down to whole pages, if a sandbox can have that much memory.
///
/// # Errors
/// What would be right.
pub const fn check_memory_bytes(bytes: u64) -> Result<u64, &'static str> {
    if bytes < MIN_MEMORY_BYTES {
        Err("a sandbox needs at least 32m")
    } else if bytes > RAM_LIMIT {
        Err("a sandbox can have at most 256g")
    } else {
        Ok(bytes - bytes % PAGE_SIZE)
    }
}

/// Half of the host's memory.
pub fn default_memory_bytes() -> u64 {
    let host = rustix::system::sysinfo();
    let bytes = host.totalram.saturating_mul(host.mem_unit.into());
    let half = (bytes / 2).clamp(MIN_MEMORY_BYTES, RAM_LIMIT);
    half - half % LARGE_PAGE_SIZE
}

/// One executor a processor that this process may use, within reason.
pub fn default_executors() -> u16 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(processors.min(MAX_DEFAULT_EXECUTORS)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        let memory = default_memory_bytes();
        assert_eq!(check_memory_bytes(memory), Ok(memory));
        assert!((1..=16).contains(&default_executors()));
    }

    #[test]
    fn memory_is_bounded_and_whole_pages() {
        assert!(check_memory_bytes(0).is_err());
        assert!(check_memory_bytes(u64::MAX).is_err());
        assert_eq!(check_memory_bytes((64 << 20) + 1), Ok(64 << 20));
    }
}
