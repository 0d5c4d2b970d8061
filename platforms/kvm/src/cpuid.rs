//! What the guest's processor says of itself: what KVM supports, less what the sentry must not see.

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::Kvm;

use crate::config::Error;

/// Leaf 1, ECX: the timer mode that needs no calibration; KVM leaves it to the VMM to offer it.
const TSC_DEADLINE: u32 = 1 << 24;
/// Leaf 1, ECX.
const X2APIC: u32 = 1 << 21;
/// Leaf 1, ECX: running under a hypervisor.
const HYPERVISOR: u32 = 1 << 31;

/// The CPUID of the vCPU at `index`.
pub fn for_vcpu(kvm: &Kvm, index: u16) -> Result<CpuId, Error> {
    let mut cpuid =
        kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(Error::kvm("read CPUID"))?;
    for entry in cpuid.as_mut_slice() {
        match entry.function {
            1 => {
                entry.ecx |= TSC_DEADLINE | X2APIC | HYPERVISOR;
                // Bits 31 to 24 are the APIC id.
                entry.ebx = entry.ebx & 0x00ff_ffff | u32::from(index) << 24;
            }
            0xb | 0x1f => entry.edx = index.into(),
            _ => {}
        }
    }
    Ok(cpuid)
}
