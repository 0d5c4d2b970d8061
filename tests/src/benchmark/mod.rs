//! Parts of the `benchmark` command: who competes, and how each figure is taken.

mod contender;
mod exits;
mod idle_memory;
mod report;
mod sysemu;

pub use contender::{Contender, start_times};
pub use exits::exits_per_operation;
pub use idle_memory::idle_memory_bytes;
pub use report::{Report, Table};
pub use sysemu::sysemu_stop_nanoseconds;
