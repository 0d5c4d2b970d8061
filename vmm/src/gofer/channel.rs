//! What the sandbox process tells its gofer.
//!
//! The sandbox process sends one [`Request::Serve`] for each device, then [`Request::Start`]; the
//! gofer sends one [`Response`]. After that nothing is said; the end of either process shows as a
//! hang-up.

use guest_abi::device::DeviceDescriptor;
use serde::{Deserialize, Serialize};

pub use crate::channel::Channel;

/// From the sandbox process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Serve a tree; carries the descriptors of window, kick and call.
    Serve {
        /// The tree.
        source: Source,
        /// The device.
        device: DeviceDescriptor,
    },
    /// That was all: close the jail and serve.
    Start,
}

/// A tree of the host.
#[derive(Debug, Serialize, Deserialize)]
pub struct Source {
    /// Path of its root, as bytes.
    pub path: Vec<u8>,
    /// Refuse every change.
    pub read_only: bool,
    /// Show what is mounted below it too.
    pub submounts: bool,
}

/// From the gofer, in answer to [`Request::Start`] or as soon as something fails.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// It serves.
    Ready,
    /// It cannot, and ends.
    Failed {
        /// One line: what failed and why.
        cause: String,
    },
}
