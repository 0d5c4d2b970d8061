//! Open directories.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use super::{inode::GoferInode, listing::Listing};
use crate::{
    errno::{Errno, Result},
    io::{Destination, TryResult},
    vfs::{DirectoryEntry, File},
};

/// An open directory. It reads from one listing until it is rewound, so positions stay true.
pub(super) struct OpenDirectory {
    inode: Arc<GoferInode>,
    snapshot: SpinMutex<Option<Arc<Listing>>>,
}

impl OpenDirectory {
    /// Opens `inode`.
    pub(super) const fn new(inode: Arc<GoferInode>) -> Self {
        Self { inode, snapshot: SpinMutex::new(None) }
    }

    async fn listing(&self, position: u64) -> Result<Arc<Listing>> {
        if position > 0
            && let Some(listing) = self.snapshot.lock().clone()
        {
            return Ok(listing);
        }
        let listing = self.inode.list().await?;
        let old = self.snapshot.lock().replace(listing.clone());
        if let Some(old) = old {
            self.inode.session.bury(old);
        }
        Ok(listing)
    }
}

impl Drop for OpenDirectory {
    fn drop(&mut self) {
        if let Some(listing) = self.snapshot.get_mut().take() {
            self.inode.session.bury(listing);
        }
    }
}

#[async_trait]
impl File for OpenDirectory {
    fn try_read(&self, _offset: u64, _destination: &mut dyn Destination) -> TryResult<usize> {
        Err(Errno::EISDIR.into())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    async fn read_directory(&self, position: u64) -> Result<Vec<DirectoryEntry>> {
        Ok(self.listing(position).await?.entries_from(position))
    }

    async fn sync(&self, _data_only: bool) -> Result<()> {
        // Changes of names are made at the server at once; how durable they are is the host's.
        Ok(())
    }
}
