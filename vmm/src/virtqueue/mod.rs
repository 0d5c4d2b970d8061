//! The device side of virtqueues: what every back end (gofer, console, control) serves its queues
//! with.
//!
//! A back end maps the [`Window`] of its device and nothing else of the sandbox. It takes
//! [`Chain`]s of buffers from a [`DeviceQueue`], reads and writes them in place, and returns them.
//! The driver is hostile: it may rewrite any byte of the window at any time. So every address is
//! checked against the window, a chain's descriptors are read once, and what decides something is
//! copied out before it is looked at.
//!
//! Notifications go through eventfds ([`Doorbell`]): the driver *kicks* the device, the device
//! *calls* the driver. Each side tells the other by a ring flag when it is awake and needs none
//! (Virtual I/O Device 1.3, sections 2.7.7 and 2.7.10; `VIRTIO_F_EVENT_IDX` is not used).

mod buffers;
mod chain;
mod device_queue;
mod doorbell;
#[cfg(test)]
pub(crate) mod driver;
mod window;

pub use buffers::{Buffers, OutOfBounds};
pub use chain::Chain;
pub use device_queue::{DeviceQueue, QueueError};
pub use doorbell::Doorbell;
pub use window::{Window, WindowError};
