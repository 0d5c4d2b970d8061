//! Process calls.

pub mod clone;
pub mod control;
pub mod exec;
pub mod exit;
pub mod group;
pub mod limits;
