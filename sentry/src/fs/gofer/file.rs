//! Open regular files.

use alloc::{boxed::Box, sync::Arc};
use core::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use guest_abi::fuse::{FallocateIn, FsyncFlags, FsyncIn, LseekIn, LseekOut, Opcode};

use super::{call::Call, contents::Contents, handles::Purpose, inode::GoferInode};
use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryError, TryResult},
    mm::PageCache,
    vfs::{File, Inode, OpenFlags, WritePosition, Written},
};

/// `SEEK_DATA` and `SEEK_HOLE` of lseek(2).
const SEEK_DATA: u32 = 3;
const SEEK_HOLE: u32 = 4;

/// An open file. While it exists, the handles of its inode stay open.
pub(super) struct GoferFile {
    inode: Arc<GoferInode>,
    writable: bool,
    /// The next tried operation may believe what is cached, because it was just revalidated.
    validated: AtomicBool,
}

impl GoferFile {
    /// Opens `inode`. Where nobody can change or remove the file, the server is asked no earlier
    /// than its contents are.
    ///
    /// # Errors
    /// Those of open(2) at the server.
    pub(super) async fn open(inode: Arc<GoferInode>, flags: OpenFlags) -> Result<Arc<Self>> {
        let writable = flags.writable();
        let session = &inode.session;
        if writable && session.access.read_only {
            return Err(Errno::EROFS);
        }
        let handles = &inode.contents().handles;
        handles.add_user();
        let file =
            Arc::new(Self { inode: inode.clone(), writable, validated: AtomicBool::new(false) });
        if !session.is_immutable() {
            let purpose = if writable { Purpose::Write } else { Purpose::Read };
            handles.get(purpose).await?;
            inode.attributes().await?;
        }
        Ok(file)
    }

    fn contents(&self) -> &Contents {
        self.inode.contents()
    }

    /// Lets a tried operation go on if what is cached may be believed; otherwise it is to fetch
    /// first, which asks the server.
    fn check_fresh(&self, offset: u64, length: usize) -> TryResult<()> {
        let just_validated = self.validated.swap(false, Ordering::Relaxed);
        if just_validated || self.inode.is_fresh() {
            return Ok(());
        }
        Err(TryError::NotResident { offset, length })
    }

    /// Makes sure that what is dirty is at the server, and that the server answers of it.
    async fn settled_handle(&self, purpose: Purpose) -> Result<u64> {
        self.inode.write_back().await?;
        self.contents().handles.get(purpose).await
    }
}

#[async_trait]
impl File for GoferFile {
    fn try_read(&self, offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        self.check_fresh(offset, destination.remaining())?;
        self.contents().cache.try_read(offset, destination)
    }

    fn try_write(&self, at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        let offset = match at {
            WritePosition::At(offset) => offset,
            WritePosition::End => self.contents().cache.size(),
        };
        self.check_fresh(offset, 0)?;
        let written = self.contents().cache.try_write(at, source)?;
        if written.count > 0 {
            self.inode.note_write();
        }
        Ok(written)
    }

    async fn fetch(&self, offset: u64, length: usize) -> Result<()> {
        self.inode.attributes().await?;
        self.contents().cache.fetch(offset, length).await?;
        self.validated.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    async fn seek_data(&self, offset: u64, data: bool) -> Result<u64> {
        let handle = self.settled_handle(Purpose::Read).await?;
        let whence = if data { SEEK_DATA } else { SEEK_HOLE };
        let body = LseekIn { handle, offset, whence, padding: 0 };
        let call = Call::new(Opcode::Lseek, self.inode.node).with(&body);
        let reply: LseekOut = self.inode.session.connection.ask(&call).await?;
        if reply.offset < offset || i64::try_from(reply.offset).is_err() {
            return Err(Errno::EIO);
        }
        Ok(reply.offset)
    }

    fn page_cache(&self) -> Result<Arc<PageCache>> {
        Ok(self.contents().cache.clone())
    }

    async fn sync(&self, data_only: bool) -> Result<()> {
        self.inode.write_back().await?;
        let purpose = if self.writable { Purpose::Write } else { Purpose::Read };
        // What was never opened at the server was never changed there.
        let Some(handle) = self.contents().handles.known(purpose) else { return Ok(()) };
        let flags = if data_only { FsyncFlags::DATA_ONLY } else { FsyncFlags::empty() };
        let body = FsyncIn { handle, flags: flags.bits(), padding: 0 };
        self.inode
            .session
            .connection
            .tell(&Call::new(Opcode::Fsync, self.inode.node).with(&body))
            .await
    }

    fn writes_through(&self) -> bool {
        !self.inode.session.is_exclusive()
    }

    async fn write_through(&self) -> Result<()> {
        self.inode.write_back().await
    }

    async fn allocate(&self, mode: u32, offset: u64, length: u64) -> Result<()> {
        let handle = self.settled_handle(Purpose::Write).await?;
        let body = FallocateIn { handle, offset, length, mode, padding: 0 };
        let call = Call::new(Opcode::Fallocate, self.inode.node).with(&body);
        self.inode.session.connection.tell(&call).await?;
        let contents = self.contents();
        contents.cache.invalidate();
        contents.cache.set_size(self.inode.server_size().await?);
        self.inode.expire();
        Ok(())
    }
}

impl Drop for GoferFile {
    fn drop(&mut self) {
        let inode = self.inode.clone();
        if self.writable && inode.contents().cache.is_dirty() {
            let user = User(inode.clone());
            inode.session.scheduler.clone().spawn(Box::pin(async move {
                // What could not be written stays dirty; the next sync tries again and says why.
                let _ = inode.write_back().await;
                drop(user);
            }));
        } else {
            drop(User(inode));
        }
    }
}

/// A use of an inode's handles, given up when dropped.
struct User(Arc<GoferInode>);

impl Drop for User {
    fn drop(&mut self) {
        let handles = &self.0.contents().handles;
        if handles.remove_user() {
            self.0.session.handles_idle(handles);
        }
    }
}
