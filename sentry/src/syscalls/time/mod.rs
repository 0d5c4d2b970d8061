//! Clocks, sleeping and timers.

mod abi;
pub mod clock;
pub mod sleep;
pub mod timers;

pub use abi::{IntervalTimespec, IntervalTimeval, ResourceUsage, SECOND, Timespec, Timeval};
pub use clock::Clock;
