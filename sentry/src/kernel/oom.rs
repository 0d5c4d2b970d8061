//! How a process wants to be treated when memory runs out (proc_pid_oom_score_adj(5)).

use core::sync::atomic::{AtomicI32, Ordering};

use crate::errno::{Errno, Result};

/// The least value: the process is never chosen.
const LEAST: i32 = -1000;
/// The greatest: it is chosen first.
const GREATEST: i32 = 1000;

/// The adjustment of a process, and what it may be lowered to without privilege.
#[derive(Debug, Default)]
pub struct OomAdjustment {
    value: AtomicI32,
    least: AtomicI32,
}

impl OomAdjustment {
    /// A child's, which is the same.
    pub fn inherited(&self) -> Self {
        Self {
            value: AtomicI32::new(self.get()),
            least: AtomicI32::new(self.least.load(Ordering::Relaxed)),
        }
    }

    /// The value.
    pub fn get(&self) -> i32 {
        self.value.load(Ordering::Relaxed)
    }

    /// Changes it.
    ///
    /// # Errors
    /// EINVAL if it is out of range; EACCES if it is less than a `privileged` one (with
    /// CAP_SYS_RESOURCE) last set it to.
    pub fn set(&self, value: i32, privileged: bool) -> Result<()> {
        if !(LEAST..=GREATEST).contains(&value) {
            return Err(Errno::EINVAL);
        }
        if privileged {
            self.least.store(value, Ordering::Relaxed);
        } else if value < self.least.load(Ordering::Relaxed) {
            return Err(Errno::EACCES);
        }
        self.value.store(value, Ordering::Relaxed);
        Ok(())
    }

    /// How bad it would be to lose the least of a process that uses `used` of `total` pages: 0 to
    /// 1333 (mm/oom_kill.c, `proc_oom_score`).
    pub fn score(&self, used: u64, total: u64) -> u64 {
        let (adjustment, total) = (i128::from(self.get()), i128::from(total.max(1)));
        if adjustment == i128::from(LEAST) {
            return 0;
        }
        let badness = i128::from(used) + adjustment * total / 1000;
        let score = (1000 + badness * 1000 / total) * 2 / 3;
        u64::try_from(score).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_privileged_lower_it() {
        let adjustment = OomAdjustment::default();
        assert_eq!(adjustment.set(1001, true), Err(Errno::EINVAL));
        assert_eq!(adjustment.set(500, false), Ok(()));
        assert_eq!(adjustment.set(0, false), Ok(()));
        assert_eq!(adjustment.set(-1, false), Err(Errno::EACCES));
        assert_eq!(adjustment.set(-500, true), Ok(()));
        let child = adjustment.inherited();
        assert_eq!(child.set(-500, false), Ok(()));
        assert_eq!(child.get(), -500);
    }

    #[test]
    fn the_score_follows_memory_and_adjustment() {
        let adjustment = OomAdjustment::default();
        assert_eq!(adjustment.score(0, 1000), 666);
        assert_eq!(adjustment.score(1000, 1000), 1333);
        adjustment.set(-1000, true).unwrap();
        assert_eq!(adjustment.score(1000, 1000), 0);
    }
}
