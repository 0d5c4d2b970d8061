//! Files of the host, served by the gofer: a FUSE client over a virtqueue. See README.md.

mod attributes;
mod call;
mod connection;
mod contents;
mod directory;
mod file;
mod foreign;
mod handles;
mod inode;
mod listing;
mod open_directory;
mod reply;
mod session;
#[cfg(test)]
mod tests;
mod xattr;

use alloc::{boxed::Box, sync::Arc};

use async_trait::async_trait;
use guest_abi::{
    container::CachePolicy,
    device::DeviceKind,
    fuse::{AttributesOut, GetattrIn, Opcode, ROOT_NODE, StatfsOut},
};

use self::{
    call::Call,
    connection::Connection,
    inode::GoferInode,
    session::{Access, Session},
};
use crate::{
    errno::{Errno, Result},
    kernel::{Container, Kernel},
    vfs::{FileSystem, Inode, Statistics},
};

/// `FUSE_SUPER_MAGIC` of `<linux/magic.h>`.
const FUSE_SUPER_MAGIC: u64 = 0x6573_5546;

/// A tree of the host.
pub struct GoferFileSystem {
    session: Arc<Session>,
    root: Arc<GoferInode>,
}

impl GoferFileSystem {
    /// Mounts the tree that the device at `device` of the device table serves, for `container`.
    ///
    /// # Errors
    /// ENODEV if there is no such device, EINVAL, ENXIO or ENOMEM if its descriptor is of no use,
    /// EPROTO if the server speaks another version, EIO.
    pub async fn mount(
        (kernel, container): (&Arc<Kernel>, &Container),
        device: u16,
        policy: CachePolicy,
        read_only: bool,
    ) -> Result<Arc<Self>> {
        let descriptor = kernel
            .boot_info()
            .devices
            .get(usize::from(device))
            .filter(|descriptor| descriptor.kind == DeviceKind::FileSystem)
            .ok_or(Errno::ENODEV)?;
        let connection = Connection::new(&kernel.platform, device, descriptor)?;
        kernel.drivers.write().push(connection.queue().clone());
        container.add_queue(connection.queue());
        let session = Session::new(
            connection,
            Access { policy, read_only, ids: kernel.ids.clone() },
            kernel.vfs.allocate_device(),
            kernel.platform.clone(),
            kernel.frames.clone(),
            kernel.scheduler.clone(),
        );
        Self::start(session).await
    }

    async fn start(session: Arc<Session>) -> Result<Arc<Self>> {
        session.connection.initialize().await?;
        let body = GetattrIn::default();
        let call = Call::new(Opcode::Getattr, ROOT_NODE).with(&body);
        let reply: AttributesOut = session.connection.ask(&call).await?;
        let root = session.enter_root(&reply.attributes)?;
        Ok(Arc::new(Self { session, root }))
    }
}

#[async_trait]
impl FileSystem for GoferFileSystem {
    fn name(&self) -> &'static str {
        "virtiofs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    async fn statistics(&self) -> Result<Statistics> {
        let call = Call::new(Opcode::Statfs, ROOT_NODE);
        let reply: StatfsOut = self.session.connection.ask(&call).await?;
        Ok(Statistics {
            magic: FUSE_SUPER_MAGIC,
            // Linux counts blocks in fragments, and so does the server.
            block_size: u64::from(reply.fragment_size),
            blocks: reply.blocks,
            blocks_free: reply.blocks_free,
            blocks_available: reply.blocks_available,
            inodes: reply.files,
            inodes_free: reply.files_free,
        })
    }

    async fn sync(&self) -> Result<()> {
        let mut outcome = Ok(());
        for inode in self.session.inodes() {
            outcome = inode.write_back().await.and(outcome);
        }
        self.session.connection.flush_forgets().await;
        outcome
    }
}
