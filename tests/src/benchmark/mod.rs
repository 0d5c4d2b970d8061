//! Parts of the `benchmark` command: who competes, and how each figure is taken.

mod contender;
mod idle_memory;
mod sysemu;

pub use contender::{Contender, start_times};
pub use idle_memory::idle_memory_bytes;
pub use sysemu::sysemu_stop_nanoseconds;
