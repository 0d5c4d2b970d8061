//! What it means to be in a namespace: capabilities, and the ids that programs see and name.

use alloc::sync::Arc;

use spin::mutex::SpinMutex;

use super::{
    super::{Capabilities, Credentials, Current, id_maps::OVERFLOW},
    IdKind, Maps, UserNamespace,
};
use crate::errno::{Errno, Result};

/// Namespaces may be nested so deep (user_namespaces(7), "Nested user namespaces").
pub(super) const MAX_LEVEL: u32 = 32;

impl Credentials {
    /// Whether `capability` is effective in `namespace`: in one's own as the sets say; in those that
    /// its own user made there, all are (user_namespaces(7), "Capabilities").
    pub fn has_in(&self, namespace: Option<&UserNamespace>, capability: Capabilities) -> bool {
        let own = self.user_namespace.as_deref();
        let mut at = namespace;
        while at != own {
            // The container's namespace has none outside it.
            let Some(inner) = at else { return false };
            at = inner.parent.as_deref();
            if at == own && inner.owner == self.effective_uid {
                return true;
            }
        }
        self.effective.contains(capability)
    }

    /// Whether `capability` is effective in the namespace it was granted in.
    pub const fn has_in_own(&self, capability: Capabilities) -> bool {
        self.effective.contains(capability)
    }

    /// Whether `capability` is effective over a task with the credentials `target`.
    pub fn has_over(&self, target: &Self, capability: Capabilities) -> bool {
        self.has_in(target.user_namespace.as_deref(), capability)
    }

    /// Whether `capability` is effective over a file with this owner and group, whose ids have to be
    /// mapped for that.
    pub fn has_over_file(&self, (uid, gid): (u32, u32), capability: Capabilities) -> bool {
        self.effective.contains(capability) && self.maps_ids(uid, gid)
    }

    /// Whether its namespace has both ids.
    pub fn maps_ids(&self, uid: u32, gid: u32) -> bool {
        self.user_namespace.as_ref().is_none_or(|namespace| {
            namespace.inside(IdKind::User, uid).is_some()
                && namespace.inside(IdKind::Group, gid).is_some()
        })
    }

    /// What a program with these credentials sees of the user `uid`.
    pub fn shown_user(&self, uid: u32) -> u32 {
        self.shown(IdKind::User, uid)
    }

    /// The same of a group.
    pub fn shown_group(&self, gid: u32) -> u32 {
        self.shown(IdKind::Group, gid)
    }

    fn shown(&self, kind: IdKind, id: u32) -> u32 {
        match &self.user_namespace {
            None => id,
            Some(namespace) => namespace.inside(kind, id).unwrap_or(OVERFLOW),
        }
    }

    /// The user that a program with these credentials calls `uid`.
    ///
    /// # Errors
    /// EINVAL if its namespace has none.
    pub fn named_user(&self, uid: u32) -> Result<u32> {
        self.named(IdKind::User, uid)
    }

    /// The same for a group.
    ///
    /// # Errors
    /// As [`Self::named_user`].
    pub fn named_group(&self, gid: u32) -> Result<u32> {
        self.named(IdKind::Group, gid)
    }

    fn named(&self, kind: IdKind, id: u32) -> Result<u32> {
        match &self.user_namespace {
            None => Ok(id),
            Some(namespace) => namespace.outside(kind, id).ok_or(Errno::EINVAL),
        }
    }

    /// The user who is root in its namespace, if one is.
    pub fn root(&self) -> Option<u32> {
        self.named_user(0).ok()
    }

    /// These credentials in `namespace`, with all its capabilities.
    fn in_namespace(&self, namespace: Arc<UserNamespace>) -> Self {
        Self {
            permitted: Capabilities::all(),
            effective: Capabilities::all(),
            inheritable: Capabilities::empty(),
            bounding: Capabilities::all(),
            ambient: Capabilities::empty(),
            securebits: 0,
            user_namespace: Some(namespace),
            ..self.clone()
        }
    }

    /// These credentials in a new namespace that is called `number`.
    ///
    /// # Errors
    /// ENOSPC if it would be nested too deep; EPERM if the maker's ids are not mapped where it is.
    pub(super) fn in_new_namespace(&self, number: u64) -> Result<Self> {
        let parent = self.user_namespace.clone();
        let level = parent.as_ref().map_or(0, |parent| parent.level) + 1;
        if level > MAX_LEVEL {
            return Err(Errno::ENOSPC);
        }
        if !self.maps_ids(self.effective_uid, self.effective_gid) {
            return Err(Errno::EPERM);
        }
        let allows_setgroups =
            parent.as_ref().is_none_or(|parent| parent.maps.lock().allows_setgroups);
        let namespace = UserNamespace {
            number,
            parent,
            level,
            owner: self.effective_uid,
            maker_sets_file_capabilities: self.effective.contains(Capabilities::SETFCAP),
            maps: SpinMutex::new(Maps { users: None, groups: None, allows_setgroups }),
        };
        Ok(self.in_namespace(Arc::new(namespace)))
    }
}

impl Current {
    /// Its credentials in a new user namespace (CLONE_NEWUSER).
    ///
    /// # Errors
    /// ENOSPC, EPERM: also for who has changed its root (clone(2)).
    pub fn in_new_user_namespace(&self) -> Result<Credentials> {
        let root = self.fs.root();
        if root != root.root_of_tree() {
            return Err(Errno::EPERM);
        }
        self.credentials().in_new_namespace(self.kernel.next_namespace_number())
    }

    /// Its credentials in `namespace`, which it wants to join (setns(2)).
    ///
    /// # Errors
    /// EINVAL if it is in there already; EPERM without CAP_SYS_ADMIN in there.
    pub fn in_user_namespace(&self, namespace: Option<Arc<UserNamespace>>) -> Result<Credentials> {
        let own = self.credentials();
        if own.user_namespace == namespace {
            return Err(Errno::EINVAL);
        }
        let namespace = namespace.ok_or(Errno::EPERM)?;
        if !own.has_in(Some(&namespace), Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        Ok(own.in_namespace(namespace))
    }
}
