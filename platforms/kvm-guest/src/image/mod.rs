//! The image: what runs from the entry point on. Read `boot` first, then `entry`, then `platform`.

mod address_spaces;
mod apic;
mod boot;
mod clock;
mod descriptors;
mod entry;
mod extended;
mod heap;
mod idle;
mod intrinsics;
mod memory_functions;
mod panic;
mod per_cpu;
mod platform;
mod ports;
mod processor;
mod shootdown;
mod trap;
