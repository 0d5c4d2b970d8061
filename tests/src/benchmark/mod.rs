//! Parts of the `benchmark` command: who competes, and how each figure is taken.

mod contender;
mod exits;
mod idle_memory;
mod life_cycle;
pub mod phases;
mod report;
mod sysemu;

pub use contender::{Contender, operation_times, start_times};
pub use exits::exits_per_operation;
pub use idle_memory::{idle_program_bytes, idle_sandbox_bytes};
pub use life_cycle::{docker_start, hide_unified_hierarchy, life_cycle};
pub use report::{Report, Table};
pub use sysemu::sysemu_stop_nanoseconds;

use std::env;

/// Whether `name` is a program that is found by PATH.
fn is_installed(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// The value in the middle of `values`, of which there is one at least.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
