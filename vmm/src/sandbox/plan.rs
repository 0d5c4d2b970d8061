//! What is to be launched, decided by a command and independent of how it is launched.

use std::{ops::Range, path::PathBuf};

use guest_abi::container::{CachePolicy, ContainerSpec, MountSource};
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Result};

/// Device index of the console.
pub const CONSOLE_DEVICE: u16 = 0;
/// Device index of the control device.
pub const CONTROL_DEVICE: u16 = 1;
/// Device index of the first file tree; the others follow in order.
pub const FIRST_TREE_DEVICE: u16 = 2;

/// Most file trees one container may have: its root and its bind mounts.
pub const MAX_TREES: usize = 256;

/// File trees that the further containers of a pod may have together. A pod's container has about
/// eight: its root, a few files of the engine, and its volumes.
pub const SPARE_TREES: u16 = 64;

/// A sandbox to launch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// The container as the sentry shall see it.
    pub container: ContainerSpec,
    /// The host trees that its devices serve.
    pub trees: Trees,
    /// Devices that are kept for the trees of further containers.
    pub spare_trees: u16,
}

impl LaunchPlan {
    /// The places of its spare devices in the device table: after those of its trees.
    pub fn spare_devices(&self) -> Range<u16> {
        let first = self.trees.devices().last().map_or(FIRST_TREE_DEVICE, |(index, _)| index + 1);
        first..first + self.spare_trees
    }

    /// Has the trees served by the devices with `indices`, in order, instead.
    ///
    /// # Errors
    /// If they are too few.
    pub fn renumber(&mut self, indices: &[u16]) -> Result<()> {
        let new = |device: u16| {
            let place = device.checked_sub(FIRST_TREE_DEVICE).map(usize::from);
            let index = place.and_then(|place| indices.get(place)).copied();
            index.ok_or_else(|| Failure::new("a tree without a device", "please report it"))
        };
        self.container.root.device = new(self.container.root.device)?;
        for mount in &mut self.container.mounts {
            if let MountSource::Device { device, .. } = &mut mount.source {
                *device = new(*device)?;
            }
        }
        Ok(())
    }
}

/// A host directory or file that the gofer serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Where it is on the host; absolute.
    pub path: PathBuf,
    /// Whether the gofer refuses to change it.
    pub read_only: bool,
    /// Whether what is mounted below it is shown too.
    pub submounts: bool,
    /// Who else may change it meanwhile.
    pub cache: CachePolicy,
}

/// The trees of a container; the place of one decides its device index.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Trees(Vec<Tree>);

impl Trees {
    /// Adds a tree and returns the index of the device that will serve it.
    ///
    /// # Errors
    /// If there are [`MAX_TREES`] already.
    pub fn add(&mut self, tree: Tree) -> Result<u16> {
        let count = self.0.len();
        let index = u16::try_from(count).ok().filter(|_| count < MAX_TREES).ok_or_else(|| {
            Failure::new(
                format_args!("the container has more than {MAX_TREES} bind mounts"),
                "mount a common parent directory instead",
            )
        })?;
        self.0.push(tree);
        Ok(FIRST_TREE_DEVICE + index)
    }

    /// The trees with the indices of their devices.
    pub fn devices(&self) -> impl Iterator<Item = (u16, &Tree)> {
        (FIRST_TREE_DEVICE..).zip(&self.0)
    }

    /// The trees in device order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Tree> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use guest_abi::container::{MountSpec, RootSpec};

    use super::*;

    #[test]
    fn trees_can_be_served_by_other_devices() {
        let mount = MountSpec {
            destination: "/data".to_owned(),
            source: MountSource::Device { device: 3, cache: CachePolicy::Shared },
            flags: 0,
        };
        let root = RootSpec { device: 2, ..RootSpec::default() };
        let container = ContainerSpec { root, mounts: vec![mount], ..ContainerSpec::default() };
        let mut plan = LaunchPlan { container, trees: Trees::default(), spare_trees: 0 };
        plan.renumber(&[40, 17]).unwrap();
        assert_eq!(plan.container.root.device, 40);
        let moved = MountSource::Device { device: 17, cache: CachePolicy::Shared };
        assert_eq!(plan.container.mounts[0].source, moved);
        assert!(plan.renumber(&[1]).is_err());
    }

    #[test]
    fn device_indices_follow_the_order_and_are_bounded() {
        let tree = Tree {
            path: PathBuf::from("/"),
            read_only: true,
            submounts: true,
            cache: CachePolicy::Exclusive,
        };
        let mut trees = Trees::default();
        for expected in 0..MAX_TREES {
            let device = trees.add(tree.clone()).unwrap();
            assert_eq!(usize::from(device - FIRST_TREE_DEVICE), expected);
        }
        assert!(trees.add(tree).is_err());
    }
}
