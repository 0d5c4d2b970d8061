//! What a machine is made of, and why making one fails.

use std::{io, os::fd::OwnedFd};

use guest_abi::{boot::BootInfo, device::QueueId};

/// Parts of a machine.
#[derive(Debug)]
pub struct Config {
    /// /dev/kvm, opened by the launcher, so that the jailed process needs no path to it.
    pub kvm: OwnedFd,
    /// Sandbox memory: a memfd.
    pub memory: OwnedFd,
    /// Its size in bytes; a multiple of 2 MiB, at least 64 MiB.
    pub memory_size: u64,
    /// The device windows.
    pub windows: Vec<DeviceWindow>,
    /// For each queue, the eventfd that a kick signals.
    pub kicks: Vec<(QueueId, OwnedFd)>,
    /// Eventfds by which device back ends tell that they used buffers.
    pub calls: Vec<OwnedFd>,
    /// What the sentry is told. The machine fills in the memory that it may hand out.
    pub boot_info: BootInfo,
}

/// Memory shared with one device back end.
#[derive(Debug)]
pub struct DeviceWindow {
    /// Its memfd.
    pub file: OwnedFd,
    /// Physical address of its first byte.
    pub base: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// Why a machine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A size or count in the configuration makes no sense.
    #[error("invalid machine configuration: {0}")]
    Configuration(&'static str),
    /// The embedded ring-0 image is not what it must be.
    #[error("the ring-0 image is malformed: {0}")]
    Image(&'static str),
    /// A KVM call failed.
    #[error("KVM failed to {0}: {1}")]
    Kvm(&'static str, #[source] io::Error),
    /// Guest memory could not be mapped or written.
    #[error("guest memory: {0}")]
    Memory(String),
}

impl Error {
    /// A failed KVM call, by what it was to do.
    pub(crate) fn kvm(step: &'static str) -> impl Fn(kvm_ioctls::Error) -> Self {
        move |error| Self::Kvm(step, error.into())
    }

    /// A failed access to guest memory.
    pub(crate) fn memory(error: impl std::error::Error) -> Self {
        Self::Memory(error.to_string())
    }
}
