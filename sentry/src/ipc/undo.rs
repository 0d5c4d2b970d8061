//! What is undone of a process's semaphore operations when it exits (semop(2), SEM_UNDO).

use alloc::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    vec,
    vec::Vec,
};

use spin::mutex::SpinMutex;

use super::{Operation, SemaphoreSet};

/// The sums of one process, by set. The lock comes after that of the set.
#[derive(Default)]
pub struct SemaphoreUndo(SpinMutex<BTreeMap<i32, Sums>>);

struct Sums {
    set: Weak<SemaphoreSet>,
    differences: Vec<i32>,
}

impl SemaphoreUndo {
    /// Notes operations that were done on the set `id` of `count` semaphores.
    pub fn note(&self, id: i32, set: &Arc<SemaphoreSet>, count: usize, operations: &[Operation]) {
        if !operations.iter().any(Operation::is_undone) {
            return;
        }
        let mut all = self.0.lock();
        let new = || Sums { set: Arc::downgrade(set), differences: vec![0; count] };
        let sums = all.entry(id).or_insert_with(new);
        for operation in operations.iter().filter(|operation| operation.is_undone()) {
            if let Some(sum) = sums.differences.get_mut(usize::from(operation.index)) {
                *sum -= i32::from(operation.difference);
            }
        }
    }

    /// Forgets what was noted of semaphores whose value was set (SETVAL, SETALL).
    pub fn forget(&self, id: i32, first: usize, count: usize) {
        if let Some(sums) = self.0.lock().get_mut(&id) {
            let places = sums.differences.iter_mut().skip(first).take(count);
            places.for_each(|place| *place = 0);
        }
    }

    /// Undoes everything, for process `pid` that exits at `now`.
    pub fn apply(&self, pid: u32, now: i64) {
        let all = core::mem::take(&mut *self.0.lock());
        for sums in all.values() {
            if let Some(set) = sums.set.upgrade() {
                set.undo(&sums.differences, pid, now);
            }
        }
    }
}
