//! Clocks, and the rate of the time-stamp counter.

use std::sync::Mutex;

use rustix::time::{ClockId, Timespec, clock_gettime};
use sentry::platform::ClockParameters;

use crate::sys;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// Shortest time over which the rate is measured. A sample is good to some 20 ns, so the rate is
/// good to a few parts in a million from then on, and to better the longer the platform runs.
const SHORTEST_BASELINE_NANOSECONDS: u64 = 10_000_000;

/// The baseline is renewed this often: CLOCK_MONOTONIC is slewed, so old samples mislead.
const RENEWAL_NANOSECONDS: u64 = 5 * NANOSECONDS_PER_SECOND;

/// CLOCK_MONOTONIC in nanoseconds.
pub fn monotonic() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// CLOCK_REALTIME in nanoseconds since 1970.
pub fn realtime() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// A time before the epoch counts as the epoch.
fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(NANOSECONDS_PER_SECOND).saturating_add(rest)
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    tsc: u64,
    monotonic: u64,
}

impl Sample {
    /// Reads both: the best of a few tries, since an interrupt may come between.
    fn take() -> Self {
        let attempt = || {
            let before = sys::time_stamp_counter();
            let monotonic = monotonic();
            let width = sys::time_stamp_counter().wrapping_sub(before);
            (width, Self { tsc: before.wrapping_add(width / 2), monotonic })
        };
        let first = attempt();
        let best = (0..4).map(|_| attempt()).fold(
            first,
            |best, next| {
                if next.0 < best.0 { next } else { best }
            },
        );
        best.1
    }
}

/// Relates the time-stamp counter to CLOCK_MONOTONIC.
#[derive(Debug)]
pub struct TscClock {
    usable: bool,
    baseline: Mutex<Baseline>,
}

/// Where the rate is measured from.
#[derive(Debug)]
struct Baseline {
    start: Sample,
    /// What the next baseline will start from.
    next: Sample,
}

impl Baseline {
    /// Counts and nanoseconds from the baseline to `now`, if far enough apart.
    fn distance(&mut self, now: Sample) -> Option<(u64, u64)> {
        if now.monotonic.saturating_sub(self.next.monotonic) > RENEWAL_NANOSECONDS {
            self.start = self.next;
            self.next = now;
        }
        let counts = now.tsc.checked_sub(self.start.tsc)?;
        let elapsed = now.monotonic.checked_sub(self.start.monotonic)?;
        (elapsed >= SHORTEST_BASELINE_NANOSECONDS).then_some((counts, elapsed))
    }
}

impl TscClock {
    /// Takes the first sample. `trusted` is what [`host_trusts_tsc`] says.
    pub fn new(trusted: bool) -> Self {
        let start = Sample::take();
        let baseline = Mutex::new(Baseline { start, next: start });
        Self { usable: is_invariant() && trusted, baseline }
    }

    /// Current parameters, or `None` if the counter is no clock, or for the first 10 ms.
    pub fn parameters(&self) -> Option<ClockParameters> {
        if !self.usable {
            return None;
        }
        let now = Sample::take();
        let (counts, elapsed) = self.baseline.lock().ok()?.distance(now)?;
        let (multiplier, shift) = rate(counts, elapsed)?;
        Some(ClockParameters {
            base_tsc: now.tsc,
            base_monotonic_nanoseconds: now.monotonic,
            realtime_offset_nanoseconds: realtime().wrapping_sub(monotonic()),
            multiplier,
            shift,
        })
    }
}

/// `multiplier` and `shift` for `elapsed` nanoseconds in `counts`, as precise as 32 bits allow.
fn rate(counts: u64, elapsed: u64) -> Option<(u32, u32)> {
    (1..=32).rev().find_map(|shift| {
        let multiplier = (u128::from(elapsed) << shift).checked_div(u128::from(counts))?;
        Some((u32::try_from(multiplier).ok()?, shift))
    })
}

/// Whether the counter runs at one rate in all power states (Intel SDM volume 3, section 19.17.1).
fn is_invariant() -> bool {
    use core::arch::x86_64::__cpuid;
    const POWER_MANAGEMENT: u32 = 0x8000_0007;
    __cpuid(0x8000_0000).eax >= POWER_MANAGEMENT && __cpuid(POWER_MANAGEMENT).edx & 1 << 8 != 0
}

/// Whether the host's own clock is the time-stamp counter; if it does not say, the processor's word is
/// enough. To be asked before a jail hides sysfs.
pub fn host_trusts_tsc() -> bool {
    const PATH: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    std::fs::read_to_string(PATH).map_or(true, |name| matches!(name.trim(), "tsc" | "kvm-clock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_precise() {
        let (multiplier, shift) = rate(2_300_000_000, 1_000_000_000).unwrap();
        assert_eq!(shift, 32);
        assert_eq!((2_300_000_000 * u128::from(multiplier)) >> shift, 999_999_999);
        // A counter slower than 1 GHz needs a smaller shift.
        assert_eq!(rate(1_000_000, 40_000_000).unwrap().1, 26);
        assert_eq!(rate(0, 1), None);
    }

    #[test]
    fn the_baseline_is_renewed_and_never_too_short() {
        let sample = |seconds: u64| Sample {
            tsc: 2 * seconds * NANOSECONDS_PER_SECOND,
            monotonic: seconds * NANOSECONDS_PER_SECOND,
        };
        let mut baseline = Baseline { start: sample(0), next: sample(0) };
        assert_eq!(baseline.distance(sample(0)), None);
        let second = NANOSECONDS_PER_SECOND;
        assert_eq!(baseline.distance(sample(4)), Some((8 * second, 4 * second)));
        assert_eq!(baseline.distance(sample(6)), Some((12 * second, 6 * second)));
        assert_eq!(baseline.distance(sample(12)), Some((12 * second, 6 * second)));
    }

    #[test]
    fn the_clocks_run() {
        assert!(monotonic() <= monotonic());
        assert!(realtime() > monotonic());
    }
}
