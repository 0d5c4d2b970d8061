//! Executors: host threads that run user code in stubs, and how they are stopped and woken.

use std::{
    cell::Cell,
    collections::BTreeMap,
    mem::MaybeUninit,
    num::NonZeroU64,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use rustix::{
    event::{EventfdFlags, Timespec, epoll, eventfd},
    io::Result,
};
use sentry::platform::{ExtendedState, Trap};

use crate::{
    clock, placement,
    space::StubProcess,
    stub::StubThread,
    sys::{self, Tid},
};

/// The signal that takes a stub thread out of user mode. User code never sees it.
const INTERRUPT_SIGNAL: i32 = libc::SIGUSR1;

/// Where an executor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Kernel,
    Idle,
    /// In user mode, with this thread of this process.
    User {
        process: Tid,
        thread: Tid,
    },
}

impl Place {
    const IDLE: u64 = u64::MAX;

    const fn encode(self) -> u64 {
        match self {
            Self::Kernel => 0,
            Self::Idle => Self::IDLE,
            Self::User { process, thread } => {
                (process.cast_unsigned() as u64) << 32 | thread.cast_unsigned() as u64
            }
        }
    }

    const fn decode(word: u64) -> Self {
        match word {
            0 => Self::Kernel,
            Self::IDLE => Self::Idle,
            _ => Self::User { process: (word >> 32) as Tid, thread: word as u32 as Tid },
        }
    }
}

/// A time that does not come.
pub const NEVER: u64 = u64::MAX;

/// One executor.
#[derive(Debug)]
pub struct Executor {
    place: AtomicU64,
    /// It is to leave user mode or idleness, now or when it next gets there.
    interrupted: AtomicBool,
    /// How often it entered user mode; wraps.
    entries: AtomicU32,
    /// When it is to leave user mode, by CLOCK_MONOTONIC; [`NEVER`] if at no fixed time.
    deadline: AtomicU64,
    /// Calls that user code has handed over to it.
    handed_over: AtomicU64,
    wake: OwnedFd,
    epoll: OwnedFd,
    threads: Mutex<Threads>,
}

impl Executor {
    /// An executor that the eventfds `calls` wake when it is idle.
    pub fn new(calls: &[OwnedFd]) -> Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let epoll = wakeable_by(&wake, calls)?;
        Ok(Self {
            place: AtomicU64::new(Place::Kernel.encode()),
            interrupted: AtomicBool::new(false),
            entries: AtomicU32::new(0),
            deadline: AtomicU64::new(NEVER),
            handed_over: AtomicU64::new(0),
            wake,
            epoll,
            threads: Mutex::default(),
        })
    }

    /// Its stub threads. Only the executor's own thread uses them.
    pub fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it leave user mode or idleness, or not stay when it next gets there.
    pub fn interrupt(&self) {
        // The flag is set before the place is read; the executor does it the other way round.
        self.interrupted.store(true, SeqCst);
        match Place::decode(self.place.load(SeqCst)) {
            Place::Kernel => {}
            Place::Idle => ring(self.wake.as_fd()),
            Place::User { process, thread } => {
                sys::signal_thread(process, thread, INTERRUPT_SIGNAL)
            }
        }
    }

    /// Whether an interrupt waits; forgets it.
    pub fn take_interrupt(&self) -> bool {
        self.interrupted.load(SeqCst) && self.interrupted.swap(false, SeqCst)
    }

    /// Number of calls that user code has handed over to it.
    pub fn handed_over(&self) -> u64 {
        self.handed_over.load(Relaxed)
    }

    /// Notes that user code has handed over a call. Only the executor's own thread does so.
    pub fn note_handed_over(&self) {
        self.handed_over.store(self.handed_over() + 1, Relaxed);
    }

    /// Whether it runs user code.
    pub fn is_in_user_mode(&self) -> bool {
        matches!(Place::decode(self.place.load(SeqCst)), Place::User { .. })
    }

    /// How often it entered user mode; wraps.
    pub fn entries(&self) -> u32 {
        self.entries.load(SeqCst)
    }

    /// If it runs user code, until when; [`NEVER`] if at no fixed time.
    pub fn deadline(&self) -> Option<u64> {
        self.is_in_user_mode().then(|| self.deadline.load(SeqCst))
    }

    /// Tells the others that user code runs in `thread` of `process`, at most until `deadline`,
    /// while `run` does.
    pub fn in_user_mode(
        &self,
        process: Tid,
        thread: Tid,
        deadline: u64,
        run: impl FnOnce() -> Trap,
    ) -> Trap {
        self.deadline.store(deadline, Relaxed);
        self.entries.store(self.entries.load(Relaxed).wrapping_add(1), Relaxed);
        self.place.store(Place::User { process, thread }.encode(), SeqCst);
        let trap = if self.take_interrupt() { Trap::Interrupted } else { run() };
        self.place.store(Place::Kernel.encode(), SeqCst);
        if trap == Trap::Interrupted {
            // One answer for all interrupts up to now.
            self.interrupted.store(false, SeqCst);
        }
        trap
    }

    /// Sleeps until interrupted, called by a device, or `deadline` of CLOCK_MONOTONIC.
    pub fn idle(&self, deadline: Option<u64>) {
        placement::release();
        self.place.store(Place::Idle.encode(), SeqCst);
        if !self.take_interrupt() {
            // An error is an early return, which is allowed.
            let _ = wait_for_event(self.epoll.as_fd(), deadline.map(until));
        }
        self.place.store(Place::Kernel.encode(), SeqCst);
        self.interrupted.store(false, SeqCst);
    }
}

/// Time left until `deadline`, in nanoseconds.
fn until(deadline: u64) -> u64 {
    deadline.saturating_sub(clock::monotonic())
}

/// Adds to the counter of an eventfd. Failure means that it is full, so its reader is awake.
pub fn ring(eventfd: BorrowedFd<'_>) {
    let _ = rustix::io::write(eventfd, &1_u64.to_ne_bytes());
}

/// An epoll instance for `wake` and `calls`. Edge-triggered, so nobody has to read the eventfds;
/// exclusive, so a call wakes one sleeper: the instance made first whose thread waits.
pub fn wakeable_by(wake: &OwnedFd, calls: &[OwnedFd]) -> Result<OwnedFd> {
    use epoll::EventFlags;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let edge = EventFlags::IN | EventFlags::ET;
    epoll::add(&epoll, wake, epoll::EventData::new_u64(WAKE), edge)?;
    for call in calls {
        epoll::add(&epoll, call, epoll::EventData::new_u64(CALL), edge | EventFlags::EXCLUSIVE)?;
    }
    Ok(epoll)
}

const WAKE: u64 = 0;
const CALL: u64 = 1;

/// Waits at most `timeout` nanoseconds; answers whether a device called.
pub fn wait_for_event(epoll: BorrowedFd<'_>, timeout: Option<u64>) -> Result<bool> {
    const NANOSECONDS: u64 = 1_000_000_000;
    let timeout = timeout.map(|nanoseconds| Timespec {
        tv_sec: (nanoseconds / NANOSECONDS).cast_signed(),
        tv_nsec: (nanoseconds % NANOSECONDS).cast_signed(),
    });
    let mut events = [MaybeUninit::uninit(); 8];
    let (ready, _) = epoll::wait(epoll, &mut events, timeout.as_ref())?;
    Ok(ready.iter().any(|event| event.data.u64() == CALL))
}

/// The stub threads of one executor, by the serial number of their process.
#[derive(Debug, Default)]
pub struct Threads {
    by_process: BTreeMap<u64, (Arc<StubProcess>, StubThread)>,
    /// The process that the executor has entered and not left, since its thread there waits for the
    /// answer to a call, or did.
    entered: Option<Arc<StubProcess>>,
}

impl Threads {
    /// The executor's thread in `process`.
    pub fn get(&mut self, process: &StubProcess) -> Option<&mut StubThread> {
        self.by_process.get_mut(&process.serial()).map(|(_, thread)| thread)
    }

    /// Adds the executor's thread in `process`, and forgets those of retired processes.
    pub fn add(&mut self, process: &Arc<StubProcess>, thread: StubThread) -> &mut StubThread {
        self.by_process.retain(|_, (process, _)| !process.is_retired());
        let entry = self.by_process.entry(process.serial()).insert_entry((process.clone(), thread));
        &mut entry.into_mut().1
    }

    /// Forgets the executor's thread in `process`, after saving the vector state in it.
    pub fn remove(&mut self, process: &StubProcess) {
        if let Some((_, mut thread)) = self.by_process.remove(&process.serial()) {
            thread.save_extended();
        }
    }

    /// Whether the executor is still in `process`, so that it must not enter again. Leaves any
    /// other.
    pub fn is_in(&mut self, process: &StubProcess) -> bool {
        let is_in = self.entered.as_ref().is_some_and(|it| it.serial() == process.serial());
        if !is_in {
            self.leave();
        }
        is_in
    }

    /// Stays in `process`, or leaves it; `lost` tells that it was found gone.
    pub fn stay_or_leave(&mut self, process: &Arc<StubProcess>, lost: bool) {
        if !lost && self.get(process).is_some_and(|thread| thread.is_loose()) {
            self.entered = Some(process.clone());
        } else {
            self.entered = None;
            process.leave(lost);
        }
    }

    /// Stops the thread that waits for the answer to a call, if there is one.
    pub fn leave(&mut self) {
        if let Some(process) = self.entered.take() {
            if let Some(thread) = self.get(&process) {
                thread.halt();
            }
            process.leave(false);
        }
    }

    /// Brings `state` home if it is live in one of these threads.
    pub fn save_extended(&mut self, state: &ExtendedState) {
        if !state.lock().live {
            return;
        }
        let mut threads = self.by_process.values_mut();
        if let Some((_, thread)) = threads.find(|(_, thread)| thread.holds(state)) {
            thread.save_extended();
        }
    }
}

thread_local! {
    /// Which executor of which platform (by its address) the thread is.
    static CURRENT: Cell<Option<(usize, u16)>> = const { Cell::new(None) };
}

/// Makes the calling thread executor `number` of `platform`.
pub fn bind(platform: usize, number: u16) {
    if CURRENT.replace(Some((platform, number))).is_none() {
        // Deadlines are to be met to the microsecond; the default slack is 50.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    }
}

/// Which executor of `platform` the calling thread is.
pub fn current(platform: usize) -> Option<u16> {
    CURRENT.get().filter(|(bound, _)| *bound == platform).map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_encoding() {
        let user = Place::User { process: 4_194_303, thread: 17 };
        for place in [Place::Kernel, Place::Idle, user] {
            assert_eq!(Place::decode(place.encode()), place);
        }
    }

    #[test]
    fn an_interrupt_is_sticky_and_answered_once() {
        let executor = Executor::new(&[]).unwrap();
        executor.interrupt();
        executor.idle(None);
        assert!(!executor.take_interrupt());
        executor.interrupt();
        let trap = executor.in_user_mode(1, 1, NEVER, || Trap::Syscall);
        assert_eq!(trap, Trap::Interrupted);
        let trap = executor.in_user_mode(1, 1, NEVER, || Trap::Syscall);
        assert_eq!(trap, Trap::Syscall);
    }

    #[test]
    fn idle_ends_at_the_deadline_and_at_a_call() {
        let calls = [eventfd(0, EventfdFlags::CLOEXEC).unwrap()];
        let executor = Executor::new(&calls).unwrap();
        let deadline = clock::monotonic() + 1_000_000;
        executor.idle(Some(deadline));
        assert!(clock::monotonic() >= deadline);
        ring(calls[0].as_fd());
        executor.idle(None);
    }
}
