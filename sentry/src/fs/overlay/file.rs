//! Files of the overlay that were opened for reading before they were changed.

use alloc::{boxed::Box, sync::Arc};

use async_trait::async_trait;

use super::inode::OverlayInode;
use crate::{
    errno::Result,
    fs::tmpfs::RegularFile,
    io::{Destination, TryResult},
    mm::PageCache,
    vfs::File,
};

/// An open lower file. Once the inode is changed, reads see the change, while mappings made before
/// keep the lower pages, as on Linux (Documentation/filesystems/overlayfs.rst).
pub(super) struct LowerFile {
    inode: Arc<OverlayInode>,
    lower: Arc<dyn File>,
}

impl LowerFile {
    pub fn new(inode: Arc<OverlayInode>, lower: Arc<dyn File>) -> Arc<Self> {
        Arc::new(Self { inode, lower })
    }

    fn changed(&self) -> Option<RegularFile> {
        self.inode.upper_node().map(|node| RegularFile::new(node.clone()))
    }
}

#[async_trait]
impl File for LowerFile {
    fn try_read(&self, offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        match self.changed() {
            Some(file) => file.try_read(offset, destination),
            None => self.lower.try_read(offset, destination),
        }
    }

    async fn fetch(&self, offset: u64, length: usize) -> Result<()> {
        match self.changed() {
            Some(file) => file.fetch(offset, length).await,
            None => self.lower.fetch(offset, length).await,
        }
    }

    fn is_seekable(&self) -> bool {
        true
    }

    async fn seek_data(&self, offset: u64, data: bool) -> Result<u64> {
        match self.changed() {
            Some(file) => file.seek_data(offset, data).await,
            None => self.lower.seek_data(offset, data).await,
        }
    }

    fn page_cache(&self) -> Result<Arc<PageCache>> {
        match self.changed() {
            Some(file) => file.page_cache(),
            None => self.lower.page_cache(),
        }
    }

    async fn sync(&self, _data_only: bool) -> Result<()> {
        Ok(())
    }
}
