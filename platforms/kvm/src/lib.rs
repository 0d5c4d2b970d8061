//! The host half of the KVM platform.
//!
//! [`self_test`] answers the first question: does KVM really work here?
#![allow(unsafe_code, reason = "platform crate: guest memory and KVM ioctls")]

pub mod self_test;
