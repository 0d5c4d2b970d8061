//! Exits by reason: the cost that the design avoids, so it must be countable.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Exits that reached the VMM, by reason. Exits that KVM handles itself are counted by KVM
/// (`KVM_GET_STATS_FD`).
#[derive(Debug, Default)]
pub struct ExitCounts(Mutex<BTreeMap<&'static str, u64>>);

impl ExitCounts {
    pub(crate) fn count(&self, reason: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// The counts so far.
    pub fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
