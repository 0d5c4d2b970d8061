//! The sentry as a freestanding kernel image: guest ring 0 of the KVM platform.
//!
//! Built twice: with the image's flags (no SSE: see docs/decisions/ring0-image.md) it is the kernel;
//! without them it is an empty program, so that workspace-wide checks need no special target.
#![cfg_attr(not(target_feature = "sse"), no_std, no_main)]
#![allow(unsafe_code, reason = "platform crate: descriptor tables, page tables, entry code")]

#[cfg(not(target_feature = "sse"))]
extern crate alloc;

#[cfg(not(target_feature = "sse"))]
mod image;

#[cfg(target_feature = "sse")]
fn main() {}
