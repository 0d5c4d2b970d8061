//! Identity calls.

pub mod capabilities;
pub mod ids;
