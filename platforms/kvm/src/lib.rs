//! The host half of the KVM platform.
//!
//! [`self_test`] answers the first question: does KVM really work here? A [`Machine`] is then built
//! from sandbox memory, device windows and eventfds: it holds the ring-0 image of the sentry
//! (platforms/kvm-guest), and each of its vCPUs is run by a thread of the caller. The data path of
//! the devices passes it by: a doorbell is an ioeventfd, a completion an irqfd.
#![allow(unsafe_code, reason = "platform crate: guest memory and KVM ioctls")]

mod config;
mod cpuid;
mod exits;
mod image;
mod interrupts;
mod layout;
mod machine;
mod memory;
mod page_tables;
mod released;
pub mod self_test;
mod stacks;
mod symbols;
mod vcpu;

pub use config::{Config, DeviceWindow, Error};
pub use exits::ExitCounts;
pub use image::{build_id, is_present as has_image};
pub use machine::{Machine, Stopper};
pub use vcpu::VcpuEnd;
