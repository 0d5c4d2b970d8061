//! Timers of a process that send signals: setitimer(2), alarm(2) and timer_create(2).

use alloc::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use spin::mutex::SpinMutex;

use super::{
    Kernel, Process, Task, TimerHandler, TimerId,
    signal::{Signal, SignalInfo},
};
use crate::errno::{Errno, Result};

/// What a timer does when it expires.
#[derive(Clone)]
pub enum Notification {
    /// Nothing (SIGEV_NONE).
    None,
    /// Sends a signal with this value to the process.
    Process(Signal, u64),
    /// Sends it to one task (SIGEV_THREAD_ID).
    Task(Weak<Task>, Signal, u64),
}

/// What a timer's time is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBase {
    /// CLOCK_MONOTONIC and its kin: all that go at the pace of real time.
    Real,
    /// Processor time of the process in user code (ITIMER_VIRTUAL).
    User,
    /// Processor time of the process (ITIMER_PROF, CLOCK_PROCESS_CPUTIME_ID).
    Processor,
}

/// When a timer expires, in nanoseconds of its base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Next expiry; `None` if disarmed.
    pub expiry: Option<u64>,
    /// Time between expiries; 0 for once.
    pub interval: u64,
}

/// One timer.
pub struct IntervalTimer {
    kernel: Weak<Kernel>,
    process: Weak<Process>,
    /// Its id, for timers of timer_create(2).
    id: u32,
    /// Its base.
    pub base: TimeBase,
    /// Its clock, as timer_create(2) named it.
    pub clock: u32,
    notification: Notification,
    state: SpinMutex<State>,
}

#[derive(Default)]
struct State {
    setting: Setting,
    registered: Option<TimerId>,
    overrun: u32,
}

/// The timers of a process.
#[derive(Default)]
pub struct ProcessTimers {
    /// ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF.
    intervals: SpinMutex<[Option<Arc<IntervalTimer>>; 3]>,
    posix: SpinMutex<BTreeMap<u32, Arc<IntervalTimer>>>,
}

/// Most POSIX timers of a process.
const MAX_TIMERS: usize = 1 << 15;

impl IntervalTimer {
    fn new(
        kernel: &Arc<Kernel>,
        process: &Arc<Process>,
        (id, clock): (u32, u32),
        base: TimeBase,
        notification: Notification,
    ) -> Arc<Self> {
        Arc::new(Self {
            kernel: Arc::downgrade(kernel),
            process: Arc::downgrade(process),
            id,
            base,
            clock,
            notification,
            state: SpinMutex::default(),
        })
    }

    /// The time now, of its base, in nanoseconds.
    pub fn now(&self, kernel: &Kernel) -> u64 {
        let now = kernel.platform.monotonic_nanoseconds();
        let Some(process) = self.process.upgrade() else { return now };
        match self.base {
            TimeBase::Real => now,
            TimeBase::User => process.usage(now).user_nanoseconds,
            TimeBase::Processor => process.usage(now).processor_nanoseconds(),
        }
    }

    /// Its setting, with the expiry on its base.
    pub fn setting(&self) -> Setting {
        self.state.lock().setting
    }

    /// Expiries since the signal was last delivered, beyond the one it tells of.
    pub fn overrun(&self) -> u32 {
        self.state.lock().overrun
    }

    /// Arms or disarms it.
    pub fn set(self: &Arc<Self>, kernel: &Kernel, setting: Setting) {
        let mut state = self.state.lock();
        if let Some(old) = state.registered.take() {
            kernel.timers.cancel(old);
        }
        state.setting = setting;
        state.overrun = 0;
        if let Some(expiry) = setting.expiry {
            state.registered = Some(self.register(kernel, expiry));
        }
    }

    /// Asks to be called at the earliest time at which `expiry` can have come. Processor time goes
    /// at most as fast as real time on each executor.
    fn register(self: &Arc<Self>, kernel: &Kernel, expiry: u64) -> TimerId {
        let real = kernel.platform.monotonic_nanoseconds();
        let rest = expiry.saturating_sub(self.now(kernel));
        let deadline = match self.base {
            TimeBase::Real => expiry,
            TimeBase::User | TimeBase::Processor => {
                let executors = u64::from(kernel.platform.executor_count()).max(1);
                real.saturating_add((rest / executors).max(MIN_PROCESSOR_DELAY))
            }
        };
        let handler: Arc<dyn TimerHandler> = self.clone();
        kernel.timers.add_handler(deadline, Arc::downgrade(&handler))
    }

    fn notify(&self, overrun: u32) {
        match &self.notification {
            Notification::None => {}
            Notification::Process(signal, value) => {
                if let Some(process) = self.process.upgrade() {
                    process.send(self.info(*signal, *value, overrun));
                }
            }
            Notification::Task(task, signal, value) => {
                if let Some(task) = task.upgrade() {
                    task.send(self.info(*signal, *value, overrun));
                }
            }
        }
    }

    fn info(&self, signal: Signal, value: u64, overrun: u32) -> SignalInfo {
        if self.id == NO_ID {
            SignalInfo::kernel(signal)
        } else {
            SignalInfo::timer(signal, self.id, overrun, value)
        }
    }
}

/// Shortest time between two looks at a processor-time clock, in nanoseconds.
const MIN_PROCESSOR_DELAY: u64 = 1_000_000;

/// Id of the timers of setitimer(2), which have none.
const NO_ID: u32 = u32::MAX;

impl TimerHandler for IntervalTimer {
    fn expired(&self, _now: u64) {
        let Some(kernel) = self.kernel.upgrade() else { return };
        let Some(itself) = self.process.upgrade().and_then(|process| process.timers.find(self))
        else {
            return;
        };
        let now = self.now(&kernel);
        let overrun = {
            let mut state = self.state.lock();
            let Some(expiry) = state.setting.expiry else { return };
            if now < expiry {
                state.registered = Some(itself.register(&kernel, expiry));
                return;
            }
            let interval = state.setting.interval;
            let missed = (now - expiry).checked_div(interval).unwrap_or(0);
            state.setting.expiry =
                (interval != 0).then(|| expiry.saturating_add(interval.saturating_mul(missed + 1)));
            let next = state.setting.expiry;
            state.registered = next.map(|expiry| itself.register(&kernel, expiry));
            state.overrun = u32::try_from(missed).unwrap_or(u32::MAX);
            state.overrun
        };
        self.notify(overrun);
    }
}

impl ProcessTimers {
    /// The timer of setitimer(2) number `which` (0 to 2), made at first use.
    ///
    /// # Errors
    /// EINVAL if there is no such timer.
    pub fn interval(
        &self,
        kernel: &Arc<Kernel>,
        process: &Arc<Process>,
        which: usize,
    ) -> Result<Arc<IntervalTimer>> {
        let (base, signal) = match which {
            0 => (TimeBase::Real, Signal::ALRM),
            1 => (TimeBase::User, Signal::VTALRM),
            2 => (TimeBase::Processor, Signal::PROF),
            _ => return Err(Errno::EINVAL),
        };
        let mut intervals = self.intervals.lock();
        let slot = intervals.get_mut(which).ok_or(Errno::EINVAL)?;
        let make = || {
            let notification = Notification::Process(signal, 0);
            IntervalTimer::new(kernel, process, (NO_ID, 0), base, notification)
        };
        Ok(slot.get_or_insert_with(make).clone())
    }

    /// Makes a POSIX timer and answers its id. `notification` is made from that.
    ///
    /// # Errors
    /// EAGAIN if there are too many.
    pub fn create(
        &self,
        kernel: &Arc<Kernel>,
        process: &Arc<Process>,
        (base, clock): (TimeBase, u32),
        notification: impl FnOnce(u32) -> Notification,
    ) -> Result<u32> {
        let mut posix = self.posix.lock();
        if posix.len() >= MAX_TIMERS {
            return Err(Errno::EAGAIN);
        }
        let id = (0..NO_ID).find(|id| !posix.contains_key(id)).ok_or(Errno::EAGAIN)?;
        let timer = IntervalTimer::new(kernel, process, (id, clock), base, notification(id));
        posix.insert(id, timer);
        Ok(id)
    }

    /// The POSIX timer with this id.
    ///
    /// # Errors
    /// EINVAL if there is none.
    pub fn get(&self, id: u32) -> Result<Arc<IntervalTimer>> {
        self.posix.lock().get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// Disarms and forgets the POSIX timer with this id.
    ///
    /// # Errors
    /// EINVAL if there is none.
    pub fn delete(&self, kernel: &Kernel, id: u32) -> Result<()> {
        let timer = self.posix.lock().remove(&id).ok_or(Errno::EINVAL)?;
        timer.set(kernel, Setting::default());
        Ok(())
    }

    /// Forgets the POSIX timers, which do not survive execve(2).
    pub fn clear_posix(&self, kernel: &Kernel) {
        let timers = core::mem::take(&mut *self.posix.lock());
        timers.values().for_each(|timer| timer.set(kernel, Setting::default()));
    }

    /// Forgets all timers.
    pub fn clear(&self, kernel: &Kernel) {
        self.clear_posix(kernel);
        let intervals = core::mem::take(&mut *self.intervals.lock());
        intervals.iter().flatten().for_each(|timer| timer.set(kernel, Setting::default()));
    }

    /// The counted reference to `timer`, which is one of these.
    fn find(&self, timer: &IntervalTimer) -> Option<Arc<IntervalTimer>> {
        let is_it = |other: &&Arc<IntervalTimer>| core::ptr::eq(Arc::as_ptr(other), timer);
        let posix = self.posix.lock().values().find(is_it).cloned();
        posix.or_else(|| self.intervals.lock().iter().flatten().find(is_it).cloned())
    }
}
