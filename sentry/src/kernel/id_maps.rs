//! Ids of users and groups inside the container and outside it (user_namespaces(7)).

use alloc::{format, string::String, vec::Vec};

use guest_abi::container::{ContainerSpec, IdMapping};

use crate::errno::{Errno, Result};

/// What an id shows as that has none inside.
pub(super) const OVERFLOW: u32 = 65534;

/// The maps of the container's user namespace. Outside ids are those of files that the host serves;
/// all else in the sentry is inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    users: IdMap,
    groups: IdMap,
}

/// A map of one kind of ids; without runs it is the identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(Vec<IdMapping>);

impl IdMaps {
    /// The maps that `container` has.
    pub fn new(container: &ContainerSpec) -> Self {
        Self {
            users: IdMap(container.uid_mappings.clone()),
            groups: IdMap(container.gid_mappings.clone()),
        }
    }

    /// That of users.
    pub const fn users(&self) -> &IdMap {
        &self.users
    }

    /// That of groups.
    pub const fn groups(&self) -> &IdMap {
        &self.groups
    }
}

impl IdMap {
    /// The id inside that `outside` has; the overflow id if none.
    pub fn inside(&self, outside: u32) -> u32 {
        if self.0.is_empty() {
            return outside;
        }
        self.find_inside(outside).unwrap_or(OVERFLOW)
    }

    /// The map of these runs, of which there is one at least.
    pub(super) const fn of_runs(runs: Vec<IdMapping>) -> Self {
        Self(runs)
    }

    /// The id inside that a run gives `outside`.
    pub(super) fn find_inside(&self, outside: u32) -> Option<u32> {
        self.find(outside, |run| (run.outside, run.inside))
    }

    /// The id outside that `inside` has.
    ///
    /// # Errors
    /// EINVAL if none.
    pub fn outside(&self, inside: u32) -> Result<u32> {
        if self.0.is_empty() {
            return Ok(inside);
        }
        self.find(inside, |run| (run.inside, run.outside)).ok_or(Errno::EINVAL)
    }

    /// The first of the ids outside that one run gives the `count` from `inside` on.
    pub(super) fn outside_run(&self, inside: u32, count: u32) -> Option<u32> {
        self.0.iter().find_map(|run| {
            let distance = inside.checked_sub(run.inside)?;
            let is_covered = distance.checked_add(count)? <= run.count;
            run.outside.checked_add(distance).filter(|_| is_covered)
        })
    }

    fn find(&self, id: u32, ends: impl Fn(&IdMapping) -> (u32, u32)) -> Option<u32> {
        self.0.iter().find_map(|run| {
            let (from, to) = ends(run);
            let distance = id.checked_sub(from).filter(|distance| *distance < run.count)?;
            to.checked_add(distance)
        })
    }

    /// The lines of /proc/PID/uid_map.
    pub fn lines(&self) -> String {
        if self.0.is_empty() {
            return line(0, 0, u32::MAX);
        }
        self.shown_lines(|outside| outside)
    }

    /// The lines of its runs, with outside ids as `shown` has them.
    pub(super) fn shown_lines(&self, shown: impl Fn(u32) -> u32) -> String {
        self.0.iter().map(|run| line(run.inside, shown(run.outside), run.count)).collect()
    }
}

fn line(inside: u32, outside: u32, count: u32) -> String {
    format!("{inside:>10} {outside:>10} {count:>10}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_map_both_ways() {
        let run = |inside, outside, count| IdMapping { inside, outside, count };
        let map = IdMap(alloc::vec![run(0, 100_000, 1000), run(5000, 7, 1)]);
        assert_eq!([map.inside(100_000), map.inside(100_999), map.inside(7)], [0, 999, 5000]);
        assert_eq!([map.inside(0), map.inside(101_000)], [OVERFLOW; 2]);
        assert_eq!(map.outside(999), Ok(100_999));
        assert_eq!(map.outside(1000), Err(Errno::EINVAL));
        assert_eq!(
            map.lines(),
            "         0     100000       1000\n      5000          7          1\n"
        );
    }

    #[test]
    fn without_runs_ids_are_the_same() {
        let map = IdMap::default();
        assert_eq!((map.inside(u32::MAX), map.outside(3)), (u32::MAX, Ok(3)));
        assert_eq!(map.lines(), "         0          0 4294967295\n");
    }
}
