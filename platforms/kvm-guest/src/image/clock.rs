//! Time from the time-stamp counter with kvmclock's parameters, without an exit
//! (Linux, Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW).

use core::{
    arch::x86_64::_rdtsc,
    cell::UnsafeCell,
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

use guest_abi::kvm::IMAGE_VIRTUAL_OFFSET;
use sentry::platform::ClockParameters;
use x86_64::registers::model_specific::Msr;

const MSR_KVM_SYSTEM_TIME_NEW: u32 = 0x4b56_4d01;

/// `struct pvclock_vcpu_time_info`. The host writes it, and makes `version` odd while it does.
#[repr(C, align(64))]
struct TimeInformation {
    version: AtomicU32,
    padding: u32,
    tsc_timestamp: AtomicU64,
    system_time: AtomicU64,
    tsc_to_system_multiplier: AtomicU32,
    tsc_shift_and_flags: AtomicU32,
}

struct Shared(UnsafeCell<TimeInformation>);

// SAFETY: all fields but the padding are atomics.
unsafe impl Sync for Shared {}

/// One for all vCPUs: KVM keeps their counters equal.
static TIME: Shared = Shared(UnsafeCell::new(TimeInformation {
    version: AtomicU32::new(0),
    padding: 0,
    tsc_timestamp: AtomicU64::new(0),
    system_time: AtomicU64::new(0),
    tsc_to_system_multiplier: AtomicU32::new(0),
    tsc_shift_and_flags: AtomicU32::new(0),
}));

static REALTIME_OFFSET: AtomicU64 = AtomicU64::new(0);

/// Asks the host to keep the parameters current. Called once, by the first vCPU.
pub fn initialise(realtime_offset_nanoseconds: u64) {
    REALTIME_OFFSET.store(realtime_offset_nanoseconds, Ordering::Relaxed);
    let physical = TIME.0.get() as u64 - IMAGE_VIRTUAL_OFFSET;
    // SAFETY: the host writes only the structure at this address, which is for it.
    unsafe { Msr::new(MSR_KVM_SYSTEM_TIME_NEW).write(physical | 1) };
}

/// One consistent set of parameters.
#[derive(Clone, Copy)]
struct Snapshot {
    tsc: u64,
    nanoseconds: u64,
    multiplier: u32,
    shift: i8,
}

fn snapshot() -> Snapshot {
    // SAFETY: shared access to atomics.
    let time = unsafe { &*TIME.0.get() };
    loop {
        let version = time.version.load(Ordering::Acquire);
        let snapshot = Snapshot {
            tsc: time.tsc_timestamp.load(Ordering::Relaxed),
            nanoseconds: time.system_time.load(Ordering::Relaxed),
            multiplier: time.tsc_to_system_multiplier.load(Ordering::Relaxed),
            shift: shift(time),
        };
        fence(Ordering::Acquire);
        if version.is_multiple_of(2) && time.version.load(Ordering::Relaxed) == version {
            return snapshot;
        }
        core::hint::spin_loop();
    }
}

/// The time-stamp counter.
pub fn counter() -> u64 {
    // SAFETY: RDTSC has no preconditions in ring 0.
    unsafe { _rdtsc() }
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn monotonic_nanoseconds() -> u64 {
    let base = snapshot();
    let delta = counter().saturating_sub(base.tsc);
    base.nanoseconds.wrapping_add(scaled(delta, base.multiplier, base.shift))
}

/// `counts` of the counter in nanoseconds. Cheaper than a time: without the check that the host does
/// not change the parameters meanwhile, which it does when the machine moves. For accounting.
pub fn duration_nanoseconds(counts: u64) -> u64 {
    // SAFETY: shared access to atomics.
    let time = unsafe { &*TIME.0.get() };
    let multiplier = time.tsc_to_system_multiplier.load(Ordering::Relaxed);
    scaled(counts, multiplier, shift(time))
}

fn scaled(counts: u64, multiplier: u32, shift: i8) -> u64 {
    let shifted = if shift >= 0 { counts << (shift & 63) } else { counts >> (-shift & 63) };
    (u128::from(shifted) * u128::from(multiplier) >> 32) as u64
}

fn shift(time: &TimeInformation) -> i8 {
    time.tsc_shift_and_flags.load(Ordering::Relaxed).to_le_bytes()[0].cast_signed()
}

/// CLOCK_REALTIME in nanoseconds since 1970.
pub fn realtime_nanoseconds() -> u64 {
    monotonic_nanoseconds().wrapping_add(REALTIME_OFFSET.load(Ordering::Relaxed))
}

/// The counter value at CLOCK_MONOTONIC `nanoseconds`, rounded up.
pub fn counter_at(nanoseconds: u64) -> u64 {
    let base = snapshot();
    let delta = u128::from(nanoseconds.saturating_sub(base.nanoseconds)) << 32;
    let unscaled = delta / u128::from(base.multiplier.max(1)) + 1;
    let counts = if base.shift >= 0 { unscaled >> base.shift } else { unscaled << -base.shift };
    base.tsc.saturating_add(u64::try_from(counts).unwrap_or(u64::MAX))
}

/// The parameters in the form that the vDSO uses.
pub fn parameters() -> ClockParameters {
    let base = snapshot();
    // (delta << s) * m >> 32 is delta * m >> (32 - s).
    let shift = 32_i32 - i32::from(base.shift);
    ClockParameters {
        base_tsc: base.tsc,
        base_monotonic_nanoseconds: base.nanoseconds,
        realtime_offset_nanoseconds: REALTIME_OFFSET.load(Ordering::Relaxed),
        multiplier: base.multiplier,
        shift: shift.clamp(0, 63).unsigned_abs(),
    }
}
