//! Parts of the `benchmark` command: who competes, and how each figure is taken.

mod contender;
mod exits;
mod idle_memory;
mod life_cycle;
pub mod phases;
mod report;
mod sysemu;

pub use contender::{Contender, start_times};
pub use exits::exits_per_operation;
pub use idle_memory::{idle_program_bytes, idle_sandbox_bytes};
pub use life_cycle::{docker_start, hide_unified_hierarchy, life_cycle};
pub use report::{Report, Table};
pub use sysemu::sysemu_stop_nanoseconds;
