//! File systems, and the files that have no name.

mod byte_ring;
pub mod dev;
pub mod devpts;
pub mod epoll;
pub mod event_fd;
pub mod gofer;
pub mod overlay;
pub mod pipe;
pub mod pseudo;
mod record;
#[cfg(test)]
pub mod testing;
pub mod timer_fd;
pub mod tmpfs;

pub use byte_ring::ByteRing;
