//! The bound on cached names: a clock over all entries of all directories.

use alloc::{collections::VecDeque, sync::Arc};

use spin::mutex::SpinMutex;

use super::{
    SleepMutex,
    dentry::{Dentry, Name, Slot},
};

/// Number of cached names from which on unused ones are dropped.
pub const DEFAULT_LIMIT: usize = 256 * 1024;

/// Entries looked at for each entry added beyond the limit. More than one, so that the cache
/// shrinks back after entries in use have kept it above.
const SCAN_PER_ADDITION: usize = 2;

/// All cached names, in the order in which they are looked at for dropping.
pub struct DentryCache {
    limit: usize,
    queue: SpinMutex<VecDeque<Slot>>,
    /// Held while a directory moves to another parent, so that two moves cannot make a loop.
    pub(super) directory_moves: SleepMutex,
}

impl DentryCache {
    /// A cache that holds about `limit` names besides those in use.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            queue: SpinMutex::new(VecDeque::new()),
            directory_moves: SleepMutex::new(),
        })
    }

    /// Number of names in the queue; one that was removed and made again may count twice.
    pub fn len(&self) -> usize {
        self.queue.lock().len()
    }

    /// Whether nothing is cached.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes that `directory` has the cached entry `name`, and drops old entries if there are too
    /// many. Called without any dentry lock.
    pub(super) fn added(&self, directory: &Arc<Dentry>, name: Name) {
        let mut queue = self.queue.lock();
        queue.push_back(Slot { directory: Arc::downgrade(directory), name });
        let full = queue.len() > self.limit;
        drop(queue);
        if full {
            self.scan(SCAN_PER_ADDITION);
        }
    }

    /// Looks at `count` entries: drops those not used since last time.
    fn scan(&self, count: usize) {
        for _ in 0..count {
            let Some(slot) = self.queue.lock().pop_front() else {
                return;
            };
            let kept = slot
                .directory
                .upgrade()
                .is_some_and(|directory| !directory.drop_unused(&slot.name));
            if kept {
                self.queue.lock().push_back(slot);
            }
        }
    }
}

impl Default for DentryCache {
    fn default() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            queue: SpinMutex::default(),
            directory_moves: SleepMutex::new(),
        }
    }
}
