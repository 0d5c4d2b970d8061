//! All filters of a task, and what is known of their verdicts.

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

use super::{Action, CallData, Program, Verdict};
use crate::errno::{Errno, Result};

/// Most instructions of all filters of a task together, each filter counting four more
/// (MAX_INSNS_PER_PATH of kernel/seccomp.c).
const MAX_TOTAL_INSTRUCTIONS: usize = 32768;
const FILTER_OVERHEAD: usize = 4;

/// Numbers of calls below this are remembered.
const REMEMBERED: u32 = 512;

/// One filter.
#[derive(Debug)]
pub struct Filter {
    /// What it runs.
    pub program: Program,
    /// Whether the host's log tells of every call it does not simply allow
    /// (SECCOMP_FILTER_FLAG_LOG).
    pub logs: bool,
}

/// Filters in the order they were installed. Immutable but for what it remembers: a task that
/// installs one more gets another list, and its children share it.
#[derive(Debug, Default)]
pub struct Filters {
    filters: Vec<Arc<Filter>>,
    /// Calls (a bit a number) of which it is known whether all filters allow them whatever their
    /// arguments, and those that they do. A bit of `allowed` is set before that of `known`.
    known: [AtomicU64; REMEMBERED as usize / 64],
    allowed: [AtomicU64; REMEMBERED as usize / 64],
}

impl Filters {
    /// These filters and one more.
    ///
    /// # Errors
    /// ENOMEM if all together are too long.
    pub fn with(&self, filter: Filter) -> Result<Self> {
        let mut filters = self.filters.clone();
        filters.push(Arc::new(filter));
        let cost = |filter: &Arc<Filter>| filter.program.length() + FILTER_OVERHEAD;
        if filters.iter().map(cost).sum::<usize>() > MAX_TOTAL_INSTRUCTIONS {
            return Err(Errno::ENOMEM);
        }
        Ok(Self { filters, ..Self::default() })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.filters.len()
    }

    /// Whether `other` has all these filters, in the same order, before any more.
    pub fn is_beginning_of(&self, other: &Self) -> bool {
        let pairs = self.filters.iter().zip(&other.filters);
        self.count() <= other.count() && pairs.into_iter().all(|(one, two)| Arc::ptr_eq(one, two))
    }

    /// Whether all calls with this number are allowed, whatever their arguments. Decided at the
    /// first call, since most numbers are never used.
    pub fn always_allows(&self, number: u32) -> bool {
        let Some(index) = usize::try_from(number / 64).ok().filter(|_| number < REMEMBERED) else {
            return false;
        };
        let (Some(known), Some(allowed)) = (self.known.get(index), self.allowed.get(index)) else {
            return false;
        };
        let bit = 1 << (number % 64);
        if known.load(Ordering::Acquire) & bit == 0 {
            let allows = |filter: &Arc<Filter>| {
                filter.program.constant_verdict(number).map(Verdict::action) == Some(Action::Allow)
            };
            if self.filters.iter().all(allows) {
                allowed.fetch_or(bit, Ordering::Relaxed);
            }
            known.fetch_or(bit, Ordering::Release);
        }
        allowed.load(Ordering::Relaxed) & bit != 0
    }

    /// The strictest verdict, and whether the filter that gave it wants it logged. Of two equally
    /// strict the later filter's counts (seccomp(2)).
    pub fn judge(&self, data: &CallData) -> (Verdict, bool) {
        let mut strictest = (Verdict::ALLOW, false);
        for filter in self.filters.iter().rev() {
            let verdict = filter.program.run(data);
            if verdict.rank() < strictest.0.rank() {
                strictest = (verdict, filter.logs);
            }
        }
        strictest
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Instruction, *};

    /// A filter that answers `other` for the call 39 and `rest` for all others.
    fn filter(other: u32, rest: u32) -> Filter {
        let instruction =
            |code, jump_false, operand| Instruction { code, jump_true: 0, jump_false, operand };
        let code = [
            instruction(0x20, 0, 0),
            instruction(0x15, 1, 39),
            instruction(0x06, 0, other),
            instruction(0x06, 0, rest),
        ];
        Filter { program: Program::new(&code).unwrap(), logs: false }
    }

    fn judge(filters: &Filters, number: u32) -> u32 {
        filters.judge(&CallData { number, ..CallData::default() }).0.0
    }

    #[test]
    fn the_strictest_and_of_equals_the_latest_counts() {
        let allow = Verdict::ALLOW.0;
        let one = Filters::default().with(filter(0x0005_0001, allow)).unwrap();
        let two = one.with(filter(0x0005_0002, allow)).unwrap();
        assert_eq!(judge(&two, 39), 0x0005_0002);
        let three = two.with(filter(allow, 0x8000_0000)).unwrap();
        assert_eq!(judge(&three, 39), 0x0005_0002);
        assert_eq!(judge(&three, 40), 0x8000_0000);
        assert!(one.is_beginning_of(&three) && !three.is_beginning_of(&one));
        assert!(!Filters::default().with(filter(0, 0)).unwrap().is_beginning_of(&one));
    }

    #[test]
    fn what_is_always_allowed_is_remembered() {
        let filters = Filters::default().with(filter(0x0005_0001, Verdict::ALLOW.0)).unwrap();
        for _ in 0..2 {
            assert!(!filters.always_allows(39));
            assert!(filters.always_allows(0) && filters.always_allows(511));
            assert!(!filters.always_allows(512));
        }
    }

    #[test]
    fn the_length_of_all_is_limited() {
        let long = || {
            let code = alloc::vec![Instruction { code: 0x06, ..Instruction::default() }; 4096];
            Filter { program: Program::new(&code).unwrap(), logs: false }
        };
        let mut filters = Filters::default();
        for _ in 0..7 {
            filters = filters.with(long()).unwrap();
        }
        assert_eq!(filters.with(long()).err(), Some(Errno::ENOMEM));
    }
}
