//! The virtual machine of a sandbox on the kvm platform.

use std::{io, os::fd::OwnedFd};

use guest_abi::boot::BootInfo;
use platform_kvm::{Config, Machine};
use platform_ptrace::create_sandbox_memory;

use super::devices::Device;
use crate::error::{Failure, Result};

/// Builds the machine of the device `kvm` that serves `devices` and boots with `boot`.
///
/// # Errors
/// If KVM refuses a part.
pub fn build_machine(kvm: OwnedFd, devices: &[Device], boot: BootInfo) -> Result<Machine> {
    let config = config(kvm, devices, boot).map_err(|error| failed(&error))?;
    Machine::new(config).map_err(|error| failed(&error))
}

fn config(kvm: OwnedFd, devices: &[Device], boot_info: BootInfo) -> io::Result<Config> {
    let mut config = Config {
        kvm,
        memory: create_sandbox_memory(boot_info.ram_size)?,
        memory_size: boot_info.ram_size,
        windows: Vec::new(),
        kicks: Vec::new(),
        calls: Vec::new(),
        boot_info,
    };
    for device in devices {
        config.windows.push(device.machine_window()?);
        config.kicks.extend(device.kicks()?);
        config.calls.push(device.call()?);
    }
    Ok(config)
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::new(
        format_args!("cannot use the kvm platform: {error}"),
        "see `sandbox-vmm platforms`, or use --platform=ptrace",
    )
}
