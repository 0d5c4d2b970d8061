//! User namespaces that programs make (user_namespaces(7)).
//!
//! Ids in the sentry are those of the container's own user namespace, and that one has no object: it
//! is `None`. A namespace made inside translates at the edge only: where programs give ids and get
//! them. [`Credentials`] does so, since those of a task say which namespace it is in.

use alloc::{sync::Arc, vec::Vec};

use guest_abi::container::IdMapping;
use spin::mutex::SpinMutex;

use super::{Capabilities, Credentials, Current, IdMap};
use crate::errno::{Errno, Result};

/// Namespaces may be nested so deep (user_namespaces(7), "Nested user namespaces").
const MAX_LEVEL: u32 = 32;

/// Most lines of a map (user_namespaces(7)).
const MAX_LINES: usize = 340;

/// What an id shows as that the namespace does not map.
const OVERFLOW: u32 = 65534;

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
        let maps = self.maps.lock();
        let map = match kind {
            IdKind::User => &maps.users,
            IdKind::Group => &maps.groups,
        };
        map.as_ref().and_then(look)
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

    /// A write of `text` to /proc/PID/setgroups.
    ///
    /// # Errors
    /// EINVAL for another word; EPERM if `writer` may not, or it is too late.
    pub fn set_setgroups(&self, writer: &Credentials, text: &[u8]) -> Result<()> {
        let allows = match text.trim_ascii_end() {
            b"allow" => true,
            b"deny" => false,
            _ => return Err(Errno::EINVAL),
        };
        if !writer.has_in(Some(self), Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let mut maps = self.maps.lock();
        if allows != maps.allows_setgroups && (allows || maps.groups.is_some()) {
            return Err(Errno::EPERM);
        }
        maps.allows_setgroups = allows;
        Ok(())
    }

    /// The lines of a map as `reader` sees it: outside ids are those of the reader's namespace, or
    /// for a reader inside those of the parent.
    pub fn lines(&self, kind: IdKind, reader: &Credentials) -> Vec<u8> {
        let map = {
            let maps = self.maps.lock();
            if kind == IdKind::User { maps.users.clone() } else { maps.groups.clone() }
        };
        let is_inside = reader.user_namespace.as_deref() == Some(self);
        let outer = if is_inside { &self.parent } else { &reader.user_namespace };
        let shown = |id| match outer {
            Some(outer) => outer.inside(kind, id).unwrap_or(u32::MAX),
            None => id,
        };
        map.map(|map| map.shown_lines(shown).into_bytes()).unwrap_or_default()
    }

    /// A write of `text` to /proc/PID/uid_map or gid_map by `writer`, who opened it.
    ///
    /// # Errors
    /// EINVAL if it is malformed, EPERM if it may not be ("Defining user and group ID mappings").
    pub fn set_map(&self, kind: IdKind, writer: &Credentials, text: &[u8]) -> Result<()> {
        let runs = parse(text)?;
        let place = writer.user_namespace.as_deref();
        if place != Some(self) && place != self.parent.as_deref() {
            return Err(Errno::EPERM);
        }
        let may = writer.has_in(Some(self), Capabilities::SYS_ADMIN)
            && self.may_map_root(kind, writer, &runs)
            && self.may_map(kind, writer, &runs);
        if !may {
            return Err(Errno::EPERM);
        }
        let map = IdMap::of_runs(self.translate(kind, runs)?);
        let mut maps = self.maps.lock();
        let place = if kind == IdKind::User { &mut maps.users } else { &mut maps.groups };
        if place.is_some() {
            return Err(Errno::EPERM);
        }
        *place = Some(map);
        Ok(())
    }

    /// Who maps root's id could set capabilities of files that count outside.
    fn may_map_root(&self, kind: IdKind, writer: &Credentials, runs: &[IdMapping]) -> bool {
        if kind == IdKind::Group || runs.iter().all(|run| run.outside != 0) {
            return true;
        }
        if writer.user_namespace.as_deref() == Some(self) {
            return self.maker_sets_file_capabilities;
        }
        writer.has_in(self.parent.as_deref(), Capabilities::SETFCAP)
    }

    /// The maker may map its own id; others take a capability in the parent.
    fn may_map(&self, kind: IdKind, writer: &Credentials, runs: &[IdMapping]) -> bool {
        let (capability, own) = match kind {
            IdKind::User => (Capabilities::SETUID, writer.effective_uid),
            IdKind::Group => (Capabilities::SETGID, writer.effective_gid),
        };
        let is_harmless = kind == IdKind::User || !self.maps.lock().allows_setgroups;
        if let [IdMapping { outside, count: 1, .. }] = runs
            && is_harmless
            && self.owner == writer.effective_uid
            && self.of_parent(kind, *outside) == Some(own)
        {
            return true;
        }
        writer.has_in(self.parent.as_deref(), capability)
    }

    fn of_parent(&self, kind: IdKind, id: u32) -> Option<u32> {
        self.parent.as_ref().map_or(Some(id), |parent| parent.outside(kind, id))
    }

    /// `runs` with outside ids of the container's namespace in place of the parent's.
    fn translate(&self, kind: IdKind, runs: Vec<IdMapping>) -> Result<Vec<IdMapping>> {
        let Some(parent) = &self.parent else { return Ok(runs) };
        let translated = runs.into_iter().map(|run| {
            let outside = |map: &IdMap| map.outside_run(run.outside, run.count);
            Some(IdMapping { outside: parent.with_map(kind, outside)?, ..run })
        });
        translated.collect::<Option<_>>().ok_or(Errno::EPERM)
    }
}

/// The lines of a map: first id inside, first outside, how many.
fn parse(text: &[u8]) -> Result<Vec<IdMapping>> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    let line = |line: &str| {
        let numbers: Vec<u32> = line
            .split_ascii_whitespace()
            .map(str::parse)
            .collect::<core::result::Result<_, _>>()
            .ok()?;
        let [inside, outside, count] = <[u32; 3]>::try_from(numbers).ok()?;
        let ends = (inside.checked_add(count)?, outside.checked_add(count)?);
        (count > 0 && ends.0 > inside).then_some(IdMapping { inside, outside, count })
    };
    let runs: Vec<_> = text.lines().map(line).collect::<Option<_>>().ok_or(Errno::EINVAL)?;
    let overlap = |from: fn(&IdMapping) -> u32| {
        runs.iter().enumerate().any(|(index, one)| {
            let others = runs.iter().skip(index + 1);
            others.clone().any(|other| {
                from(one) < from(other) + other.count && from(other) < from(one) + one.count
            })
        })
    };
    let is_valid = !runs.is_empty()
        && runs.len() <= MAX_LINES
        && !overlap(|run| run.inside)
        && !overlap(|run| run.outside);
    if is_valid { Ok(runs) } else { Err(Errno::EINVAL) }
}

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
    fn in_new_namespace(&self, number: u64) -> Result<Self> {
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

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use guest_abi::container::CapabilitySets;

    use super::*;

    fn user(uid: u32) -> Credentials {
        Credentials::new(uid, uid, &[], CapabilitySets::default())
    }

    fn entered(credentials: &Credentials) -> (Credentials, Arc<UserNamespace>) {
        let outer = credentials.user_namespace.as_ref().map_or(0, |outer| outer.number);
        let inside = credentials.in_new_namespace(outer + 1).unwrap();
        let namespace = inside.user_namespace.clone().unwrap();
        (inside, namespace)
    }

    #[test]
    fn a_users_own_id_may_be_mapped_once_and_nothing_else() {
        let maker = user(1000);
        let (inside, namespace) = entered(&maker);
        assert_eq!([inside.shown_user(1000), inside.shown_user(0)], [OVERFLOW; 2]);
        assert_eq!(inside.named_user(0), Err(Errno::EINVAL));
        let stranger = user(5);
        let set = |writer, text: &[u8]| namespace.set_map(IdKind::User, writer, text);
        assert_eq!(set(&inside, b"0 1000 2\n"), Err(Errno::EPERM));
        assert_eq!(set(&inside, b"0 0 1\n"), Err(Errno::EPERM));
        assert_eq!(set(&stranger, b"0 5 1\n"), Err(Errno::EPERM));
        assert_eq!(set(&inside, b"0 1000 1\n"), Ok(()));
        assert_eq!(set(&inside, b"0 1000 1\n"), Err(Errno::EPERM));
        assert_eq!((inside.shown_user(1000), inside.named_user(0)), (0, Ok(1000)));
        assert_eq!(inside.named_user(1), Err(Errno::EINVAL));
        let lines = String::from_utf8(namespace.lines(IdKind::User, &maker)).unwrap();
        assert_eq!(lines, "         0       1000          1\n");
    }

    #[test]
    fn the_makers_group_takes_denied_setgroups() {
        let (inside, namespace) = entered(&user(1000));
        let set = || namespace.set_map(IdKind::Group, &inside, b"0 1000 1\n");
        assert_eq!(set(), Err(Errno::EPERM));
        assert_eq!(namespace.set_setgroups(&user(5), b"deny"), Err(Errno::EPERM));
        assert_eq!(namespace.set_setgroups(&inside, b"deny\n"), Ok(()));
        assert_eq!(set(), Ok(()));
        assert_eq!(namespace.set_setgroups(&inside, b"allow"), Err(Errno::EPERM));
        assert!(!namespace.allows_setgroups());
        assert_eq!(namespace.setgroups_word(), "deny\n");
    }

    #[test]
    fn privileged_makers_map_any_ids_and_nested_maps_compose() {
        let root = Credentials::kernel();
        let (outer, namespace) = entered(&root);
        namespace.set_map(IdKind::User, &root, b"0 100 50\n1000 7 1").unwrap();
        namespace.set_map(IdKind::Group, &root, b"0 100 50").unwrap();
        let member = Credentials { effective_uid: 100, effective_gid: 100, ..outer };
        let inner = member.in_new_namespace(8).unwrap();
        let nested = inner.user_namespace.clone().unwrap();
        assert_eq!(nested.set_map(IdKind::User, &member, b"5 40 20"), Err(Errno::EPERM));
        // No one line of the parent's map covers the id between the two.
        assert_eq!(nested.set_map(IdKind::User, &member, b"0 49 952"), Err(Errno::EPERM));
        nested.set_map(IdKind::User, &member, b"5 1 3").unwrap();
        assert_eq!(inner.named_user(6), Ok(102));
        assert_eq!(inner.shown_user(101), 5);
        let lines = |reader| String::from_utf8(nested.lines(IdKind::User, reader)).unwrap();
        assert_eq!(lines(&inner), "         5          1          3\n");
        assert_eq!(lines(&root), "         5        101          3\n");
    }

    #[test]
    fn capabilities_hold_within_a_namespace_only() {
        let maker = user(1000);
        let (inside, namespace) = entered(&maker);
        let (nested, deeper) = {
            namespace.set_map(IdKind::User, &inside, b"0 1000 1").unwrap();
            namespace.set_setgroups(&inside, b"deny").unwrap();
            namespace.set_map(IdKind::Group, &inside, b"0 1000 1").unwrap();
            entered(&inside)
        };
        let capability = Capabilities::SYS_ADMIN;
        assert!(!inside.has(capability) && inside.has_in(Some(&namespace), capability));
        assert!(
            maker.has_in(Some(&namespace), capability) && !user(5).has_over(&inside, capability)
        );
        assert!(!nested.has(capability) && nested.has_in_own(capability));
        assert!(inside.has_over_file((1000, 1000), Capabilities::CHOWN));
        assert!(!inside.has_over_file((0, 1000), Capabilities::CHOWN));
        assert!(Credentials::kernel().has_in(Some(&deeper), capability));
    }

    #[test]
    fn unmapped_makers_and_deep_nests_are_refused() {
        let (inside, _) = entered(&user(1000));
        assert_eq!(inside.in_new_namespace(9).err(), Some(Errno::EPERM));
        let mut at = Credentials::kernel();
        for number in 0..u64::from(MAX_LEVEL) {
            let next = at.in_new_namespace(number).unwrap();
            let namespace = next.user_namespace.clone().unwrap();
            namespace.set_map(IdKind::User, &at, b"0 0 10").unwrap();
            namespace.set_map(IdKind::Group, &at, b"0 0 10").unwrap();
            at = next;
        }
        assert_eq!(at.in_new_namespace(99).err(), Some(Errno::ENOSPC));
    }

    #[test]
    fn malformed_maps_are_refused() {
        for text in [
            &b""[..],
            b"0 0\n",
            b"0 0 0\n",
            b"a 0 1\n",
            b"0 0 1 2\n",
            b"4294967295 0 1\n",
            b"0 4294967295 2\n",
            b"0 0 5\n4 10 1\n",
            b"0 0 5\n10 4 1\n",
            b"0 0 1\n\n",
            b"\xff",
        ] {
            assert_eq!(parse(text), Err(Errno::EINVAL), "{text:?}");
        }
        assert_eq!(parse(b"0 5 1\n1 0 5").map(|runs| runs.len()), Ok(2));
    }
}
