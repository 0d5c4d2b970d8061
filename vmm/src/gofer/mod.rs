//! The gofer: the process that serves a container's files.

mod channel;
mod process;
mod system;

pub use process::{GoferMount, GoferProcess, spawn};

/// The hidden subcommand under which the binary runs as a gofer.
pub const SUBCOMMAND: &str = "gofer";
