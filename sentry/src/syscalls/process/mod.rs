//! Process calls.

pub mod clone;
pub mod control;
pub mod exec;
pub mod exit;
pub mod group;
pub mod limits;
pub mod memory;
pub mod namespaces;
pub mod pid_fd;
pub mod seccomp;
