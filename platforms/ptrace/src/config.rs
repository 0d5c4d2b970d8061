//! What the platform is made of: memory, device windows, doorbells.

use std::os::fd::{AsFd, OwnedFd};

use guest_abi::device::QueueId;
use rustix::fs::{MemfdFlags, SealFlags};
use sentry::memory::PhysicalMemory;

use crate::sys;

/// Parts of a sandbox that its creator hands to the platform.
#[derive(Debug)]
pub struct Config {
    /// Sandbox memory: a memfd, best made by [`create_sandbox_memory`].
    pub memory: OwnedFd,
    /// Its size in bytes; a page multiple.
    pub memory_size: u64,
    /// The device windows.
    pub windows: Vec<DeviceWindow>,
    /// Number of executors; at least 1.
    pub executors: u16,
    /// Whether the host's own clock is the time-stamp counter ([`crate::host_trusts_tsc`]).
    pub trusts_tsc: bool,
    /// Whether user code may hand over calls without a stop, where the host can: it has two
    /// processors for the sandbox, and user code may read its segment bases.
    pub hands_over_calls: bool,
    /// For each queue, the eventfd that tells the device back end about new buffers.
    pub kicks: Vec<(QueueId, OwnedFd)>,
    /// Eventfds by which device back ends tell that they used buffers; one a device is enough.
    /// The platform never reads them.
    pub calls: Vec<OwnedFd>,
}

/// Memory shared with one device back end.
#[derive(Debug)]
pub struct DeviceWindow {
    /// Its memfd. Seal it against shrinking: a back end that truncates it would crash the sandbox.
    pub file: OwnedFd,
    /// Physical address of its first byte.
    pub base: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// Why the platform could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A size or count in the configuration makes no sense.
    #[error("invalid platform configuration: {0}")]
    Configuration(&'static str),
    /// A host system call failed.
    #[error("{0}: {1}")]
    Host(&'static str, #[source] std::io::Error),
    /// The first stub process ended while it was set up.
    #[error("the template stub process ended during {0}; does the host allow ptrace?")]
    Template(&'static str),
}

impl Error {
    /// Makes errors of a host call that was meant to do `what`.
    pub(crate) fn host<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Host(what, error.into())
    }
}

/// Makes a memfd of `size` bytes for sandbox memory, which nobody can shrink or grow afterwards.
///
/// # Errors
/// As memfd_create(2), ftruncate(2) and fcntl(2) with F_ADD_SEALS.
pub fn create_sandbox_memory(size: u64) -> std::io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(
        "sandbox-memory",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?;
    rustix::fs::ftruncate(&file, size)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file)
}

/// Makes a memfd of `size` bytes that is shared with stubs, and maps it. It is sparse.
pub(crate) fn stub_memory(name: &str, size: u64) -> Result<(OwnedFd, PhysicalMemory), Error> {
    let file =
        rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).map_err(Error::host("memfd_create"))?;
    rustix::fs::ftruncate(&file, size).map_err(Error::host("ftruncate"))?;
    let length = usize::try_from(size).unwrap_or(usize::MAX);
    let region = sys::map_region(file.as_fd(), 0, length).map_err(Error::host("mmap"))?;
    Ok((file, PhysicalMemory::new(region, [])))
}
