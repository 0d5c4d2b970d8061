//! The keeper: the thread that traces the leaders of all stub processes.
//!
//! A tracee obeys only the thread that traces it. The leaders belong to the keeper, so there is
//! always a stopped thread to change the mappings of a process with, whatever its executors do;
//! waiting for an executor could deadlock, since it may wait for a lock of the sentry.
//!
//! The keeper takes no lock but that of its queue, so others may wait for it with locks held. Its
//! second office is to end time slices.

mod stubs;

pub use stubs::{clone_thread, end_process, fork_process, make_template};

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread::JoinHandle,
};

use rustix::event::{EventfdFlags, eventfd};

use crate::{
    clock,
    executor::{Executor, ring, wait_for_event, wakeable_by},
};

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
    /// No executor has been in user mode lately, so nobody watches the time slices.
    off_duty: AtomicBool,
    stopping: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("off_duty", &self.off_duty)
            .finish_non_exhaustive()
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
            off_duty: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
        });
        let watch = Watch {
            shared: shared.clone(),
            seen: vec![0; executors.len()],
            executors,
        };
        let thread = std::thread::Builder::new()
            .name("keeper".into())
            .spawn(|| watch.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Has the keeper do `job`, sooner or later.
    pub fn post(&self, job: impl FnOnce() + Send + 'static) {
        self.shared
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(Box::new(job));
        ring(self.shared.wake.as_fd());
    }

    /// Has the keeper do `job` and waits for its result; `None` if the keeper is no more.
    pub fn call<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.post(move || drop(sender.send(job())));
        receiver.recv().ok()
    }

    /// To be called when an executor goes to user mode: time slices count from now.
    #[inline]
    pub fn watch_slices(&self) {
        if self.shared.off_duty.load(SeqCst) && self.shared.off_duty.swap(false, SeqCst) {
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
}

impl Watch {
    fn run(mut self) {
        let mut next_tick = 0;
        loop {
            let stopping = self.shared.stopping.load(SeqCst);
            self.do_jobs();
            if stopping {
                return;
            }
            let now = clock::monotonic();
            let timeout = if self.shared.off_duty.load(SeqCst) {
                next_tick = 0;
                None
            } else if now >= next_tick {
                // The first tick of a watch only takes note.
                self.tick();
                next_tick = now + SLICE_NANOSECONDS;
                continue;
            } else {
                Some(next_tick - now)
            };
            if wait_for_event(self.shared.epoll.as_fd(), timeout) == Ok(true) {
                self.deliver_call();
            }
        }
    }

    fn do_jobs(&self) {
        loop {
            let job = self
                .shared
                .jobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            match job {
                Some(job) => job(),
                None => return,
            }
        }
    }

    /// Interrupts the executors that have been in user mode since the last tick. If nobody has
    /// been there, goes off duty.
    fn tick(&mut self) {
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
        if !active {
            self.shared.off_duty.store(true, SeqCst);
            if self.executors.iter().any(Executor::is_in_user_mode) {
                self.shared.off_duty.store(false, SeqCst);
            }
        }
    }

    /// A device called and no executor was idle: one has to come out of user mode for it. Those in
    /// the kernel look at the devices before they sleep.
    fn deliver_call(&self) {
        if let Some(executor) = self
            .executors
            .iter()
            .find(|executor| executor.is_in_user_mode())
        {
            executor.interrupt();
        }
    }
}
