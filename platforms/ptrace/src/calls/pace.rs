//! Whether handing over pays for a stub thread.
//!
//! It needs the stub on another processor than its executor, where a stop costs several times more
//! than on the same one. So it pays where nearly all traps are calls of patched sites, and where both
//! processors are free for it. Both show in what the traps of the last while were.

/// Traps that are judged together.
const WINDOW: u32 = 64;

/// Traps of a window that must be calls of patched sites to begin handing over.
const BEGIN: u32 = 62;

/// Calls of a window that must have been handed over to go on.
const GO_ON: u32 = 59;

/// Most windows to wait after a failure.
const LONGEST_PAUSE: u32 = 256;

/// What the last traps of a stub thread were.
#[derive(Debug)]
pub struct Pace {
    is_fast: bool,
    traps: u32,
    calls: u32,
    /// Windows to wait before trying, and after the next failure.
    pause: u32,
    next_pause: u32,
}

impl Pace {
    /// A thread that does not hand over yet.
    pub const fn new() -> Self {
        Self { is_fast: false, traps: 0, calls: 0, pause: 0, next_pause: 1 }
    }

    /// Whether calls are to be handed over.
    pub const fn is_fast(&self) -> bool {
        self.is_fast
    }

    /// Notes a stop: `by_slot` tells that a slot made its call by it, which was to be handed over if
    /// that is on.
    pub const fn stopped(&mut self, by_slot: bool) {
        self.note(by_slot && !self.is_fast);
    }

    /// Notes that a call was handed over.
    pub const fn handed(&mut self) {
        self.note(true);
    }

    const fn note(&mut self, is_call: bool) {
        self.traps += 1;
        self.calls += is_call as u32;
        if self.traps == WINDOW {
            self.judge();
            (self.traps, self.calls) = (0, 0);
        }
    }

    const fn judge(&mut self) {
        if self.is_fast {
            if self.calls >= GO_ON {
                self.next_pause = 1;
                return;
            }
            self.is_fast = false;
            self.pause = self.next_pause;
            self.next_pause =
                if self.next_pause < LONGEST_PAUSE { self.next_pause * 2 } else { LONGEST_PAUSE };
        } else if self.pause > 0 {
            self.pause -= 1;
        } else {
            self.is_fast = self.calls >= BEGIN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows_until_fast(pace: &mut Pace) -> u32 {
        let mut windows = 0;
        while !pace.is_fast() {
            (0..WINDOW).for_each(|_| pace.stopped(true));
            windows += 1;
        }
        windows
    }

    #[test]
    fn it_begins_with_calls_of_slots_only() {
        let mut pace = Pace::new();
        (0..WINDOW).for_each(|trap| pace.stopped(trap % 8 != 0));
        assert!(!pace.is_fast());
        assert_eq!(windows_until_fast(&mut pace), 1);
    }

    #[test]
    fn it_ends_when_calls_are_not_handed_over_and_waits_longer_each_time() {
        let mut pace = Pace::new();
        let mut waited = vec![];
        for _ in 0..4 {
            waited.push(windows_until_fast(&mut pace));
            (0..WINDOW).for_each(|_| pace.stopped(true));
            assert!(!pace.is_fast());
        }
        assert_eq!(waited, [1, 2, 3, 5]);
    }

    #[test]
    fn a_few_stops_do_not_matter() {
        let mut pace = Pace::new();
        windows_until_fast(&mut pace);
        for trap in 0..10 * WINDOW {
            if trap % 16 == 0 { pace.stopped(false) } else { pace.handed() }
        }
        assert!(pace.is_fast());
    }
}
