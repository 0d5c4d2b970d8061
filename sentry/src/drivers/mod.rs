//! Device drivers. See README.md.

mod buffer_pool;
mod chain;
mod console;
mod control;
mod slots;
#[cfg(test)]
pub(crate) mod testing;
mod virtqueue;
#[cfg(test)]
mod virtqueue_tests;

pub use buffer_pool::{Buffer, BufferArea, BufferPool};
pub use chain::{Chain, Part};
pub use console::{Console, ConsoleInput, ConsoleLines, ConsoleOutput};
pub use control::Control;
pub use virtqueue::{Completion, Request, SubmitError, Virtqueue};
