//! Writing a namespace's maps: who may, and which ids (user_namespaces(7), "Defining user and group ID
//! mappings").

use alloc::vec::Vec;

use guest_abi::container::IdMapping;

use super::{
    super::{Capabilities, Credentials, IdMap},
    IdKind, UserNamespace,
};
use crate::errno::{Errno, Result};

/// Most lines of a map (user_namespaces(7)).
const MAX_LINES: usize = 340;

impl UserNamespace {
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
        let place = maps.of(kind);
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
pub(super) fn parse(text: &[u8]) -> Result<Vec<IdMapping>> {
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
