//! A root directory with nothing in it.

use std::io;

use rustix::{
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount,
        unmount,
    },
    process::{chdir, pivot_root},
};

/// Where the new root is mounted for a moment; any directory would do, and every host has this one.
const PLACE: &str = "/proc";

/// Makes an empty, read-only tmpfs the root of this mount namespace, and lets go of all other mounts.
pub fn enter() -> io::Result<()> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    let attributes = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("none", PLACE, "tmpfs", attributes, c"mode=555,nr_inodes=1")?;
    chdir(PLACE)?;
    // The new root and the place for the old one may be the same (pivot_root(2), NOTES): the old
    // root then lies on top, and is taken away.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    mount_remount("/", attributes | MountFlags::RDONLY | MountFlags::BIND, c"")?;
    Ok(chdir("/")?)
}
