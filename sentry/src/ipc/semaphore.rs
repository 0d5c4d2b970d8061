//! Sets of semaphores (semget(2), semop(2)).

use alloc::{vec, vec::Vec};

use spin::mutex::SpinMutex;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Object, Permission};
use crate::{
    errno::{Errno, Result},
    kernel::{PollEvents, WaitQueue},
};

/// Largest value of a semaphore (SEMVMX).
pub const SEMAPHORE_MAX: i32 = 32767;

/// IPC_NOWAIT.
const NO_WAIT: i16 = 0o4000;
/// SEM_UNDO.
const UNDO: i16 = 0x1000;

/// One operation (`struct sembuf`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Operation {
    /// Which semaphore of the set.
    pub index: u16,
    /// What to add; 0 waits until it is 0.
    pub difference: i16,
    flags: i16,
}

impl Operation {
    /// Whether it is undone when the process exits.
    pub const fn is_undone(&self) -> bool {
        self.flags & UNDO != 0
    }
}

/// What a blocked operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A larger value of this semaphore (GETNCNT).
    Increase(u16),
    /// Zero (GETZCNT).
    Zero(u16),
}

/// One semaphore.
#[derive(Clone, Copy, Debug, Default)]
pub struct Semaphore {
    /// Its value.
    pub value: i32,
    /// Who changed it last.
    pub last_user: u32,
}

/// A set.
pub struct SemaphoreSet {
    permission: SpinMutex<Permission>,
    state: SpinMutex<State>,
    /// Told when a value changes, or the set is gone.
    pub changed: WaitQueue,
}

/// The changing part.
struct State {
    semaphores: Vec<Semaphore>,
    waiting: Vec<Waiting>,
    operated: i64,
    changed: i64,
    removed: bool,
}

impl Object for SemaphoreSet {
    fn permission(&self) -> &SpinMutex<Permission> {
        &self.permission
    }
}

impl SemaphoreSet {
    /// `count` semaphores of value 0.
    pub fn new(permission: Permission, count: usize, now: i64) -> Self {
        let state = State {
            semaphores: vec![Semaphore::default(); count],
            waiting: Vec::new(),
            operated: 0,
            changed: now,
            removed: false,
        };
        let permission = SpinMutex::new(permission);
        Self { permission, state: SpinMutex::new(state), changed: WaitQueue::new() }
    }

    /// Number of semaphores.
    pub fn len(&self) -> usize {
        self.state.lock().semaphores.len()
    }

    /// Whether it has none, which is never so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Times of the last operation and the last change.
    pub fn times(&self) -> (i64, i64) {
        let state = self.state.lock();
        (state.operated, state.changed)
    }

    /// Notes a change at `now`.
    pub fn note_changed(&self, now: i64) {
        self.state.lock().changed = now;
    }

    /// All semaphores.
    pub fn semaphores(&self) -> Vec<Semaphore> {
        self.state.lock().semaphores.clone()
    }

    /// Number of operations that wait so.
    pub fn count_waiting(&self, waiting: Waiting) -> usize {
        self.state.lock().waiting.iter().filter(|other| **other == waiting).count()
    }

    /// Sets values from the semaphore `first` on (SETVAL, SETALL), and runs `forget` before
    /// anybody can use them.
    ///
    /// # Errors
    /// ERANGE, EINVAL if there are fewer; EIDRM.
    pub fn set(
        &self,
        first: usize,
        values: &[i32],
        (pid, now): (u32, i64),
        forget: impl FnOnce(),
    ) -> Result<()> {
        {
            let mut state = self.state.lock();
            if values.iter().any(|value| !(0..=SEMAPHORE_MAX).contains(value)) {
                return Err(Errno::ERANGE);
            }
            if state.removed {
                return Err(Errno::EIDRM);
            }
            let end = first.saturating_add(values.len());
            let places = state.semaphores.get_mut(first..end).ok_or(Errno::EINVAL)?;
            for (place, value) in places.iter_mut().zip(values) {
                *place = Semaphore { value: *value, last_user: pid };
            }
            state.changed = now;
            forget();
        }
        self.changed.wake(PollEvents::all());
        Ok(())
    }

    /// Does all `operations` or none; says what one waits for. Once they are done, and before
    /// anybody sees it, runs `note` with the number of semaphores.
    ///
    /// # Errors
    /// EAGAIN for one that may not block; EFBIG for an index out of range; ERANGE; EIDRM.
    pub fn try_operate(
        &self,
        operations: &[Operation],
        (pid, now): (u32, i64),
        note: impl FnOnce(usize),
    ) -> Result<Option<Waiting>> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Errno::EIDRM);
        }
        let mut semaphores = state.semaphores.clone();
        for operation in operations {
            let index = usize::from(operation.index);
            let semaphore = semaphores.get_mut(index).ok_or(Errno::EFBIG)?;
            let new = semaphore.value + i32::from(operation.difference);
            let waiting = match operation.difference {
                0 if semaphore.value != 0 => Some(Waiting::Zero(operation.index)),
                _ if new < 0 => Some(Waiting::Increase(operation.index)),
                _ if new > SEMAPHORE_MAX => return Err(Errno::ERANGE),
                _ => None,
            };
            if let Some(waiting) = waiting {
                let may_wait = operation.flags & NO_WAIT == 0;
                return if may_wait { Ok(Some(waiting)) } else { Err(Errno::EAGAIN) };
            }
            *semaphore = Semaphore { value: new, last_user: pid };
        }
        note(semaphores.len());
        state.semaphores = semaphores;
        state.operated = now;
        drop(state);
        if operations.iter().any(|operation| operation.difference != 0) {
            self.changed.wake(PollEvents::all());
        }
        Ok(None)
    }

    /// Adds `differences` at the exit of process `pid`, as far as values allow.
    pub fn undo(&self, differences: &[i32], pid: u32, now: i64) {
        {
            let mut state = self.state.lock();
            for (semaphore, difference) in state.semaphores.iter_mut().zip(differences) {
                if *difference != 0 {
                    let value = (semaphore.value + difference).clamp(0, SEMAPHORE_MAX);
                    *semaphore = Semaphore { value, last_user: pid };
                }
            }
            state.operated = now;
        }
        self.changed.wake(PollEvents::all());
    }

    /// Notes that an operation waits (or no longer does).
    pub fn note_waiting(&self, waiting: Waiting, begins: bool) {
        let mut state = self.state.lock();
        if begins {
            state.waiting.push(waiting);
        } else if let Some(at) = state.waiting.iter().position(|other| *other == waiting) {
            state.waiting.swap_remove(at);
        }
    }

    /// Ends it: whoever waits fails with EIDRM.
    pub fn end(&self) {
        self.state.lock().removed = true;
        self.changed.wake(PollEvents::all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Credentials;

    fn operation(index: u16, difference: i16, flags: i16) -> Operation {
        Operation { index, difference, flags }
    }

    fn set() -> SemaphoreSet {
        SemaphoreSet::new(Permission::new(1, 0o600, &Credentials::kernel()), 2, 0)
    }

    fn values(set: &SemaphoreSet) -> Vec<i32> {
        set.semaphores().iter().map(|semaphore| semaphore.value).collect()
    }

    #[test]
    fn all_operations_or_none() {
        let set = set();
        let both = [operation(0, 1, 0), operation(1, -1, 0)];
        assert_eq!(set.try_operate(&both, (1, 0), |_| {}), Ok(Some(Waiting::Increase(1))));
        assert_eq!(values(&set), [0, 0]);
        set.set(1, &[1], (1, 0), || {}).unwrap();
        assert_eq!(set.try_operate(&both, (1, 0), |_| {}), Ok(None));
        assert_eq!(values(&set), [1, 0]);
        let zero = [operation(0, 0, NO_WAIT)];
        assert_eq!(set.try_operate(&zero, (1, 0), |_| {}), Err(Errno::EAGAIN));
        assert_eq!(set.try_operate(&[operation(2, 1, 0)], (1, 0), |_| {}), Err(Errno::EFBIG));
        let most = [operation(0, 32767, 0)];
        assert_eq!(set.try_operate(&most, (1, 0), |_| {}), Err(Errno::ERANGE));
    }

    #[test]
    fn what_is_undone_stays_in_range() {
        let set = set();
        set.undo(&[-5, 3], 1, 0);
        assert_eq!(values(&set), [0, 3]);
        set.end();
        assert_eq!(set.try_operate(&[operation(1, -1, 0)], (1, 0), |_| {}), Err(Errno::EIDRM));
    }
}
