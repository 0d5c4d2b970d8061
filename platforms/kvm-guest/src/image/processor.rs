//! Control registers and model-specific registers of a vCPU.

use core::arch::x86_64::{__cpuid, __cpuid_count};

use x86_64::{
    VirtAddr,
    registers::{
        control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags},
        model_specific::{KernelGsBase, LStar, Msr},
    },
};

use super::{
    descriptors::{KERNEL_CODE, USER_DATA},
    entry,
};

const MSR_STAR: u32 = 0xc000_0081;
const MSR_SFMASK: u32 = 0xc000_0084;
const MSR_GS_BASE: u32 = 0xc000_0101;
const MSR_FS_BASE: u32 = 0xc000_0100;

/// RFLAGS that SYSCALL clears: TF, IF, DF, IOPL, NT, AC.
const SYSCALL_FLAG_MASK: u64 = 0x4_7700;

/// Whether RDFSBASE and its kin exist.
pub fn has_fsgsbase() -> bool {
    __cpuid_count(7, 0).ebx & 1 != 0
}

/// Whether process-context identifiers exist.
pub fn has_pcid() -> bool {
    __cpuid(1).ecx & 1 << 17 != 0
}

/// Turns on what protects ring 0, where the processor has it, and what ring 3 may use.
pub fn initialise() {
    let extended = __cpuid_count(7, 0);
    let optional = [
        (extended.ebx & 1 << 0 != 0, Cr4Flags::FSGSBASE),
        (extended.ebx & 1 << 7 != 0, Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION),
        (extended.ebx & 1 << 20 != 0, Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION),
        (extended.ecx & 1 << 2 != 0, Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION),
        (__cpuid(1).edx & 1 << 13 != 0, Cr4Flags::PAGE_GLOBAL),
        (has_pcid(), Cr4Flags::PCID),
    ];
    // SAFETY: write protection and the protections above only forbid what the sentry never does:
    // writing read-only pages, and touching user pages through user addresses.
    unsafe {
        Cr0::update(|flags| flags.insert(Cr0Flags::WRITE_PROTECT | Cr0Flags::NUMERIC_ERROR));
        Cr4::update(|flags| {
            for (present, flag) in optional {
                flags.set(flag, present);
            }
        });
        Efer::update(|flags| {
            flags.insert(EferFlags::NO_EXECUTE_ENABLE | EferFlags::SYSTEM_CALL_EXTENSIONS);
        });
    }
    initialise_syscall();
}

fn initialise_syscall() {
    let sysret_base = u64::from(USER_DATA) - 8;
    let star = sysret_base << 48 | u64::from(KERNEL_CODE) << 32;
    // SAFETY: the selectors and the entry point are those of the descriptor tables and entry code.
    unsafe {
        Msr::new(MSR_STAR).write(star);
        Msr::new(MSR_SFMASK).write(SYSCALL_FLAG_MASK);
    }
    LStar::write(VirtAddr::new(entry::syscall_entry as *const () as u64));
    KernelGsBase::write(VirtAddr::zero());
}

/// Sets GS for ring 0.
///
/// # Safety
/// `base` must be this vCPU's structure.
pub unsafe fn set_kernel_gs(base: u64) {
    // SAFETY: promised by the caller.
    unsafe { Msr::new(MSR_GS_BASE).write(base) };
}

/// Sets the user's segment bases where user code cannot and the entry code does not.
pub fn set_user_bases(fs_base: u64, gs_base: u64) {
    // SAFETY: neither base is used by ring 0: its own GS is in the other register.
    unsafe {
        Msr::new(MSR_FS_BASE).write(fs_base);
        KernelGsBase::write(VirtAddr::new_truncate(gs_base));
    }
}
