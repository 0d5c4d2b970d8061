//! What /dev holds when a container starts (OCI runtime specification, "Default Devices").

use alloc::sync::Arc;

use crate::{
    errno::Result,
    tty::console::CONSOLE,
    vfs::{DeviceNumber, Inode, NewInode, NewNode},
};

/// Character devices that everybody may use.
const DEVICES: &[(&str, DeviceNumber)] = &[
    ("null", DeviceNumber { major: 1, minor: 3 }),
    ("zero", DeviceNumber { major: 1, minor: 5 }),
    ("full", DeviceNumber { major: 1, minor: 7 }),
    ("random", DeviceNumber { major: 1, minor: 8 }),
    ("urandom", DeviceNumber { major: 1, minor: 9 }),
    ("tty", DeviceNumber { major: 5, minor: 0 }),
];

const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Places for other mounts, and their permissions.
const DIRECTORIES: &[(&str, u16)] = &[("pts", 0o755), ("shm", 0o1777), ("mqueue", 0o1777)];

/// Fills `directory`, the root of an empty file system that becomes /dev. With `console`, the
/// container has a terminal.
///
/// # Errors
/// ENOSPC, or whatever else the file system says.
pub async fn populate(directory: &Arc<dyn Inode>, console: bool) -> Result<()> {
    for (name, number) in DEVICES {
        add(directory, name, NewNode::CharacterDevice(*number), 0o666).await?;
    }
    for (name, target) in LINKS {
        add(directory, name, NewNode::SymbolicLink(target.as_bytes().to_vec()), 0o777).await?;
    }
    for (name, permissions) in DIRECTORIES {
        add(directory, name, NewNode::Directory, *permissions).await?;
    }
    if console {
        add(directory, "console", NewNode::CharacterDevice(CONSOLE), 0o620).await?;
    }
    Ok(())
}

async fn add(
    directory: &Arc<dyn Inode>,
    name: &str,
    node: NewNode,
    permissions: u16,
) -> Result<()> {
    let new = NewInode { node, permissions, uid: 0, gid: 0 };
    directory.create(name.as_bytes(), new).await.map(drop)
}
