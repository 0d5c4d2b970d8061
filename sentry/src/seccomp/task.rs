//! What a task has of it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, Ordering};

use spin::mutex::SpinMutex;

use super::Filters;

/// How calls of a task are judged, with the numbers of `<linux/seccomp.h>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Not at all.
    Disabled = 0,
    /// Only read, write, exit and rt_sigreturn are served.
    Strict = 1,
    /// By filters.
    Filter = 2,
}

/// The state of one task. Other tasks read it, and one of its process may replace it
/// (SECCOMP_FILTER_FLAG_TSYNC). Its lock comes after that of the process's state.
#[derive(Debug, Default)]
pub struct TaskSeccomp {
    mode: AtomicU8,
    filters: SpinMutex<Arc<Filters>>,
}

impl TaskSeccomp {
    /// How calls are judged.
    #[inline]
    pub fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Relaxed) {
            0 => Mode::Disabled,
            1 => Mode::Strict,
            _ => Mode::Filter,
        }
    }

    /// Its filters.
    pub fn filters(&self) -> Arc<Filters> {
        self.filters.lock().clone()
    }

    /// Whether its filters allow every call with this number.
    pub fn always_allows(&self, number: u32) -> bool {
        self.filters.lock().always_allows(number)
    }

    /// Enters strict mode.
    pub fn set_strict(&self) {
        self.mode.store(Mode::Strict as u8, Ordering::Relaxed);
    }

    /// Replaces its filters.
    pub fn set_filters(&self, filters: Arc<Filters>) {
        let old = core::mem::replace(&mut *self.filters.lock(), filters);
        self.mode.store(Mode::Filter as u8, Ordering::Relaxed);
        drop(old);
    }

    /// Takes over the state of `parent`; for a task that does not run yet.
    pub fn inherit(&self, parent: &Self) {
        match parent.mode() {
            Mode::Disabled => {}
            Mode::Strict => self.set_strict(),
            Mode::Filter => self.set_filters(parent.filters()),
        }
    }
}
