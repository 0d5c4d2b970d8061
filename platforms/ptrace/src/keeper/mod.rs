//! The keeper: the thread that traces the leaders of all stub processes.
//!
//! A tracee obeys only the thread that traces it. The leaders belong to the keeper, so there is
//! always a stopped thread to change the mappings of a process with, whatever its executors do;
//! waiting for an executor could deadlock, since it may wait for a lock of the sentry.
//!
//! The keeper waits for no lock but that of its queue, so others may wait for it with locks held. Its
//! second office is to end time slices.

mod stubs;

pub use stubs::{clone_thread, end_process, fork_process, make_template};

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
        mpsc,
    },
    thread::JoinHandle,
};

use rustix::event::{EventfdFlags, eventfd};

use crate::{
    clock,
    executor::{Executor, NEVER, ring, wait_for_event, wakeable_by},
    placement,
};

/// Its stack; less than a huge page, by which the host may back a larger one.
const STACK_BYTES: usize = 256 << 10;

/// Length of a time slice.
const SLICE_NANOSECONDS: u64 = 10_000_000;

type Job = Box<dyn FnOnce() + Send>;

/// The keeper thread, as the others see it.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    wake: OwnedFd,
    epoll: OwnedFd,
    jobs: Mutex<VecDeque<Job>>,
    /// When the keeper will look at the executors next, at the latest. [`NEVER`] if none has been
    /// in user mode lately; 0 if it has been woken to plan anew.
    looks_at: AtomicU64,
    /// Number of ticks; wraps.
    ticks: AtomicU32,
    stopping: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("looks_at", &self.looks_at).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Starts the keeper of `executors`, after whom the eventfds `calls` wake it.
    pub fn start(executors: Arc<[Executor]>, calls: &[OwnedFd]) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let epoll = wakeable_by(&wake, calls)?;
        let shared = Arc::new(Shared {
            wake,
            epoll,
            jobs: Mutex::default(),
            looks_at: AtomicU64::new(NEVER),
            ticks: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
        });
        let seen = vec![0; executors.len()];
        let watch = Watch { shared: shared.clone(), executors, seen, next_tick: NEVER };
        let thread = std::thread::Builder::new().name("keeper".into()).stack_size(STACK_BYTES);
        let thread = thread.spawn(|| watch.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has the keeper do `job`, sooner or later.
    pub fn post(&self, job: impl FnOnce() + Send + 'static) {
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner).push_back(Box::new(job));
        ring(self.shared.wake.as_fd());
    }

    /// Has the keeper do `job` and waits for its result; `None` if the keeper is no more.
    pub fn call<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.post(move || drop(sender.send(job())));
        receiver.recv().ok()
    }

    /// Number of ticks so far, one a time slice while anyone is in user mode; wraps.
    pub fn ticks(&self) -> u32 {
        self.shared.ticks.load(Relaxed)
    }

    /// To be called when an executor is in user mode, at most until `deadline`: has the keeper see
    /// to it that it leaves.
    #[inline]
    pub fn watch(&self, deadline: u64) {
        if self.shared.looks_at.load(SeqCst) > deadline.min(NEVER - 1) {
            self.shared.looks_at.store(0, SeqCst);
            ring(self.shared.wake.as_fd());
        }
    }
}

impl Drop for Keeper {
    /// Does the jobs that are left, and ends the thread.
    fn drop(&mut self) {
        self.shared.stopping.store(true, SeqCst);
        ring(self.shared.wake.as_fd());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The keeper's own view.
struct Watch {
    shared: Arc<Shared>,
    executors: Arc<[Executor]>,
    /// The `entries` of each executor at the last tick.
    seen: Vec<u32>,
    next_tick: u64,
}

impl Watch {
    fn run(mut self) {
        loop {
            let stopping = self.shared.stopping.load(SeqCst);
            self.do_jobs();
            if stopping {
                return;
            }
            let now = clock::monotonic();
            let next = self.look(now);
            let timeout = (next != NEVER).then(|| next - now);
            if wait_for_event(self.shared.epoll.as_fd(), timeout) == Ok(true) {
                self.deliver_call();
            }
        }
    }

    fn do_jobs(&self) {
        loop {
            let job = self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(job) = job else { break };
            placement::stay();
            job();
        }
        placement::release();
    }

    /// Interrupts whoever is due; answers when to look again, after `now`.
    fn look(&mut self, now: u64) -> u64 {
        if now >= self.next_tick {
            self.next_tick = if self.tick() { now + SLICE_NANOSECONDS } else { NEVER };
        }
        // An executor announces itself before it reads this; the keeper does it the other way
        // round, so one of them notices the other.
        self.shared.looks_at.store(self.next_tick, SeqCst);
        if self.next_tick == NEVER && self.anyone_entered() {
            self.next_tick = now + SLICE_NANOSECONDS;
        }
        let mut next = self.next_tick;
        for executor in &*self.executors {
            match executor.deadline() {
                Some(deadline) if deadline <= now => executor.interrupt(),
                Some(deadline) => next = next.min(deadline),
                None => {}
            }
        }
        self.shared.looks_at.store(next, SeqCst);
        next
    }

    /// Interrupts the executors that have been in user mode since the last tick. False if nobody
    /// has been there at all.
    fn tick(&mut self) -> bool {
        self.shared.ticks.fetch_add(1, Relaxed);
        let mut active = false;
        for (executor, seen) in self.executors.iter().zip(&mut self.seen) {
            let entries = executor.entries();
            if entries != *seen {
                *seen = entries;
                active = true;
            } else if executor.is_in_user_mode() {
                executor.interrupt();
                active = true;
            }
        }
        active
    }

    fn anyone_entered(&self) -> bool {
        self.executors.iter().zip(&self.seen).any(|(executor, seen)| executor.entries() != *seen)
    }

    /// A device called and no executor was idle: one has to come out of user mode for it. Those in
    /// the kernel look at the devices before they sleep.
    fn deliver_call(&self) {
        if let Some(executor) = self.executors.iter().find(|executor| executor.is_in_user_mode()) {
            executor.interrupt();
        }
    }
}
