//! The gofer: the process that serves a container's files. See README.md beside this file.

mod channel;
mod child;
mod jail;
mod process;
pub mod server;
mod system;

pub use child::main;
pub use jail::{die_with_parent, open_root};
pub use process::{
    GoferMount, GoferProcess, StartingGofer, instruct, spawn, spawn_from, spawn_unasked,
};

/// The hidden subcommand under which the binary runs [`main`].
pub const SUBCOMMAND: &str = "gofer";
