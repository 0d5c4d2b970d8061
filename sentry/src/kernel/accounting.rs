//! Resources used (getrusage(2)).

use core::sync::atomic::{AtomicU64, Ordering};

/// Resources used by a task, a process, or several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in user code, in nanoseconds.
    pub user_nanoseconds: u64,
    /// Processor time in the sentry, in nanoseconds.
    pub system_nanoseconds: u64,
    /// Page faults served without I/O.
    pub minor_faults: u64,
    /// Times it waited.
    pub voluntary_switches: u64,
    /// Times it was preempted.
    pub involuntary_switches: u64,
    /// What it read and wrote.
    pub io: IoCounts,
}

/// Bytes and calls of reading and writing (proc_pid_io(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCounts {
    /// Bytes that read(2) and the like returned.
    pub characters_read: u64,
    /// Bytes that write(2) and the like took.
    pub characters_written: u64,
    /// Calls that read.
    pub reads: u64,
    /// Calls that wrote.
    pub writes: u64,
    /// Bytes that its reading had fetched from where files are kept.
    pub bytes_fetched: u64,
    /// Bytes that its writing had sent there.
    pub bytes_stored: u64,
}

impl IoCounts {
    /// Adds `other` to it.
    pub const fn add(&mut self, other: &Self) {
        self.characters_read += other.characters_read;
        self.characters_written += other.characters_written;
        self.reads += other.reads;
        self.writes += other.writes;
        self.bytes_fetched += other.bytes_fetched;
        self.bytes_stored += other.bytes_stored;
    }
}

impl Usage {
    /// Adds `other` to it.
    pub const fn add(&mut self, other: &Self) {
        self.user_nanoseconds += other.user_nanoseconds;
        self.system_nanoseconds += other.system_nanoseconds;
        self.minor_faults += other.minor_faults;
        self.voluntary_switches += other.voluntary_switches;
        self.involuntary_switches += other.involuntary_switches;
        self.io.add(&other.io);
    }

    /// Processor time altogether, in nanoseconds.
    pub const fn processor_nanoseconds(&self) -> u64 {
        self.user_nanoseconds + self.system_nanoseconds
    }
}

/// Running counts of one task; nobody but the task changes them.
#[derive(Debug, Default)]
pub struct Accounting {
    user_nanoseconds: AtomicU64,
    /// All processor time up to the last suspension.
    total_nanoseconds: AtomicU64,
    /// CLOCK_MONOTONIC when the task was resumed; 0 while it is suspended.
    resumed_at: AtomicU64,
    minor_faults: AtomicU64,
    voluntary_switches: AtomicU64,
    involuntary_switches: AtomicU64,
    characters_read: AtomicU64,
    characters_written: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
    bytes_fetched: AtomicU64,
    bytes_stored: AtomicU64,
}

/// Adds to a counter that only the running task changes, so that it takes no locked instruction.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

impl Accounting {
    /// The task runs from `now` on.
    pub fn resume(&self, now: u64) {
        self.resumed_at.store(now, Ordering::Relaxed);
    }

    /// The task has run until `now`.
    pub fn suspend(&self, now: u64) {
        let since = self.resumed_at.swap(0, Ordering::Relaxed);
        self.total_nanoseconds.fetch_add(now.saturating_sub(since), Ordering::Relaxed);
    }

    /// User code has run for this time.
    pub fn add_user(&self, nanoseconds: u64) {
        add(&self.user_nanoseconds, nanoseconds);
    }

    /// A page fault was served.
    pub fn count_fault(&self) {
        add(&self.minor_faults, 1);
    }

    /// The task gave way: because it had to wait, or because its time was up.
    pub fn count_switch(&self, voluntary: bool) {
        let counter = if voluntary { &self.voluntary_switches } else { &self.involuntary_switches };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has read `bytes`.
    pub fn count_read(&self, bytes: usize) {
        add(&self.reads, 1);
        add(&self.characters_read, bytes as u64);
    }

    /// A call has written `bytes`.
    pub fn count_written(&self, bytes: usize) {
        add(&self.writes, 1);
        add(&self.characters_written, bytes as u64);
    }

    /// Reading had `bytes` of a file fetched.
    pub fn count_fetched(&self, bytes: usize) {
        add(&self.bytes_fetched, bytes as u64);
    }

    /// Writing had `bytes` of a file stored.
    pub fn count_stored(&self, bytes: usize) {
        add(&self.bytes_stored, bytes as u64);
    }

    fn io(&self) -> IoCounts {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IoCounts {
            characters_read: value(&self.characters_read),
            characters_written: value(&self.characters_written),
            reads: value(&self.reads),
            writes: value(&self.writes),
            bytes_fetched: value(&self.bytes_fetched),
            bytes_stored: value(&self.bytes_stored),
        }
    }

    /// The sums at `now`.
    pub fn usage(&self, now: u64) -> Usage {
        let resumed_at = self.resumed_at.load(Ordering::Relaxed);
        let running = if resumed_at == 0 { 0 } else { now.saturating_sub(resumed_at) };
        let total = self.total_nanoseconds.load(Ordering::Relaxed) + running;
        let user = self.user_nanoseconds.load(Ordering::Relaxed).min(total);
        Usage {
            user_nanoseconds: user,
            system_nanoseconds: total - user,
            minor_faults: self.minor_faults.load(Ordering::Relaxed),
            voluntary_switches: self.voluntary_switches.load(Ordering::Relaxed),
            involuntary_switches: self.involuntary_switches.load(Ordering::Relaxed),
            io: self.io(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_time_counts_before_suspension() {
        let accounting = Accounting::default();
        accounting.resume(100);
        accounting.add_user(30);
        let usage = accounting.usage(150);
        assert_eq!((usage.user_nanoseconds, usage.system_nanoseconds), (30, 20));
        accounting.suspend(160);
        assert_eq!(accounting.usage(500).processor_nanoseconds(), 60);
    }
}
