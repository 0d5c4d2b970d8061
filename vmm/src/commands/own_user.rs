//! Ids in the container of a user who is not root: files that such a user makes are the user's own,
//! so inside they have to be those of the container's user.

use guest_abi::container::{ContainerSpec, IdMapping};
use rustix::process::{getegid, geteuid};

/// Maps the container's user to the one who runs it, if that is not root and config.json maps none.
pub fn map(container: &mut ContainerSpec) {
    if !geteuid().is_root() {
        map_to(container, geteuid().as_raw(), getegid().as_raw());
    }
}

fn map_to(container: &mut ContainerSpec, uid: u32, gid: u32) {
    let process = &container.process;
    let one = |inside, outside| IdMapping { inside, outside, count: 1 };
    if container.uid_mappings.is_empty() && container.gid_mappings.is_empty() {
        container.uid_mappings.push(one(process.uid, uid));
        container.gid_mappings.push(one(process.gid, gid));
    }
}

#[cfg(test)]
mod tests {
    use guest_abi::container::ProcessSpec;

    use super::*;

    #[test]
    fn the_containers_user_is_the_one_who_runs_it() {
        let process = ProcessSpec { uid: 0, gid: 5, ..ProcessSpec::default() };
        let mut container = ContainerSpec { process, ..ContainerSpec::default() };
        map_to(&mut container, 1000, 100);
        let mapping = |inside, outside| vec![IdMapping { inside, outside, count: 1 }];
        assert_eq!(container.uid_mappings, mapping(0, 1000));
        assert_eq!(container.gid_mappings, mapping(5, 100));
        map_to(&mut container, 7, 7);
        assert_eq!(container.uid_mappings, mapping(0, 1000));
    }
}
