//! Vector and floating-point state by XSAVE, lazily: it stays in the registers while one task after
//! another traps, and is saved only when another task's is needed (Intel SDM volume 1, 13).

use core::{
    arch::{asm, x86_64::__cpuid_count},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use sentry::platform::{ExtendedArea, ExtendedState, UserContext};
use x86_64::registers::{
    control::{Cr4, Cr4Flags},
    xcontrol::{XCr0, XCr0Flags},
};

use super::per_cpu;

static AREA_BYTES: AtomicUsize = AtomicUsize::new(0);
static FEATURES: AtomicU64 = AtomicU64::new(0);

/// Enables every state component that user code may use.
pub fn initialise() {
    let wanted = XCr0Flags::X87
        | XCr0Flags::SSE
        | XCr0Flags::AVX
        | XCr0Flags::OPMASK
        | XCr0Flags::ZMM_HI256
        | XCr0Flags::HI16_ZMM;
    let leaf = __cpuid_count(0xd, 0);
    let supported = u64::from(leaf.eax) | u64::from(leaf.edx) << 32;
    // SAFETY: the sentry has no vector instructions, and only supported components are enabled; x87
    // and SSE always are.
    unsafe {
        Cr4::update(|flags| {
            flags.insert(Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE | Cr4Flags::OSXSAVE);
        });
        XCr0::write(wanted & XCr0Flags::from_bits_truncate(supported));
    }
    FEATURES.store(XCr0::read_raw(), Ordering::Relaxed);
    AREA_BYTES.store(__cpuid_count(0xd, 0).ebx as usize, Ordering::Relaxed);
}

/// Size of the area in bytes.
pub fn area_bytes() -> usize {
    AREA_BYTES.load(Ordering::Relaxed)
}

/// The enabled components (XCR0).
pub fn features() -> u64 {
    FEATURES.load(Ordering::Relaxed)
}

/// Makes the registers hold `context`'s state.
pub fn load(context: &UserContext) {
    per_cpu::with_own(|own| {
        if let Some(owner) = &own.extended_owner {
            if owner.is_same(&context.extended) {
                return;
            }
            save_to(owner);
        }
        restore_from(&context.extended);
        own.extended_owner = Some(context.extended.clone());
    });
}

/// Brings `context`'s state back from the registers if it is there.
pub fn save(context: &UserContext) {
    per_cpu::with_own(|own| {
        let Some(owner) = &own.extended_owner else { return };
        if owner.is_same(&context.extended) {
            save_to(owner);
            own.extended_owner = None;
        }
    });
}

fn save_to(state: &ExtendedState) {
    let mut area = state.lock();
    if !area.live || !is_whole(&area) {
        return;
    }
    area.live = false;
    // SAFETY: areas are aligned, and this one is as large as the enabled components need.
    unsafe {
        asm!(
            "xsave64 [{}]",
            in(reg) area.bytes.as_mut_ptr(),
            in("eax") u32::MAX,
            in("edx") u32::MAX,
            options(nostack),
        );
    }
}

fn restore_from(state: &ExtendedState) {
    let mut area = state.lock();
    if !is_whole(&area) {
        return;
    }
    area.live = true;
    make_valid(&mut area.bytes);
    // SAFETY: as in `save_to`; the sentry checks user-made areas before they get here, and the
    // header is valid, so XRSTOR cannot fault.
    unsafe {
        asm!(
            "xrstor64 [{}]",
            in(reg) area.bytes.as_ptr(),
            in("eax") u32::MAX,
            in("edx") u32::MAX,
            options(nostack),
        );
    }
}

/// Whether XSAVE has room in it; the sentry makes all areas of the size that it is told.
fn is_whole(area: &ExtendedArea) -> bool {
    area.bytes.len() >= area_bytes()
}

/// Clears what XRSTOR faults on: reserved MXCSR bits, unknown components, and a compacted or
/// otherwise reserved header (Intel SDM volume 1, 13.8).
fn make_valid(bytes: &mut [u8]) {
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    let mxcsr = word(bytes, 24) & 0xffff;
    bytes[24..28].copy_from_slice(&mxcsr.to_le_bytes());
    let low = u64::from(word(bytes, 512)) | u64::from(word(bytes, 516)) << 32;
    bytes[512..520].copy_from_slice(&(low & features()).to_le_bytes());
    bytes[520..576].fill(0);
}
