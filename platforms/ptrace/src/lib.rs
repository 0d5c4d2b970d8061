//! The ptrace platform: the sentry linked into a host process, applications in stub processes.
#![allow(
    unsafe_code,
    reason = "platform crate: host system calls that libc declares unsafe"
)]
