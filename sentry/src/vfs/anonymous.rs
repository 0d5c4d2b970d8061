//! Open files that no name leads to: pipes, sockets, epoll and the like.

use alloc::{format, string::String};

use super::{Attributes, DeviceNumber, FileKind, Timestamp};

/// What fstat(2) and /proc/PID/fd tell of such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anonymous {
    /// Its type.
    pub kind: FileKind,
    /// A number, the same for all descriptions of one object.
    pub inode: u64,
    /// What it is called, such as `eventpoll`.
    pub label: &'static str,
}

impl Anonymous {
    /// A file of no type of its own, called `label`.
    pub const fn inode(label: &'static str) -> Self {
        Self { kind: FileKind::Regular, inode: 1, label }
    }

    /// Its attributes.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            device: DeviceNumber { major: 0, minor: 0 },
            inode: self.inode,
            kind: self.kind,
            permissions: if self.kind == FileKind::Socket { 0o777 } else { 0o600 },
            links: 1,
            uid: 0,
            gid: 0,
            device_node: DeviceNumber::default(),
            size: 0,
            block_size: 4096,
            blocks: 0,
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
            created: None,
        }
    }

    /// What the link in /proc/PID/fd reads as (proc_pid_fd(5)).
    pub fn link(&self) -> String {
        match self.kind {
            FileKind::Fifo => format!("pipe:[{}]", self.inode),
            FileKind::Socket => format!("socket:[{}]", self.inode),
            _ => format!("anon_inode:[{}]", self.label),
        }
    }
}
