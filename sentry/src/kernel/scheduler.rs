//! The scheduler: futures, run queues, and who runs where.
//!
//! A [`Runnable`] is one future with a home executor. It moves only when it asks to, between two
//! polls, so processor state that a platform keeps per executor never has to be chased.
//!
//! Locks: a run queue's lock and a runnable's future are never held together.

use alloc::{
    boxed::Box,
    collections::VecDeque,
    sync::{Arc, Weak},
    task::Wake,
    vec::Vec,
};
use core::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU8, AtomicU16, AtomicUsize, Ordering, fence},
    task::{Context, Poll, Waker},
};

use spin::mutex::SpinMutex;

use crate::platform::{ExecutorId, PlatformRef};

/// A future on the heap that any executor may poll.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// All run queues.
pub struct Scheduler {
    platform: PlatformRef,
    executors: Vec<Executor>,
}

struct Executor {
    ready: SpinMutex<VecDeque<Arc<Runnable>>>,
    activity: AtomicU8,
    /// Times it has entered user code.
    entries: AtomicUsize,
    /// Runnables at home here that are queued or being polled.
    load: AtomicUsize,
}

/// What an executor does; others look at it to decide whether a wake-up needs an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// Sentry code.
    Kernel = 0,
    /// User code.
    User = 1,
    /// Nothing.
    Idle = 2,
}

/// A future with its scheduling state.
pub struct Runnable {
    scheduler: Weak<Scheduler>,
    home: AtomicU16,
    state: AtomicU8,
    future: SpinMutex<Option<BoxFuture<'static, ()>>>,
}

/// States of a [`Runnable`].
mod state {
    pub const WAITING: u8 = 0;
    pub const QUEUED: u8 = 1;
    pub const RUNNING: u8 = 2;
    /// Running, and woken since: to be polled again.
    pub const RUNNING_WOKEN: u8 = 3;
    pub const DONE: u8 = 4;
}

impl Scheduler {
    /// A scheduler for all executors of `platform`.
    pub fn new(platform: PlatformRef) -> Arc<Self> {
        let executors = (0..platform.executor_count()).map(|_| Executor::new()).collect();
        Arc::new(Self { platform, executors })
    }

    /// Makes a runnable on the least loaded executor. It does not run before [`Self::start`], so
    /// that its future may be given a reference to it.
    pub fn create(self: &Arc<Self>) -> Arc<Runnable> {
        self.create_on(self.least_loaded())
    }

    fn create_on(self: &Arc<Self>, executor: ExecutorId) -> Arc<Runnable> {
        Arc::new(Runnable {
            scheduler: Arc::downgrade(self),
            home: AtomicU16::new(executor.0),
            state: AtomicU8::new(state::WAITING),
            future: SpinMutex::new(None),
        })
    }

    /// Gives `runnable` its future and queues it.
    pub fn start(&self, runnable: &Arc<Runnable>, future: BoxFuture<'static, ()>) {
        *runnable.future.lock() = Some(future);
        runnable.wake_by_ref();
    }

    /// Runs `future` to its end, independently of the caller.
    pub fn spawn(self: &Arc<Self>, future: BoxFuture<'static, ()>) {
        let runnable = self.create();
        self.start(&runnable, future);
    }

    /// The same on `executor`, however loaded that is.
    pub fn spawn_on(self: &Arc<Self>, executor: ExecutorId, future: BoxFuture<'static, ()>) {
        self.start(&self.create_on(executor), future);
    }

    /// Polls one queued runnable of `executor`; false if there is none.
    pub fn run_one(&self, executor: ExecutorId) -> bool {
        let Some(own) = self.executor(executor) else {
            return false;
        };
        let Some(runnable) = own.ready.lock().pop_front() else {
            return false;
        };
        runnable.state.swap(state::RUNNING, Ordering::AcqRel);
        let finished = runnable.poll();
        own.load.fetch_sub(1, Ordering::Relaxed);
        if finished {
            runnable.state.store(state::DONE, Ordering::Release);
            return true;
        }
        let settled = runnable.state.compare_exchange(
            state::RUNNING,
            state::WAITING,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if settled.is_err() {
            runnable.state.store(state::QUEUED, Ordering::Release);
            self.enqueue(runnable);
        }
        true
    }

    /// Whether `executor` has queued runnables.
    pub fn has_work(&self, executor: ExecutorId) -> bool {
        self.executor(executor).is_some_and(|executor| !executor.ready.lock().is_empty())
    }

    /// Whether runnables besides the one being polled wait for `executor`; takes no lock.
    pub fn has_others(&self, executor: ExecutorId) -> bool {
        self.executor(executor).is_some_and(|executor| executor.load.load(Ordering::SeqCst) > 1)
    }

    /// Notes what `executor` does from now on.
    pub fn set_activity(&self, executor: ExecutorId, activity: Activity) {
        if let Some(executor) = self.executor(executor) {
            if activity == Activity::User {
                executor.entries.fetch_add(1, Ordering::Relaxed);
            }
            // Who takes it to do what it did before only interrupts it for nothing.
            let ordering =
                if activity == Activity::Kernel { Ordering::Release } else { Ordering::SeqCst };
            executor.activity.store(activity as u8, ordering);
        }
    }

    /// Waits until every executor has passed a memory barrier: those that run user code now have
    /// left it once. All others pass one before they enter it.
    pub async fn pass_barriers(&self) {
        fence(Ordering::SeqCst);
        let is_in_user_code = |id: ExecutorId| self.activity(id) == Some(Activity::User as u8);
        let entries = |id: ExecutorId| {
            self.executor(id).map_or(0, |executor| executor.entries.load(Ordering::SeqCst))
        };
        let mut waited_for: Vec<_> =
            self.ids().map(|id| (id, entries(id))).filter(|(id, _)| is_in_user_code(*id)).collect();
        waited_for.iter().for_each(|(id, _)| self.platform.interrupt(*id));
        loop {
            waited_for.retain(|(id, before)| is_in_user_code(*id) && entries(*id) == *before);
            if waited_for.is_empty() {
                return;
            }
            yield_now().await;
        }
    }

    /// An executor with nothing to do, if there is one.
    pub fn idle_executor(&self) -> Option<ExecutorId> {
        let idle = |executor: &Executor| {
            executor.activity.load(Ordering::SeqCst) == Activity::Idle as u8
                && executor.load.load(Ordering::Relaxed) == 0
        };
        self.ids().zip(&self.executors).find(|(_, executor)| idle(executor)).map(|(id, _)| id)
    }

    /// Interrupts every executor; after a change that all must see.
    pub fn interrupt_all(&self) {
        self.ids().for_each(|id| self.platform.interrupt(id));
    }

    fn activity(&self, executor: ExecutorId) -> Option<u8> {
        self.executor(executor).map(|executor| executor.activity.load(Ordering::SeqCst))
    }

    fn ids(&self) -> impl Iterator<Item = ExecutorId> {
        (0..).map(ExecutorId).take(self.executors.len())
    }

    fn executor(&self, id: ExecutorId) -> Option<&Executor> {
        self.executors.get(usize::from(id.0))
    }

    fn least_loaded(&self) -> ExecutorId {
        self.ids()
            .zip(&self.executors)
            .min_by_key(|(_, executor)| executor.load.load(Ordering::Relaxed))
            .map_or(ExecutorId(0), |(id, _)| id)
    }

    fn enqueue(&self, runnable: Arc<Runnable>) {
        let home = runnable.executor();
        let Some(executor) = self.executor(home) else {
            return;
        };
        executor.load.fetch_add(1, Ordering::SeqCst);
        executor.ready.lock().push_back(runnable);
        // An executor in sentry code looks at its queue before it sleeps or enters user code.
        if executor.activity.load(Ordering::SeqCst) != Activity::Kernel as u8 {
            self.platform.interrupt(home);
        }
    }
}

impl Executor {
    fn new() -> Self {
        Self {
            ready: SpinMutex::new(VecDeque::new()),
            activity: AtomicU8::new(Activity::Kernel as u8),
            entries: AtomicUsize::new(0),
            load: AtomicUsize::new(0),
        }
    }
}

impl Runnable {
    /// The executor it runs on.
    pub fn executor(&self) -> ExecutorId {
        ExecutorId(self.home.load(Ordering::Relaxed))
    }

    /// Moves it to `executor` from its next poll on. Only for the runnable itself, or before it
    /// started; its processor state must have been saved.
    pub fn set_executor(&self, executor: ExecutorId) {
        self.home.store(executor.0, Ordering::Relaxed);
    }

    /// Wakes it, and if it runs user code makes it leave that.
    pub fn wake_now(self: &Arc<Self>) {
        self.wake_by_ref();
        let Some(scheduler) = self.scheduler.upgrade() else { return };
        let home = self.executor();
        if scheduler.activity(home) == Some(Activity::User as u8) {
            scheduler.platform.interrupt(home);
        }
    }

    /// Polls the future; true if it has finished.
    fn poll(self: &Arc<Self>) -> bool {
        let waker = Waker::from(self.clone());
        let mut context = Context::from_waker(&waker);
        let mut slot = self.future.lock();
        let finished =
            slot.as_mut().is_none_or(|future| future.as_mut().poll(&mut context).is_ready());
        if finished {
            *slot = None;
        }
        finished
    }
}

impl Wake for Runnable {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let next = |current| match current {
            state::WAITING => state::QUEUED,
            state::RUNNING => state::RUNNING_WOKEN,
            other => other,
        };
        // Written though nothing changes: who polls it next must see what the waker did before this.
        let old =
            self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| Some(next(old)));
        if old == Ok(state::WAITING)
            && let Some(scheduler) = self.scheduler.upgrade()
        {
            scheduler.enqueue(self.clone());
        }
    }
}

/// Lets the other runnables of this executor go first.
pub fn yield_now() -> impl Future<Output = ()> + Send {
    let mut yielded = false;
    core::future::poll_fn(move |context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
