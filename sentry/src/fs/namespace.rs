//! Namespaces as files (namespaces(7)). But for those of users, a sandbox has one namespace of each
//! kind, so these files only tell that two processes share it.

use alloc::{format, string::String, sync::Arc};

use crate::{
    errno::Result,
    kernel::{CloneFlags, UserNamespace},
    vfs::{Anonymous, File, OpenFlags},
};

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceKind {
    /// The name before the colon.
    pub label: &'static str,
    /// Inode number, as that of Linux's first namespace of this kind (include/linux/proc_ns.h).
    inode: u64,
}

#[allow(missing_docs, reason = "the names are those of namespaces(7)")]
impl NamespaceKind {
    pub const CGROUP: Self = Self { label: "cgroup", inode: 0xefff_fffb };
    pub const IPC: Self = Self { label: "ipc", inode: 0xefff_ffff };
    pub const MOUNT: Self = Self { label: "mnt", inode: 0xf000_0000 };
    pub const NET: Self = Self { label: "net", inode: 0xf000_0098 };
    pub const PID: Self = Self { label: "pid", inode: 0xefff_fffc };
    pub const TIME: Self = Self { label: "time", inode: 0xefff_fffa };
    pub const USER: Self = Self { label: "user", inode: 0xefff_fffd };
    pub const UTS: Self = Self { label: "uts", inode: 0xefff_fffe };

    /// The flag of setns(2) that names the kind.
    pub fn clone_flag(self) -> CloneFlags {
        match self.label {
            "cgroup" => CloneFlags::NEW_CGROUP,
            "ipc" => CloneFlags::NEW_IPC,
            "mnt" => CloneFlags::NEW_MOUNTS,
            "net" => CloneFlags::NEW_NET,
            "pid" => CloneFlags::NEW_PID,
            "time" => CloneFlags::NEW_TIME,
            "user" => CloneFlags::NEW_USER,
            _ => CloneFlags::NEW_UTS,
        }
    }
}

/// An open namespace.
#[derive(Debug)]
pub struct NamespaceFile {
    /// Its kind.
    pub kind: NamespaceKind,
    /// A namespace of users that a program made; `None` is the container's own.
    pub user: Option<Arc<UserNamespace>>,
}

impl NamespaceFile {
    /// What the link to it reads as.
    pub fn link(&self) -> String {
        format!("{}:[{}]", self.kind.label, self.inode())
    }

    fn inode(&self) -> u64 {
        self.user.as_ref().map_or(self.kind.inode, |user| user.number)
    }
}

impl File for NamespaceFile {
    fn anonymous(&self) -> Anonymous {
        let kind = Anonymous::inode(self.kind.label);
        Anonymous { inode: self.inode(), permissions: 0o444, ..kind }
    }

    fn reopen(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn File>> {
        Ok(self)
    }
}
