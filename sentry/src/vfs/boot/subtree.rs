//! A directory of one file system as a file system of its own, for an overlay to lie over.

use alloc::{boxed::Box, sync::Arc};

use async_trait::async_trait;

use crate::{
    errno::Result,
    vfs::{FileSystem, Inode, Path, Statistics},
};

/// What is below a place.
pub(super) struct Subtree {
    file_system: Arc<dyn FileSystem>,
    root: Arc<dyn Inode>,
}

impl Subtree {
    /// What is below the directory `place`, without what is mounted there.
    pub(super) fn new(place: &Path) -> Arc<Self> {
        let file_system = place.mount.file_system.clone();
        Arc::new(Self { file_system, root: place.inode().clone() })
    }
}

#[async_trait]
impl FileSystem for Subtree {
    fn name(&self) -> &'static str {
        self.file_system.name()
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    async fn statistics(&self) -> Result<Statistics> {
        self.file_system.statistics().await
    }
}
