//! File systems, and the files that have no name.

mod byte_ring;
pub mod pipe;
#[cfg(test)]
pub mod testing;

pub use byte_ring::ByteRing;
