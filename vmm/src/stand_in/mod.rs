//! Stand-ins: the small host processes that stand for processes of a container.
//!
//! A container engine wants a host process id for a container and for each `exec`: it waits for
//! that process, and its wait status is the container's. The container's processes exist inside the
//! sandbox only, so each of those two kinds has a stand-in: it passes signals and terminal sizes on
//! to the sandbox, and ends as the process it stands for does. The stand-in of a container is the
//! parent of its sandbox process, or of its gofer if the sandbox is another container's; that does not
//! outlive it (PR_SET_PDEATHSIG), and it waits for it, so that all is gone when it ends. See docs/decisions/oci-life-cycle.md.

mod child;
mod spawn;

pub use child::main;
pub use spawn::{Role, StandIn, Streams, spawn};

use guest_abi::control::ExitStatus;
use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// The hidden subcommand under which the binary runs [`main`].
pub const SUBCOMMAND: &str = "stand-in";

/// From the sandbox process, on the life line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended(pub ExitStatus);

/// To the sandbox process, on the life line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happened {
    /// The stand-in got a signal.
    Signal(u8),
    /// Its terminal has this many rows and columns now.
    Resized(u16, u16),
}

/// What the maker of a container tells its stand-in.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Join this network namespace (with its descriptor), or make one.
    Network {
        /// Whether a descriptor comes along.
        join: bool,
    },
    /// When there is nothing left to start, have this tree, a detached copy of the container's root on the
    /// host, as root directory. Who enters the mount namespace of the container's process, as `podman cp`
    /// does, then finds the container's files and not the host's. Not answered.
    Root,
    /// Start the sandbox process, with this descriptor as its channel.
    StartSandbox,
    /// Stand for a container in a sandbox that is there: start its gofer, with the first descriptor as
    /// its channel; the second is the life line.
    JoinSandbox,
}

/// What it answers.
pub type Answer = Result<(), Failure>;
