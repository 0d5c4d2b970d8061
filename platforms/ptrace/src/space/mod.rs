//! Address spaces: what is to be mapped in a stub process, and when the host does it.

mod intervals;
mod pending;
mod process;

pub use process::{Refusal, RunBatch, StubProcess};
