//! The host side of `sandbox-vmm`: its commands, the launch of a sandbox, and the device back ends
//! that serve the sentry's queues.

pub mod bundle;
pub mod cgroups;
pub mod channel;
pub mod cli;
pub mod commands;
pub mod console_socket;
pub mod control_socket;
pub mod devices;
pub mod error;
mod file_pages;
mod fork;
pub mod gofer;
pub mod hooks;
pub mod inherit;
pub mod jail;
pub mod logging;
pub mod sandbox;
pub mod seccomp;
pub mod signals;
pub mod size;
pub mod stand_in;
pub mod state;
pub mod terminal;
mod threads;
pub mod time;
pub mod virtqueue;
