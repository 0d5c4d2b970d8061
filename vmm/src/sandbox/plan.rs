//! What is to be launched, decided by a command and independent of how it is launched.

use std::path::PathBuf;

use guest_abi::container::{CachePolicy, ContainerSpec};
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

/// A sandbox to launch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// The container as the sentry shall see it.
    pub container: ContainerSpec,
    /// The host trees that its devices serve.
    pub trees: Trees,
}

/// A host directory or file that the gofer serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Where it is on the host; absolute.
    pub path: PathBuf,
    /// Whether the gofer refuses to change it.
    pub read_only: bool,
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
    use super::*;

    #[test]
    fn device_indices_follow_the_order_and_are_bounded() {
        let tree =
            Tree { path: PathBuf::from("/"), read_only: true, cache: CachePolicy::Exclusive };
        let mut trees = Trees::default();
        for expected in 0..MAX_TREES {
            let device = trees.add(tree.clone()).unwrap();
            assert_eq!(usize::from(device - FIRST_TREE_DEVICE), expected);
        }
        assert!(trees.add(tree).is_err());
    }
}
