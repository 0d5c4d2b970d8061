//! Physical memory: sandbox memory as frames, and device windows.
#![doc = include_str!("README.md")]

mod allocator;
mod buddy;
mod frame;
mod frame_ref;
mod physical;

pub use allocator::{FrameAllocator, MAX_ORDER, Reclaim};
pub use frame::{Frame, PAGE_SIZE};
pub use frame_ref::{FrameRef, FrameRun};
pub use physical::{OutOfRange, PhysicalMemory, Region, SharedU16};
