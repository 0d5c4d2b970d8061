//! Signals sent and not yet delivered.

use alloc::collections::VecDeque;

use super::{Signal, SignalInfo, SignalSet, code};

/// The pending signals of a task or of a process.
#[derive(Debug, Default)]
pub struct PendingSignals {
    set: SignalSet,
    queue: VecDeque<SignalInfo>,
}

impl PendingSignals {
    /// Which signals are pending.
    pub const fn set(&self) -> SignalSet {
        self.set
    }

    /// Number of queued entries (RLIMIT_SIGPENDING).
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Adds a signal. A standard signal that is pending already stays as it is.
    pub fn add(&mut self, info: SignalInfo) {
        if self.set.contains(info.signal) && !info.signal.is_real_time() {
            return;
        }
        self.set.insert(info.signal);
        self.queue.push_back(info);
    }

    /// Notes that `signal` was sent although its information cannot be queued.
    pub fn add_without_information(&mut self, signal: Signal) {
        self.set.insert(signal);
    }

    /// Takes the signal to deliver first among those in `allowed`.
    pub fn take(&mut self, allowed: SignalSet) -> Option<SignalInfo> {
        let signal = self.set.intersection(allowed).first()?;
        let position = self.queue.iter().position(|info| info.signal == signal);
        let info = position.and_then(|position| self.queue.remove(position));
        if !self.queue.iter().any(|info| info.signal == signal) {
            self.set.remove(signal);
        }
        Some(info.unwrap_or_else(|| SignalInfo::from_process(signal, code::SI_USER, 0, 0)))
    }

    /// Makes a signal that was taken the first to be taken again.
    pub fn put_back(&mut self, info: SignalInfo) {
        self.set.insert(info.signal);
        self.queue.push_front(info);
    }

    /// Drops all pending signals of `set`.
    pub fn remove(&mut self, set: SignalSet) {
        if !self.set.intersection(set).is_empty() {
            self.set = self.set.difference(set);
            self.queue.retain(|info| !set.contains(info.signal));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> SignalSet {
        SignalSet(u64::MAX)
    }

    #[test]
    fn standard_signals_are_kept_once_and_real_time_ones_in_order() {
        let mut pending = PendingSignals::default();
        let real_time = Signal::from_number(40).unwrap();
        for value in [1, 2] {
            pending.add(SignalInfo::timer(Signal::USR1, value, 0, 0));
            pending.add(SignalInfo::timer(real_time, value, 0, 0));
        }
        let taken: Vec<_> = core::iter::from_fn(|| pending.take(all()))
            .map(|info| (info.signal, info.timer_id()))
            .collect();
        assert_eq!(taken, [(Signal::USR1, 1), (real_time, 1), (real_time, 2)]);
        assert!(pending.set().is_empty());
    }

    #[test]
    fn takes_only_what_is_allowed() {
        let mut pending = PendingSignals::default();
        pending.add(SignalInfo::kernel(Signal::HUP));
        assert_eq!(pending.take(SignalSet::of(&[Signal::INT])), None);
        pending.remove(SignalSet::of(&[Signal::HUP]));
        assert_eq!(pending.take(all()), None);
    }

    #[test]
    fn a_signal_beyond_the_limit_comes_without_information() {
        let mut pending = PendingSignals::default();
        pending.add_without_information(Signal::TERM);
        assert_eq!(pending.take(all()).unwrap().pid(), 0);
    }
}
