//! The contract between the host (VMM, gofer) and the guest (sentry).
//!
//! Both sides compile this crate, so a layout or a number exists once. Fixed layouts (rings, FUSE)
//! are `repr(C)` types with layout tests; everything else is a serde type carried as postcard bytes
//! behind a [`boot::ABI_VERSION`] check. The crate holds no behaviour beyond encoding and
//! validation, and depends on nothing of ours.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod boot;
pub mod console;
pub mod container;
pub mod control;
pub mod device;
pub mod fuse;
pub mod kvm;
pub mod memory_map;
pub mod message;
pub mod virtqueue;
