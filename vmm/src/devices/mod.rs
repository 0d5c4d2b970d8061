//! Device back ends that the sandbox process serves on its event loop.

pub mod control;
mod ending;
pub mod host_stream;
pub mod input;
pub mod output;
mod stream;

pub use ending::{End, Ending};
pub use stream::{Progress, Pump, StreamEvents};
