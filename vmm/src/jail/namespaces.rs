//! Namespaces of the host (namespaces(7)).
#![allow(unsafe_code, reason = "leaf module: unshare(2), which may not take descriptors apart")]

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Namespaces to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces(UnshareFlags);

impl Namespaces {
    /// Users, mounts, network, System V IPC and POSIX queues, host name.
    pub const ALL: Self = Self(UnshareFlags::NEWUSER.union(Self::RESOURCES.0));
    /// Mounts.
    pub const MOUNTS: Self = Self(UnshareFlags::NEWNS);
    /// All but users, which takes privileges.
    pub const RESOURCES: Self = Self(
        UnshareFlags::NEWNS
            .union(UnshareFlags::NEWNET)
            .union(UnshareFlags::NEWIPC)
            .union(UnshareFlags::NEWUTS),
    );
}

/// Gives this process, which must have one thread, namespaces of its own (unshare(2)); in one call,
/// which is cheaper than one for each. Where users cannot be left, the others are.
///
/// # Errors
/// `EPERM` if the host does not allow it.
pub fn leave(namespaces: Namespaces) -> io::Result<()> {
    // SAFETY: the flags do not include CLONE_FILES, so every thread keeps seeing the same
    // descriptors.
    let unshare = |flags| unsafe { unshare_unsafe(flags) };
    let all = unshare(namespaces.0);
    Ok(all.or_else(|_| unshare(namespaces.0.difference(UnshareFlags::NEWUSER)))?)
}
