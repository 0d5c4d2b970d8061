//! timerfd_create(2): a timer to wait on.

use alloc::sync::{Arc, Weak};

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use super::record::put_record;
use crate::{
    errno::Errno,
    io::{Destination, TryError, TryResult},
    kernel::{Kernel, PollEvents, TimerHandler, TimerId, WaitQueue},
    vfs::{Anonymous, File},
};

/// Which clock a timer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerClock {
    /// CLOCK_MONOTONIC, and CLOCK_BOOTTIME: a sandbox is never suspended.
    Monotonic,
    /// CLOCK_REALTIME.
    Realtime,
}

/// When a timer expires: all in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerSetting {
    /// Time to the first expiration, or its absolute time; 0 disarms.
    pub value: u64,
    /// Period after that; 0 for none.
    pub interval: u64,
}

/// The timer.
pub struct TimerFd {
    kernel: Arc<Kernel>,
    clock: TimerClock,
    state: SpinMutex<State>,
    queue: WaitQueue,
    this: Weak<Self>,
}

/// Lock order: this before the kernel's timers.
#[derive(Default)]
struct State {
    /// The next expiration, or the last if `expired`, on CLOCK_MONOTONIC; `None` if disarmed.
    deadline: Option<u64>,
    interval: u64,
    /// The deadline has passed and nobody has read it. As in Linux, a periodic timer goes on only
    /// when it is read, so that a short unread period costs nothing.
    expired: bool,
    pending: Option<TimerId>,
}

impl State {
    /// Expirations of a timer that expired at `deadline`, up to `now`.
    fn count(&self, deadline: u64, now: u64) -> u64 {
        let late = now.saturating_sub(deadline);
        1_u64.saturating_add(late.checked_div(self.interval).unwrap_or(0))
    }
}

impl TimerFd {
    /// A disarmed timer.
    pub fn new(kernel: Arc<Kernel>, clock: TimerClock) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            kernel,
            clock,
            state: SpinMutex::new(State::default()),
            queue: WaitQueue::new(),
            this: this.clone(),
        })
    }

    /// Arms or disarms it and returns the setting before (timerfd_settime(2)).
    pub fn set(&self, setting: TimerSetting, absolute: bool) -> TimerSetting {
        let now = self.kernel.platform.monotonic_nanoseconds();
        let deadline = (setting.value > 0).then(|| self.deadline(setting.value, absolute, now));
        let mut state = self.state.lock();
        let old = remaining(&state, now);
        if let Some(id) = state.pending.take() {
            self.kernel.timers.cancel(id);
        }
        *state = State { deadline, interval: setting.interval, expired: false, pending: None };
        self.arm(&mut state);
        old
    }

    /// Time to the next expiration, and the period (timerfd_gettime(2)).
    pub fn get(&self) -> TimerSetting {
        remaining(&self.state.lock(), self.kernel.platform.monotonic_nanoseconds())
    }

    fn deadline(&self, value: u64, absolute: bool, now: u64) -> u64 {
        if !absolute {
            return now.saturating_add(value);
        }
        match self.clock {
            TimerClock::Monotonic => value,
            TimerClock::Realtime => {
                let realtime = self.kernel.platform.realtime_nanoseconds();
                now.saturating_add(value.saturating_sub(realtime))
            }
        }
    }

    fn arm(&self, state: &mut State) {
        let handler: Weak<dyn TimerHandler> = self.this.clone();
        state.pending =
            state.deadline.map(|deadline| self.kernel.timers.add_handler(deadline, handler));
    }
}

fn remaining(state: &State, now: u64) -> TimerSetting {
    let interval = state.interval;
    let value = match state.deadline {
        None => 0,
        Some(deadline) if deadline > now => deadline - now,
        Some(_) if interval == 0 => 0,
        Some(deadline) => interval - (now - deadline) % interval,
    };
    TimerSetting { value, interval }
}

impl TimerHandler for TimerFd {
    fn expired(&self, now: u64) {
        let mut state = self.state.lock();
        // The timer may have been set again since it was taken from the pending ones.
        if state.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        state.expired = true;
        state.pending = None;
        drop(state);
        self.queue.wake(PollEvents::IN);
    }
}

#[async_trait]
impl File for TimerFd {
    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        if destination.remaining() < 8 {
            return Err(Errno::EINVAL.into());
        }
        let now = self.kernel.platform.monotonic_nanoseconds();
        let mut state = self.state.lock();
        let Some(deadline) = state.deadline.filter(|_| state.expired) else {
            return Err(TryError::WouldBlock);
        };
        let count = state.count(deadline, now);
        put_record(destination, &count.to_ne_bytes())?;
        state.expired = false;
        let next = deadline.saturating_add(count.saturating_mul(state.interval));
        state.deadline = (state.interval > 0).then_some(next);
        self.arm(&mut state);
        Ok(8)
    }

    fn poll(&self) -> PollEvents {
        if self.state.lock().expired { PollEvents::IN } else { PollEvents::empty() }
    }

    fn anonymous(&self) -> Anonymous {
        Anonymous::inode("timerfd")
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        if let Some(id) = self.state.lock().pending.take() {
            self.kernel.timers.cancel(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fs::testing::{Sink, kernel},
        platform::Platform,
    };

    const fn every(value: u64, interval: u64) -> TimerSetting {
        TimerSetting { value, interval }
    }

    fn read(timer: &TimerFd) -> TryResult<u64> {
        let mut sink = Sink::new(8);
        timer.try_read(0, &mut sink)?;
        Ok(u64::from_ne_bytes(sink.bytes.try_into().unwrap()))
    }

    #[test]
    fn expires_once() {
        let (kernel, platform) = kernel();
        let timer = TimerFd::new(kernel.clone(), TimerClock::Monotonic);
        timer.set(every(100, 0), false);
        assert_eq!(read(&timer), Err(TryError::WouldBlock));
        platform.advance(150);
        kernel.timers.expire(150);
        assert_eq!(timer.poll(), PollEvents::IN);
        assert_eq!(read(&timer), Ok(1));
        assert_eq!(timer.get(), TimerSetting::default());
        assert_eq!(kernel.timers.next_deadline(), None);
    }

    #[test]
    fn counts_periods_that_were_missed() {
        let (kernel, platform) = kernel();
        let timer = TimerFd::new(kernel.clone(), TimerClock::Monotonic);
        timer.set(every(100, 50), false);
        platform.advance(260);
        kernel.timers.expire(260);
        assert_eq!(read(&timer), Ok(4));
        assert_eq!(timer.get(), every(40, 50));
        assert_eq!(kernel.timers.next_deadline(), Some(300));
    }

    #[test]
    fn setting_again_or_dropping_cancels() {
        let (kernel, platform) = kernel();
        let timer = TimerFd::new(kernel.clone(), TimerClock::Realtime);
        timer.set(every(100, 50), false);
        assert_eq!(timer.set(every(0, 0), false), every(100, 50));
        assert_eq!(kernel.timers.next_deadline(), None);
        let at = platform.realtime_nanoseconds() + 30;
        timer.set(every(at, 0), true);
        assert_eq!(kernel.timers.next_deadline(), Some(30));
        drop(timer);
        assert_eq!(kernel.timers.next_deadline(), None);
    }
}
