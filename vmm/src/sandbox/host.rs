//! What a platform needs of the host's files: to be opened before the jail hides them.

use std::{fs::File, os::fd::OwnedFd};

use super::settings::Platform;
use crate::error::{Failure, Result};

/// The parts of the host that a platform uses.
#[derive(Debug)]
pub enum HostParts {
    /// For the ptrace platform: whether the host's own clock is the time-stamp counter.
    Ptrace {
        /// As [`platform_ptrace::host_trusts_tsc`] says.
        trusts_tsc: bool,
    },
    /// For the kvm platform: the device.
    Kvm(OwnedFd),
}

impl HostParts {
    /// Opens what `platform` needs.
    ///
    /// # Errors
    /// If /dev/kvm cannot be opened.
    pub fn open(platform: Platform) -> Result<Self> {
        match platform {
            Platform::Ptrace => Ok(Self::Ptrace { trusts_tsc: platform_ptrace::host_trusts_tsc() }),
            Platform::Kvm => {
                let device = File::options().read(true).write(true).open("/dev/kvm");
                device.map(|file| Self::Kvm(file.into())).map_err(|error| {
                    Failure::new(
                        format_args!("cannot use the kvm platform: /dev/kvm: {error}"),
                        "see `sandbox-vmm platforms`, or use --platform=ptrace",
                    )
                })
            }
        }
    }
}
