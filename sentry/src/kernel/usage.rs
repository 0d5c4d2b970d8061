//! Resources used (getrusage(2)).

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
}

impl Usage {
    /// Adds `other` to it.
    pub const fn add(&mut self, other: &Self) {
        self.user_nanoseconds += other.user_nanoseconds;
        self.system_nanoseconds += other.system_nanoseconds;
        self.minor_faults += other.minor_faults;
        self.voluntary_switches += other.voluntary_switches;
        self.involuntary_switches += other.involuntary_switches;
    }

    /// Processor time altogether, in nanoseconds.
    pub const fn processor_nanoseconds(&self) -> u64 {
        self.user_nanoseconds + self.system_nanoseconds
    }
}
