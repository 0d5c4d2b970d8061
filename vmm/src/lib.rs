//! The host side of `sandbox-vmm`: its commands, the launch of a sandbox, and the device back ends
//! that serve the sentry's queues.

pub mod bundle;
pub mod cli;
pub mod devices;
pub mod error;
pub mod gofer;
pub mod logging;
pub mod sandbox;
pub mod signals;
pub mod size;
pub mod terminal;
pub mod virtqueue;
