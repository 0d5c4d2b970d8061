//! The gofer's jail.
//!
//! What the gofer needs of the host it opens before: the root of each tree. Then it gives up what
//! it can. In full, and with the privileges for it:
//!
//! - each tree is a detached copy of its mounts (open_tree(2)), read-only in the kernel's eyes if
//!   the device is, and without devices, set-ID programs or execution;
//! - the process is alone in its mount, network and IPC namespaces, and its root directory is
//!   /proc/self/fd: the whole file system it can name is the descriptors it holds anyway;
//! - it keeps the capabilities that file access takes, and can gain none.
//!
//! Each step that the caller's privileges do not allow is left out: the protocol server alone
//! keeps names beneath the root ([`super::server`]); the jail is the second wall.

use std::{os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{CWD, Mode, OFlags, open},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
    process::{
        DumpableBehavior, Signal, chdir, chroot, set_dumpable_behavior,
        set_parent_process_death_signal,
    },
    thread::{CapabilitySet, set_no_new_privs},
};

use super::{
    server::FdPaths,
    system::{MOUNT_DATA_ONLY, MOUNT_READ_ONLY, set_mount_attributes},
};
use crate::{
    file_pages,
    jail::{
        heap,
        namespaces::{self, Namespaces},
        only_tree, privileges,
    },
};

/// Where the process's own descriptors are.
const DESCRIPTORS: &str = "/proc/self/fd";

/// What serving files takes, whoever owns them.
const KEPT_CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP);

/// The root of a tree, opened before the jail closes.
#[derive(Debug)]
pub struct Root {
    /// O_PATH descriptor of the root.
    pub descriptor: OwnedFd,
    /// Whether it is a copy of the host's mounts, which stays whole when they are left.
    pub detached: bool,
}

/// Opens the tree (or file) at `source`, with what is mounted below it if `submounts`. Without the
/// privilege to copy mounts, it always is with them.
///
/// # Errors
/// Those of open(2); EINVAL if what is mounted below cannot be left out, because it hides something
/// from this user namespace (mount_namespaces(7)).
pub fn open_root(source: &Path, read_only: bool, submounts: bool) -> Result<Root, Errno> {
    match detached_copy(source, read_only, submounts) {
        Ok(descriptor) => return Ok(Root { descriptor, detached: true }),
        Err(Errno::INVAL) if !submounts => return Err(Errno::INVAL),
        Err(_) => {}
    }
    let descriptor = open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Root { descriptor, detached: false })
}

fn detached_copy(source: &Path, read_only: bool, submounts: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, submounts);
    let tree = open_tree(CWD, source, flags)?;
    let attributes = if read_only { MOUNT_READ_ONLY | MOUNT_DATA_ONLY } else { MOUNT_DATA_ONLY };
    set_mount_attributes(&tree, attributes)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(tree)
}

/// Closes the jail around the process, which must still have one thread; `detached` tells that
/// every tree is a copy. Answers how descriptors are named inside.
pub fn enter(detached: bool) -> FdPaths {
    heap::fix_number();
    // Without /proc it is larger, and that is all.
    let _ = file_pages::release();
    let alone = namespaces::leave(Namespaces::RESOURCES).is_ok();
    let confined = (alone && detached && leave_mounts().is_ok()) || leave_root().is_ok();
    // What fails here was not the process's to give up.
    let _ = privileges::keep_only(KEPT_CAPABILITIES);
    let _ = set_no_new_privs(true);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if confined { FdPaths::JAIL } else { FdPaths::PROC }
}

/// Ends with the thread that started this process (prctl(2)). The channel's hang-up says the same;
/// the signal also ends a process that is stuck before it looks.
pub fn die_with_parent() {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// Makes the descriptors the root directory, and lets go of all other mounts.
fn leave_mounts() -> Result<(), Errno> {
    let copy = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let descriptors = open_tree(CWD, DESCRIPTORS, copy)?;
    only_tree::enter(descriptors)
}

/// Makes the descriptors the root directory, but keeps the mounts.
fn leave_root() -> Result<(), Errno> {
    chroot(DESCRIPTORS)?;
    chdir("/")
}
