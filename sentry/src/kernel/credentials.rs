//! Who a task acts as (credentials(7), capabilities(7)).
#![allow(missing_docs, reason = "flags keep the names of their man pages")]

use alloc::{sync::Arc, vec::Vec};

use bitflags::bitflags;
use guest_abi::container::CapabilitySets;

use super::UserNamespace;

bitflags! {
    /// A set of capabilities; bit N is capability number N of `<linux/capability.h>`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the names are those of capabilities(7)")]
    pub struct Capabilities: u64 {
        const CHOWN = 1 << 0;
        const DAC_OVERRIDE = 1 << 1;
        const DAC_READ_SEARCH = 1 << 2;
        const FOWNER = 1 << 3;
        const FSETID = 1 << 4;
        const KILL = 1 << 5;
        const SETGID = 1 << 6;
        const SETUID = 1 << 7;
        const SETPCAP = 1 << 8;
        const LINUX_IMMUTABLE = 1 << 9;
        const NET_BIND_SERVICE = 1 << 10;
        const NET_BROADCAST = 1 << 11;
        const NET_ADMIN = 1 << 12;
        const NET_RAW = 1 << 13;
        const IPC_LOCK = 1 << 14;
        const IPC_OWNER = 1 << 15;
        const SYS_MODULE = 1 << 16;
        const SYS_RAWIO = 1 << 17;
        const SYS_CHROOT = 1 << 18;
        const SYS_PTRACE = 1 << 19;
        const SYS_PACCT = 1 << 20;
        const SYS_ADMIN = 1 << 21;
        const SYS_BOOT = 1 << 22;
        const SYS_NICE = 1 << 23;
        const SYS_RESOURCE = 1 << 24;
        const SYS_TIME = 1 << 25;
        const SYS_TTY_CONFIG = 1 << 26;
        const MKNOD = 1 << 27;
        const LEASE = 1 << 28;
        const AUDIT_WRITE = 1 << 29;
        const AUDIT_CONTROL = 1 << 30;
        const SETFCAP = 1 << 31;
        const MAC_OVERRIDE = 1 << 32;
        const MAC_ADMIN = 1 << 33;
        const SYSLOG = 1 << 34;
        const WAKE_ALARM = 1 << 35;
        const BLOCK_SUSPEND = 1 << 36;
        const AUDIT_READ = 1 << 37;
        const PERFMON = 1 << 38;
        const BPF = 1 << 39;
        const CHECKPOINT_RESTORE = 1 << 40;
    }
}

/// The identity and rights of a task. Immutable: a change replaces the whole, so readers hold an
/// `Arc` of a consistent one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub effective_uid: u32,
    /// Saved set-user-id.
    pub saved_uid: u32,
    /// File-system user id, which permission checks use.
    pub fs_uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub effective_gid: u32,
    /// Saved set-group-id.
    pub saved_gid: u32,
    /// File-system group id.
    pub fs_gid: u32,
    /// Supplementary groups, sorted.
    pub groups: Vec<u32>,
    /// Permitted capabilities.
    pub permitted: Capabilities,
    /// Effective capabilities.
    pub effective: Capabilities,
    /// Inheritable capabilities.
    pub inheritable: Capabilities,
    /// Bounding set.
    pub bounding: Capabilities,
    /// Ambient set.
    pub ambient: Capabilities,
    /// Securebits (prctl(2) PR_SET_SECUREBITS).
    pub securebits: u32,
    /// no_new_privs.
    pub no_new_privileges: bool,
    /// The user namespace that the capabilities hold in; `None` is the container's own.
    pub user_namespace: Option<Arc<UserNamespace>>,
}

impl Credentials {
    /// Credentials of a container's first process.
    pub fn new(uid: u32, gid: u32, groups: &[u32], sets: CapabilitySets) -> Self {
        let mut groups = groups.to_vec();
        groups.sort_unstable();
        Self {
            uid,
            effective_uid: uid,
            saved_uid: uid,
            fs_uid: uid,
            gid,
            effective_gid: gid,
            saved_gid: gid,
            fs_gid: gid,
            groups,
            permitted: Capabilities::from_bits_truncate(sets.permitted),
            effective: Capabilities::from_bits_truncate(sets.effective),
            inheritable: Capabilities::from_bits_truncate(sets.inheritable),
            bounding: Capabilities::from_bits_truncate(sets.bounding),
            ambient: Capabilities::from_bits_truncate(sets.ambient),
            securebits: 0,
            no_new_privileges: false,
            user_namespace: None,
        }
    }

    /// Credentials of the sentry itself: user 0 with every capability.
    pub fn kernel() -> Self {
        Self {
            permitted: Capabilities::all(),
            effective: Capabilities::all(),
            bounding: Capabilities::all(),
            ..Self::default()
        }
    }

    /// Whether `capability` is effective in the container's own user namespace, to which all belongs
    /// that is not said to belong to another.
    pub const fn has(&self, capability: Capabilities) -> bool {
        self.user_namespace.is_none() && self.effective.contains(capability)
    }

    /// Whether `gid` is the file-system group or a supplementary one.
    pub fn in_group(&self, gid: u32) -> bool {
        self.fs_gid == gid || self.groups.binary_search(&gid).is_ok()
    }
}

/// The kernel does not grant capabilities for user id 0 (capabilities(7), "The securebits flags").
pub const SECURE_NO_ROOT: u32 = 1;
/// Changes between user id 0 and others leave capabilities alone.
pub const SECURE_NO_SETUID_FIXUP: u32 = 1 << 2;
/// Capabilities stay permitted when all user ids become nonzero.
pub const SECURE_KEEP_CAPABILITIES: u32 = 1 << 4;

/// No ambient capability is raised.
pub const SECURE_NO_AMBIENT_RAISE: u32 = 1 << 6;
/// All securebits and their locks.
pub const SECURE_ALL_BITS: u32 = 0xff;

impl Credentials {
    /// Completes credentials whose effective ids a program file has set: the rest of the
    /// transformation of execve(2) for a file without capabilities of its own (capabilities(7)).
    pub fn after_exec(&mut self, old: &Self) {
        let is_set_id =
            self.effective_uid != old.effective_uid || self.effective_gid != old.effective_gid;
        let root_id = self.root();
        let is_root = |uid: u32| root_id == Some(uid);
        let root = self.securebits & SECURE_NO_ROOT == 0
            && (is_root(self.uid) || is_root(self.effective_uid));
        if is_set_id {
            self.ambient = Capabilities::empty();
        }
        let all = Capabilities::all();
        let (file, file_effective) =
            if root { (all, is_root(self.effective_uid)) } else { (Capabilities::empty(), false) };
        self.permitted = (self.inheritable & file) | (file & self.bounding) | self.ambient;
        if self.no_new_privileges {
            self.permitted &= old.permitted;
        }
        self.effective = if file_effective { self.permitted } else { self.ambient };
        self.saved_uid = self.effective_uid;
        self.fs_uid = self.effective_uid;
        self.saved_gid = self.effective_gid;
        self.fs_gid = self.effective_gid;
        self.securebits &= !SECURE_KEEP_CAPABILITIES;
    }

    /// Adjusts capabilities after the user ids changed from those of `old` (capabilities(7),
    /// "Effect of user ID changes on capabilities").
    pub fn after_uid_change(&mut self, old: &Self) {
        if self.securebits & SECURE_NO_SETUID_FIXUP != 0 {
            return;
        }
        // Without a root in its namespace nobody becomes or ceases to be root.
        let Some(root) = self.root() else { return };
        let was_root = [old.uid, old.effective_uid, old.saved_uid].contains(&root);
        let is_root = [self.uid, self.effective_uid, self.saved_uid].contains(&root);
        if was_root && !is_root {
            if self.securebits & SECURE_KEEP_CAPABILITIES == 0 {
                self.permitted = Capabilities::empty();
                self.effective = Capabilities::empty();
            }
            self.ambient = Capabilities::empty();
        }
        if old.effective_uid == root && self.effective_uid != root {
            self.effective = Capabilities::empty();
        } else if old.effective_uid != root && self.effective_uid == root {
            self.effective = self.permitted;
        }
    }

    /// Adjusts the capabilities about files after the file-system user id changed from `old`'s.
    pub fn after_fs_uid_change(&mut self, old: &Self) {
        let about_files = Capabilities::CHOWN
            | Capabilities::DAC_OVERRIDE
            | Capabilities::DAC_READ_SEARCH
            | Capabilities::FOWNER
            | Capabilities::FSETID
            | Capabilities::LINUX_IMMUTABLE
            | Capabilities::MKNOD
            | Capabilities::MAC_OVERRIDE;
        if self.securebits & SECURE_NO_SETUID_FIXUP != 0 {
            return;
        }
        let Some(root) = self.root() else { return };
        if old.fs_uid == root && self.fs_uid != root {
            self.effective -= about_files;
        } else if old.fs_uid != root && self.fs_uid == root {
            self.effective |= self.permitted & about_files;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Credentials {
        let sets = CapabilitySets {
            bounding: 0x3,
            permitted: 0x3,
            effective: 0x3,
            ..CapabilitySets::default()
        };
        Credentials::new(0, 0, &[], sets)
    }

    #[test]
    fn root_gains_the_bounding_set_and_no_more() {
        let old = Credentials { uid: 5, effective_uid: 5, ..root() };
        let mut new = Credentials { effective_uid: 0, ..old.clone() };
        new.after_exec(&old);
        assert_eq!(new.effective, Capabilities::CHOWN | Capabilities::DAC_OVERRIDE);
        assert_eq!(new.saved_uid, 0);
    }

    #[test]
    fn leaving_root_drops_capabilities_unless_kept() {
        let old = root();
        let user = Credentials { uid: 5, effective_uid: 5, saved_uid: 5, ..old.clone() };
        let mut dropped = user.clone();
        dropped.after_uid_change(&old);
        assert!(dropped.permitted.is_empty() && dropped.effective.is_empty());
        let mut kept = Credentials { securebits: SECURE_KEEP_CAPABILITIES, ..user };
        kept.after_uid_change(&old);
        assert_eq!(kept.permitted, old.permitted);
        assert!(kept.effective.is_empty());
    }
}
