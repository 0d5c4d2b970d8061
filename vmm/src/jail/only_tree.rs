//! A root directory that is a tree of the host and nothing else.

use std::os::fd::AsFd;

use rustix::{
    fs::CWD,
    io::Errno,
    mount::{
        MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount,
    },
    process::{chdir, pivot_root},
};

/// Where the tree is mounted for a moment; any directory would do, and every host has this one.
const PLACE: &str = "/proc";

/// Makes `tree`, a detached copy of mounts (open_tree(2)), the root of this mount namespace, and lets go of
/// all other mounts.
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN; `EINVAL` if it is attached somewhere.
pub fn enter(tree: impl AsFd) -> Result<(), Errno> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    move_mount(tree, "", CWD, PLACE, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    chdir(PLACE)?;
    // The new root and the place for the old one may be the same (pivot_root(2), NOTES): the old
    // root then lies on top, and is taken away.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")
}
