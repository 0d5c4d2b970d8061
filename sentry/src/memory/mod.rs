//! Physical memory: sandbox memory as frames, and device windows.

mod frame;
mod physical;

pub use frame::{Frame, PAGE_SIZE};
pub use physical::{OutOfRange, PhysicalMemory, Region};
