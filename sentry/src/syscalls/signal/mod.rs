//! Signal calls.

mod abi;
pub mod action;
pub mod send;
pub mod wait;

pub use abi::{check_size, read_set};
pub use send::send_info;
