//! The code of the vDSO: it runs in user mode, in every program. See README.md.
//!
//! Built by ../build.rs, outside the workspace: no panics, no relocations, no writable data.
#![no_std]
#![crate_type = "lib"]

use core::{
    arch::{asm, x86_64},
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

/// The page below the image, which the sentry writes (`sentry::loader::vdso`).
#[repr(C)]
struct Parameters {
    /// Odd while the rest is being changed.
    sequence: AtomicU32,
    /// Whether the time-stamp counter may be used.
    usable: AtomicU32,
    base_tsc: AtomicU64,
    base_monotonic: AtomicU64,
    realtime_offset: AtomicU64,
    multiplier: AtomicU32,
    shift: AtomicU32,
}

#[repr(C)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

#[repr(C)]
pub struct Timeval {
    seconds: i64,
    microseconds: i64,
}

const SECOND: u64 = 1_000_000_000;
const SYS_GETTIMEOFDAY: u64 = 96;
const SYS_TIME: u64 = 201;
const SYS_CLOCK_GETTIME: u64 = 228;
const SYS_CLOCK_GETRES: u64 = 229;
const SYS_GETCPU: u64 = 309;

fn parameters() -> &'static Parameters {
    let address: *const Parameters;
    // SAFETY: only computes an address; the linker script puts the symbol one page below the image.
    unsafe {
        asm!(
            "lea {}, [rip + vdso_parameters]",
            out(reg) address,
            options(nomem, nostack, preserves_flags)
        );
    }
    // SAFETY: the sentry maps the page readable wherever it maps the image; all fields are atomics.
    unsafe { &*address }
}

/// A system call of up to three arguments.
///
/// # Safety
/// As the call itself.
unsafe fn system_call(number: u64, first: u64, second: u64, third: u64) -> i64 {
    let result;
    // SAFETY: passed on to the caller.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    result
}

/// CLOCK_MONOTONIC, or CLOCK_REALTIME, in nanoseconds; `None` if it takes a system call.
fn now(realtime: bool) -> Option<u64> {
    let parameters = parameters();
    loop {
        let sequence = parameters.sequence.load(Ordering::Acquire);
        if sequence & 1 != 0 {
            core::hint::spin_loop();
            continue;
        }
        if parameters.usable.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let base_tsc = parameters.base_tsc.load(Ordering::Relaxed);
        let base = parameters.base_monotonic.load(Ordering::Relaxed);
        let offset = parameters.realtime_offset.load(Ordering::Relaxed);
        let multiplier = parameters.multiplier.load(Ordering::Relaxed);
        let shift = parameters.shift.load(Ordering::Relaxed);
        // SAFETY: every x86-64 processor has both; the first keeps the second in program order.
        let tsc = unsafe {
            x86_64::_mm_lfence();
            x86_64::_rdtsc()
        };
        fence(Ordering::Acquire);
        if parameters.sequence.load(Ordering::Relaxed) != sequence {
            continue;
        }
        // A counter that is behind the base on this processor must not make time jump.
        let delta = tsc.saturating_sub(base_tsc);
        let scaled = (u128::from(delta) * u128::from(multiplier)) >> (shift & 127);
        let monotonic = base.wrapping_add(scaled as u64);
        return Some(if realtime { monotonic.wrapping_add(offset) } else { monotonic });
    }
}

/// Which clock an id means here: `Some(true)` is CLOCK_REALTIME.
fn known_clock(id: i32) -> Option<bool> {
    match id {
        0 | 5 | 11 => Some(true),
        1 | 4 | 6 | 7 => Some(false),
        _ => None,
    }
}

/// clock_gettime(2).
///
/// # Safety
/// `time` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_clock_gettime(id: i32, time: *mut Timespec) -> i32 {
    match known_clock(id).and_then(now) {
        Some(now) => {
            let seconds = (now / SECOND) as i64;
            let nanoseconds = (now % SECOND) as i64;
            // SAFETY: as the caller promises.
            unsafe { time.write(Timespec { seconds, nanoseconds }) };
            0
        }
        // SAFETY: as the caller promises.
        None => unsafe { system_call(SYS_CLOCK_GETTIME, id as u64, time as u64, 0) as i32 },
    }
}

/// clock_getres(2).
///
/// # Safety
/// `resolution` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_clock_getres(id: i32, resolution: *mut Timespec) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { system_call(SYS_CLOCK_GETRES, id as u64, resolution as u64, 0) as i32 }
}

/// gettimeofday(2).
///
/// # Safety
/// `time` and `zone` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_gettimeofday(time: *mut Timeval, zone: *mut [i32; 2]) -> i32 {
    let Some(now) = now(true) else {
        // SAFETY: as the caller promises.
        return unsafe { system_call(SYS_GETTIMEOFDAY, time as u64, zone as u64, 0) as i32 };
    };
    if !time.is_null() {
        let seconds = (now / SECOND) as i64;
        let microseconds = (now % SECOND / 1000) as i64;
        // SAFETY: as the caller promises.
        unsafe { time.write(Timeval { seconds, microseconds }) };
    }
    if !zone.is_null() {
        // SAFETY: as the caller promises.
        unsafe { zone.write([0; 2]) };
    }
    0
}

/// time(2).
///
/// # Safety
/// `result` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_time(result: *mut i64) -> i64 {
    let Some(now) = now(true) else {
        // SAFETY: as the caller promises.
        return unsafe { system_call(SYS_TIME, result as u64, 0, 0) };
    };
    let seconds = (now / SECOND) as i64;
    if !result.is_null() {
        // SAFETY: as the caller promises.
        unsafe { result.write(seconds) };
    }
    seconds
}

/// getcpu(2). Executors are the sentry's to number, so it is always a system call.
///
/// # Safety
/// `processor` and `node` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_getcpu(processor: *mut u32, node: *mut u32, _unused: u64) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { system_call(SYS_GETCPU, processor as u64, node as u64, 0) }
}
