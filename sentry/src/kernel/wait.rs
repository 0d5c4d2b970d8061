//! Blocking: a wait ends by its condition, its deadline, or a signal.

use core::{future::Future, pin::pin, task::Poll};

use super::{Current, TimerId, Timers};
use crate::errno::Errno;

/// A time on CLOCK_MONOTONIC, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub u64);

/// What a task waits for; shown of a stuck one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitReason {
    /// It does not wait.
    #[default]
    Running,
    /// Data or space in a pipe, socket, terminal or other stream.
    Stream,
    /// Readiness of one of several files.
    Poll,
    /// A futex.
    Futex,
    /// A child.
    Child,
    /// A signal.
    Signal,
    /// A point of time.
    Time,
    /// A lock on a file.
    FileLock,
    /// A semaphore, or a message.
    Ipc,
    /// An answer of a device.
    Device,
    /// The other side of a vfork.
    Vfork,
    /// The other threads' end, in execve(2).
    Threads,
    /// Stopped by a signal.
    Stopped,
}

/// Why a wait ended without its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// A signal is to be delivered.
    Signal,
    /// The deadline passed.
    TimedOut,
}

impl Interruption {
    /// The errno of most calls: EINTR or ETIMEDOUT.
    pub const fn errno(self) -> Errno {
        match self {
            Self::Signal => Errno::EINTR,
            Self::TimedOut => Errno::ETIMEDOUT,
        }
    }
}

/// Removes the timer of a wait when it ends.
struct TimerGuard<'a> {
    timers: &'a Timers,
    id: Option<TimerId>,
}

impl Drop for TimerGuard<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.timers.cancel(id);
        }
    }
}

impl Current {
    /// Waits for `future`, until `deadline` or a signal that is to be delivered.
    ///
    /// # Errors
    /// [`Interruption`] if either came first.
    pub async fn wait<T>(
        &self,
        reason: WaitReason,
        deadline: Option<Deadline>,
        future: impl Future<Output = T> + Send,
    ) -> Result<T, Interruption> {
        let kernel = &self.kernel;
        let mut timer = TimerGuard { timers: &kernel.timers, id: None };
        let mut future = pin!(future);
        self.task.set_wait_reason(reason);
        let outcome = core::future::poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(value));
            }
            if self.task.has_deliverable_signal() {
                return Poll::Ready(Err(Interruption::Signal));
            }
            let Some(Deadline(deadline)) = deadline else {
                return Poll::Pending;
            };
            if kernel.platform.monotonic_nanoseconds() >= deadline {
                return Poll::Ready(Err(Interruption::TimedOut));
            }
            timer
                .id
                .get_or_insert_with(|| kernel.timers.add_waker(deadline, context.waker().clone()));
            Poll::Pending
        })
        .await;
        self.task.set_wait_reason(WaitReason::Running);
        outcome
    }

    /// Waits for `future`; only the end of this task comes before it. `None` if that happened.
    pub async fn wait_killable<T>(
        &self,
        reason: WaitReason,
        future: impl Future<Output = T> + Send,
    ) -> Option<T> {
        let mut future = pin!(future);
        self.task.set_wait_reason(reason);
        let outcome = core::future::poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            if self.commanded_end().is_some() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await;
        self.task.set_wait_reason(WaitReason::Running);
        outcome
    }
}
