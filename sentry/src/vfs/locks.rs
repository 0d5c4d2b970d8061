//! Advisory locks: flock(2), and record locks by process or by description (fcntl(2)).
//!
//! All locks of the kernel are in one table, by inode. Whoever waits for one looks again whenever
//! any lock goes; locks are rarely contended. The table's lock is a leaf.

use alloc::vec::Vec;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use spin::mutex::SpinMutex;

use super::InodeKey;
use crate::kernel::{PollEvents, WaitQueue};

/// Who holds a lock. Descriptor tables and descriptions are told apart by where they are; they
/// give up their locks before they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOwner {
    /// A process, by its descriptor table.
    Process(usize),
    /// An open file description.
    Description(usize),
}

/// A lock on a range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLock {
    /// Its holder.
    pub owner: LockOwner,
    /// Process id to show; 0 for a description's.
    pub pid: u32,
    /// First byte.
    pub start: u64,
    /// Last byte; `u64::MAX` for "to the end".
    pub last: u64,
    /// Whether it excludes all others; else only exclusive ones.
    pub exclusive: bool,
}

impl RangeLock {
    const fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.last && other.start <= self.last
    }

    fn conflicts(&self, other: &Self) -> bool {
        self.owner != other.owner && self.overlaps(other) && (self.exclusive || other.exclusive)
    }

    /// What remains of it, on both sides, without the bytes of `cut`.
    fn without(self, cut: &Self) -> impl Iterator<Item = Self> {
        let before =
            (self.start < cut.start).then(|| Self { last: self.last.min(cut.start - 1), ..self });
        let after =
            (self.last > cut.last).then(|| Self { start: self.start.max(cut.last + 1), ..self });
        before.into_iter().chain(after)
    }
}

/// Locks of one inode.
#[derive(Default)]
struct FileLocks {
    whole: Vec<(LockOwner, bool)>,
    ranges: Vec<RangeLock>,
}

/// All advisory locks.
#[derive(Default)]
pub struct Locks {
    files: SpinMutex<HashMap<InodeKey, FileLocks, FxBuildHasher>>,
    released: WaitQueue,
}

impl Locks {
    /// Where to wait for a lock to go.
    pub const fn wait_queue(&self) -> &WaitQueue {
        &self.released
    }

    /// Gives `owner` the lock of flock(2) in place of the one it has; false if another's is in
    /// the way.
    pub fn try_lock_whole(&self, file: InodeKey, owner: LockOwner, exclusive: bool) -> bool {
        let mut files = self.files.lock();
        let locks = files.entry(file).or_default();
        let old = locks.whole.len();
        locks.whole.retain(|(holder, _)| *holder != owner);
        let lost = old != locks.whole.len();
        let free = locks.whole.iter().all(|(_, theirs)| !exclusive && !theirs);
        if free {
            locks.whole.push((owner, exclusive));
        }
        drop(files);
        if lost {
            self.released.wake(PollEvents::OUT);
        }
        free
    }

    /// Takes `owner`'s lock of flock(2).
    pub fn unlock_whole(&self, file: InodeKey, owner: LockOwner) {
        self.change(file, |locks| locks.whole.retain(|(holder, _)| *holder != owner));
    }

    /// Gives the lock; false if another's is in the way.
    pub fn try_lock_range(&self, file: InodeKey, lock: RangeLock) -> bool {
        let mut files = self.files.lock();
        let locks = files.entry(file).or_default();
        if locks.ranges.iter().any(|other| other.conflicts(&lock)) {
            return false;
        }
        locks.cut(&lock);
        locks.ranges.push(lock);
        drop(files);
        // A lock may have become a shared one.
        self.released.wake(PollEvents::OUT);
        true
    }

    /// Takes the owner's locks on the bytes of `range`.
    pub fn unlock_range(&self, file: InodeKey, range: &RangeLock) {
        self.change(file, |locks| locks.cut(range));
    }

    /// A lock that is in the way of `wanted`.
    pub fn conflict(&self, file: InodeKey, wanted: &RangeLock) -> Option<RangeLock> {
        let files = self.files.lock();
        files.get(&file)?.ranges.iter().find(|other| other.conflicts(wanted)).copied()
    }

    /// Takes all locks that `owner` has on `file`.
    pub fn release(&self, file: InodeKey, owner: LockOwner) {
        self.change(file, |locks| {
            locks.whole.retain(|(holder, _)| *holder != owner);
            locks.ranges.retain(|lock| lock.owner != owner);
        });
    }

    fn change(&self, file: InodeKey, change: impl FnOnce(&mut FileLocks)) {
        let mut files = self.files.lock();
        let Some(locks) = files.get_mut(&file) else { return };
        change(locks);
        if locks.whole.is_empty() && locks.ranges.is_empty() {
            files.remove(&file);
        }
        drop(files);
        self.released.wake(PollEvents::OUT);
    }
}

impl FileLocks {
    /// Removes the bytes of `range` from its owner's locks.
    fn cut(&mut self, range: &RangeLock) {
        let mut kept = Vec::with_capacity(self.ranges.len());
        for lock in self.ranges.drain(..) {
            if lock.owner == range.owner && lock.overlaps(range) {
                kept.extend(lock.without(range));
            } else {
                kept.push(lock);
            }
        }
        self.ranges = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::DeviceNumber;

    const FILE: InodeKey = InodeKey { device: DeviceNumber { major: 0, minor: 1 }, inode: 5 };
    const ONE: LockOwner = LockOwner::Process(1);
    const OTHER: LockOwner = LockOwner::Process(2);

    fn range(owner: LockOwner, start: u64, last: u64, exclusive: bool) -> RangeLock {
        RangeLock { owner, pid: 1, start, last, exclusive }
    }

    #[test]
    fn shared_locks_admit_each_other() {
        let locks = Locks::default();
        assert!(locks.try_lock_whole(FILE, ONE, false));
        assert!(locks.try_lock_whole(FILE, OTHER, false));
        assert!(!locks.try_lock_whole(FILE, OTHER, true));
        locks.release(FILE, ONE);
        assert!(locks.try_lock_whole(FILE, OTHER, true));
        assert!(!locks.try_lock_whole(FILE, ONE, false));
    }

    #[test]
    fn unlocking_the_middle_splits_a_lock() {
        let locks = Locks::default();
        assert!(locks.try_lock_range(FILE, range(ONE, 0, 99, true)));
        assert!(!locks.try_lock_range(FILE, range(OTHER, 50, 50, false)));
        locks.unlock_range(FILE, &range(ONE, 40, 59, false));
        assert!(locks.try_lock_range(FILE, range(OTHER, 50, 50, true)));
        assert_eq!(
            locks.conflict(FILE, &range(OTHER, 30, 45, false)).map(|lock| (lock.start, lock.last)),
            Some((0, 39))
        );
        assert_eq!(
            locks.conflict(FILE, &range(OTHER, 60, u64::MAX, false)).map(|lock| lock.start),
            Some(60)
        );
    }
}
