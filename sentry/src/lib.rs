//! The sentry: an application kernel that serves the Linux system-call ABI.
//!
//! It knows no host operating system. Everything from outside enters through
//! [`platform::Platform`] (memory, user mode, clocks, doorbells) and through virtqueues, so the
//! same code runs in guest ring 0, in a host process beside ptrace, and in unit tests on a mock
//! platform with virtual time.
//!
//! Start reading at [`kernel`]: a task is a future whose loop runs user code, serves the trap, and
//! delivers signals.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod drivers;
pub mod errno;
pub mod fs;
pub mod io;
pub mod ipc;
pub mod kernel;
pub mod loader;
pub mod memory;
pub mod mm;
pub mod net;
pub mod platform;
pub mod seccomp;
pub mod syscalls;
pub mod tty;
pub mod vfs;
