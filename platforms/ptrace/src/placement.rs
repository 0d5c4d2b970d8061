//! Where executors run: each on the same processor as the stub thread it drives.
//!
//! A round trip is two wake-ups, and either side sleeps while the other runs. Left alone, the host
//! wakes each on whichever processor is idle, so every stop pays for two interprocessor interrupts
//! and two exits from idle: up to ten times the time of a stop on one processor.
//!
//! So an executor pins itself to the processor it is on, and its stub threads follow. Which one
//! that is stays the host's choice: an executor is free whenever it is idle, and for one round
//! trip after each tick of the keeper, in which the host may move it where there is room. The
//! keeper does the same while it has jobs.

use std::cell::RefCell;

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::sys::Tid;

#[derive(Debug, Default)]
struct Placement {
    /// The processors the thread may use when it is free.
    usual: Option<CpuSet>,
    /// The one it is pinned to.
    pinned: Option<usize>,
    /// The keeper's ticks when it was pinned.
    since: u32,
}

thread_local! {
    static PLACEMENT: RefCell<Placement> = RefCell::default();
}

/// To be called before each round trip, with the keeper's number of `ticks`: the processor that
/// the stub thread must be on, or `None` if it does not matter this time.
pub fn settle(ticks: u32) -> Option<usize> {
    PLACEMENT.with_borrow_mut(|placement| {
        if placement.pinned.is_some() && placement.since != ticks {
            placement.release();
        } else if placement.pinned.is_none() {
            placement.pin(ticks);
        }
        placement.pinned
    })
}

/// To be called before a round trip instead of [`settle`], for a stub thread that is to run at the
/// same time: the processor that it must not be on, and those left to it.
pub fn part(ticks: u32) -> Option<(usize, CpuSet)> {
    PLACEMENT.with_borrow_mut(|placement| {
        if placement.since != ticks {
            placement.release();
        }
        if placement.pinned.is_none() {
            placement.pin(ticks);
        }
        let (pinned, mut others) = (placement.pinned?, placement.usual?);
        others.unset(pinned);
        (others.count() > 0).then_some((pinned, others))
    })
}

/// Whether there is a processor for the calling thread and another for a stub.
pub fn can_part() -> bool {
    sched_getaffinity(None).is_ok_and(|usual| usual.count() > 1)
}

/// Moves the stopped thread `tid` to one of `processors`. Failure costs time and nothing else.
pub fn move_stub_to_any(tid: Tid, processors: &CpuSet) {
    let _ = sched_setaffinity(rustix::process::Pid::from_raw(tid), processors);
}

/// Pins the calling thread, if it is free, until [`release`].
pub fn stay() {
    PLACEMENT.with_borrow_mut(|placement| {
        if placement.pinned.is_none() {
            placement.pin(0);
        }
    });
}

/// Moves the stopped thread `tid` to where the calling thread is pinned, if it is.
pub fn bring(tid: Tid) {
    if let Some(processor) = PLACEMENT.with_borrow(|placement| placement.pinned) {
        move_stub(tid, processor);
    }
}

/// Lets the host choose where the calling thread wakes up next.
pub fn release() {
    PLACEMENT.with_borrow_mut(Placement::release);
}

/// Moves the stopped thread `tid` to `processor`. Failure costs time and nothing else.
pub fn move_stub(tid: Tid, processor: usize) {
    move_stub_to_any(tid, &only(processor));
}

impl Placement {
    fn pin(&mut self, ticks: u32) {
        if self.usual.is_none() {
            self.usual = sched_getaffinity(None).ok();
        }
        let processor = sched_getcpu();
        if self.usual.is_some() && sched_setaffinity(None, &only(processor)).is_ok() {
            (self.pinned, self.since) = (Some(processor), ticks);
        }
    }

    fn release(&mut self) {
        if let Some(usual) = self.usual.as_ref().filter(|_| self.pinned.is_some()) {
            let _ = sched_setaffinity(None, usual);
            self.pinned = None;
        }
    }
}

/// The set of one processor; of none if it is past what a set can hold, which the host refuses.
fn only(processor: usize) -> CpuSet {
    let mut set = CpuSet::new();
    if processor < CpuSet::MAX_CPU {
        set.set(processor);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_frees_the_thread_for_one_round() {
        let usual = sched_getaffinity(None).unwrap();
        let here = settle(1);
        assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        assert_eq!(settle(1), here);
        assert_eq!(settle(2), None);
        assert_eq!(sched_getaffinity(None).unwrap(), usual);
        assert!(settle(2).is_some());
        release();
        assert_eq!(sched_getaffinity(None).unwrap(), usual);
    }
}
