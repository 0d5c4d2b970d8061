//! The sentry's random generator: ChaCha20, seeded by the host at boot.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use spin::mutex::SpinMutex;

/// A cryptographic random generator that any task may use. The lock is a leaf.
pub struct Random(SpinMutex<ChaCha20Rng>);

impl Random {
    /// A generator that continues from `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(SpinMutex::new(ChaCha20Rng::from_seed(seed)))
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill_bytes(bytes);
    }

    /// A random number.
    pub fn next_u64(&self) -> u64 {
        self.0.lock().next_u64()
    }

    /// A random number below `limit`; 0 if `limit` is 0. For layout, where a bias of `limit` in
    /// 2^64 does not matter.
    pub fn below(&self, limit: u64) -> u64 {
        self.next_u64().checked_rem(limit).unwrap_or(0)
    }
}
