//! User namespaces that programs make (user_namespaces(7)).
//!
//! Ids in the sentry are those of the container's own user namespace, and that one has no object: it
//! is `None`. A namespace made inside translates at the edge only: where programs give ids and get
//! them. [`Credentials`] does so, since those of a task say which namespace it is in.

mod maps;
mod membership;
#[cfg(test)]
mod tests;

use alloc::{sync::Arc, vec::Vec};

use spin::mutex::SpinMutex;

use super::{Credentials, IdMap};

/// A user namespace.
#[derive(Debug)]
pub struct UserNamespace {
    /// Inode number: its identity.
    pub number: u64,
    /// That of its maker; `None` is the container's.
    pub parent: Option<Arc<Self>>,
    level: u32,
    /// Effective user id of its maker.
    owner: u32,
    /// Whether its maker might have set capabilities of files, so that its root may map root's id.
    maker_sets_file_capabilities: bool,
    /// A leaf lock.
    maps: SpinMutex<Maps>,
}

/// Each is written once.
#[derive(Clone, Debug)]
struct Maps {
    users: Option<IdMap>,
    groups: Option<IdMap>,
    allows_setgroups: bool,
}

/// Whose ids a map maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// Users.
    User,
    /// Groups.
    Group,
}

impl PartialEq for UserNamespace {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for UserNamespace {}

impl Maps {
    /// That of `kind`.
    const fn of(&mut self, kind: IdKind) -> &mut Option<IdMap> {
        match kind {
            IdKind::User => &mut self.users,
            IdKind::Group => &mut self.groups,
        }
    }
}

impl UserNamespace {
    /// The id inside, if it has one.
    fn inside(&self, kind: IdKind, id: u32) -> Option<u32> {
        self.with_map(kind, |map| map.find_inside(id))
    }

    /// The id that a program inside means.
    fn outside(&self, kind: IdKind, id: u32) -> Option<u32> {
        self.with_map(kind, |map| map.outside(id).ok())
    }

    fn with_map<T>(&self, kind: IdKind, look: impl FnOnce(&IdMap) -> Option<T>) -> Option<T> {
        self.maps.lock().of(kind).as_ref().and_then(look)
    }

    /// Whether programs in it may call setgroups(2).
    pub fn allows_setgroups(&self) -> bool {
        let maps = self.maps.lock();
        maps.allows_setgroups && maps.groups.is_some()
    }

    /// "allow" or "deny", as /proc/PID/setgroups has it.
    pub fn setgroups_word(&self) -> &'static str {
        if self.maps.lock().allows_setgroups { "allow\n" } else { "deny\n" }
    }

    /// The lines of a map as `reader` sees it: outside ids are those of the reader's namespace, or
    /// for a reader inside those of the parent.
    pub fn lines(&self, kind: IdKind, reader: &Credentials) -> Vec<u8> {
        let map = self.maps.lock().of(kind).clone();
        let is_inside = reader.user_namespace.as_deref() == Some(self);
        let outer = if is_inside { &self.parent } else { &reader.user_namespace };
        let shown = |id| match outer {
            Some(outer) => outer.inside(kind, id).unwrap_or(u32::MAX),
            None => id,
        };
        map.map(|map| map.shown_lines(shown).into_bytes()).unwrap_or_default()
    }
}
