//! What a container may use.

use core::sync::atomic::{AtomicU64, Ordering};

use guest_abi::container::Limits;

/// The limits of a container. The sentry keeps to the number of tasks; the host does to the others, which
/// are here to be seen.
#[derive(Debug)]
pub struct ContainerLimits {
    tasks: AtomicU64,
    memory_bytes: AtomicU64,
    processor_quota: AtomicU64,
    processor_period: AtomicU64,
    processor_weight: AtomicU64,
}

impl ContainerLimits {
    /// `limits`, and none where they are silent. Period and weight are those that cgroups(7) start with.
    pub fn new(limits: &Limits) -> Self {
        let new = Self {
            tasks: AtomicU64::new(u64::MAX),
            memory_bytes: AtomicU64::new(u64::MAX),
            processor_quota: AtomicU64::new(u64::MAX),
            processor_period: AtomicU64::new(100_000),
            processor_weight: AtomicU64::new(100),
        };
        new.change(limits);
        new
    }

    /// Takes over what `limits` name. Tasks that are there stay.
    pub fn change(&self, limits: &Limits) {
        let set = |limit: &AtomicU64, value: Option<u64>| {
            if let Some(value) = value {
                limit.store(value, Ordering::Relaxed);
            }
        };
        set(&self.tasks, limits.tasks);
        set(&self.memory_bytes, limits.memory_bytes);
        set(&self.processor_quota, limits.processor_quota_microseconds);
        set(&self.processor_period, limits.processor_period_microseconds);
        set(&self.processor_weight, limits.processor_weight);
    }

    /// Most tasks; `u64::MAX` for any number.
    pub fn tasks(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed)
    }

    /// Most bytes of memory; `u64::MAX` for any number.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// Processor time in a period (`u64::MAX` for all of it) and the period, in microseconds.
    pub fn processor_microseconds(&self) -> (u64, u64) {
        (
            self.processor_quota.load(Ordering::Relaxed),
            self.processor_period.load(Ordering::Relaxed),
        )
    }

    /// Its weight among others, 1 to 10000.
    pub fn processor_weight(&self) -> u64 {
        self.processor_weight.load(Ordering::Relaxed)
    }
}
