//! Resource limits (getrlimit(2)).

use crate::errno::{Errno, Result};

/// A limited resource, with the number of `<asm-generic/resource.h>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of getrlimit(2)")]
#[repr(usize)]
pub enum Resource {
    CpuSeconds = 0,
    FileSize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    ResidentSet = 5,
    Processes = 6,
    OpenFiles = 7,
    LockedMemory = 8,
    AddressSpace = 9,
    FileLocks = 10,
    PendingSignals = 11,
    MessageQueues = 12,
    Nice = 13,
    RealTimePriority = 14,
    RealTimeMicroseconds = 15,
}

const ALL: [Resource; 16] = [
    Resource::CpuSeconds,
    Resource::FileSize,
    Resource::Data,
    Resource::Stack,
    Resource::Core,
    Resource::ResidentSet,
    Resource::Processes,
    Resource::OpenFiles,
    Resource::LockedMemory,
    Resource::AddressSpace,
    Resource::FileLocks,
    Resource::PendingSignals,
    Resource::MessageQueues,
    Resource::Nice,
    Resource::RealTimePriority,
    Resource::RealTimeMicroseconds,
];

impl Resource {
    /// The resource with this number.
    ///
    /// # Errors
    /// EINVAL if there is none.
    pub fn from_number(number: u32) -> Result<Self> {
        let index = usize::try_from(number).map_err(|_| Errno::EINVAL)?;
        ALL.get(index).copied().ok_or(Errno::EINVAL)
    }
}

/// A limit; [`Limit::INFINITY`] means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// What an unprivileged process may raise the soft limit to.
    pub hard: u64,
}

impl Limit {
    /// RLIM_INFINITY.
    pub const INFINITY: u64 = u64::MAX;

    const fn new(soft: u64, hard: u64) -> Self {
        Self { soft, hard }
    }
}

/// The limits of a process.
#[derive(Clone, Debug)]
pub struct Limits([Limit; 16]);

impl Default for Limits {
    /// Those Linux gives to its first process (INIT_RLIMITS), with counts that suit a sandbox.
    fn default() -> Self {
        let mut limits = Self([Limit::new(Limit::INFINITY, Limit::INFINITY); 16]);
        limits.set(Resource::Stack, Limit::new(8 << 20, Limit::INFINITY));
        limits.set(Resource::Core, Limit::new(0, Limit::INFINITY));
        limits.set(Resource::Processes, Limit::new(1 << 15, 1 << 15));
        limits.set(Resource::OpenFiles, Limit::new(1 << 20, 1 << 20));
        limits.set(Resource::LockedMemory, Limit::new(8 << 20, 8 << 20));
        limits.set(Resource::PendingSignals, Limit::new(1 << 15, 1 << 15));
        limits.set(Resource::MessageQueues, Limit::new(819_200, 819_200));
        limits.set(Resource::Nice, Limit::new(0, 0));
        limits.set(Resource::RealTimePriority, Limit::new(0, 0));
        limits
    }
}

impl Limits {
    /// The limit of `resource`.
    pub const fn get(&self, resource: Resource) -> Limit {
        self.0[resource as usize]
    }

    /// Replaces the limit of `resource`.
    pub const fn set(&mut self, resource: Resource, limit: Limit) {
        self.0[resource as usize] = limit;
    }
}
