//! tmpfs: files in sandbox memory (tmpfs(5)).
//!
//! A regular file is a page cache without backing, so read, write and mmap share its frames and
//! nothing is ever copied out. The overlay uses the same inodes, without a directory around them,
//! for what was written to it; memfd_create(2) does so too.

mod directory;
mod inode;
mod options;
mod regular;

pub use inode::TmpfsInode;
pub use regular::{RegularFile, Seals};

use alloc::{boxed::Box, sync::Arc};
use core::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::{
    errno::{Errno, Result},
    kernel::Kernel,
    memory::{FrameAllocator, PAGE_SIZE},
    platform::PlatformRef,
    vfs::{DeviceNumber, FileSystem, Inode, NewInode, NewNode, Statistics, Timestamp},
};

/// Magic number of statfs(2) (`<linux/magic.h>`).
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Options of mount(2), and where inode numbers start.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most bytes its files may hold together; `None` is half of sandbox memory.
    pub size: Option<u64>,
    /// Permission bits of the root directory.
    pub root_permissions: u16,
    /// Owner of the root directory.
    pub uid: u32,
    /// Group of the root directory.
    pub gid: u32,
    /// Number of the first inode.
    pub first_inode: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { size: None, root_permissions: 0o1777, uid: 0, gid: 0, first_inode: 1 }
    }
}

/// A tmpfs instance.
pub struct Tmpfs {
    store: Arc<Store>,
    root: Arc<TmpfsInode>,
}

/// What the inodes of one instance share: memory, its limit, and numbers.
pub struct Store {
    platform: PlatformRef,
    frames: Arc<FrameAllocator>,
    device: DeviceNumber,
    limit_pages: u64,
    used_pages: AtomicU64,
    inodes: AtomicU64,
    next_inode: AtomicU64,
}

impl Tmpfs {
    /// An empty instance.
    pub fn new(kernel: &Kernel, options: Options) -> Arc<Self> {
        let store = Store::new(kernel, options.size, options.first_inode);
        let root = NewInode {
            node: NewNode::Directory,
            permissions: options.root_permissions,
            uid: options.uid,
            gid: options.gid,
        };
        let root = TmpfsInode::new(&store, root);
        root.be_own_parent();
        Arc::new(Self { store, root })
    }

    /// What its inodes share, to make inodes without a name.
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

#[async_trait]
impl FileSystem for Tmpfs {
    fn name(&self) -> &'static str {
        "tmpfs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    async fn statistics(&self) -> Result<Statistics> {
        Ok(self.store.statistics())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        self.root.clear();
    }
}

impl Store {
    /// A store for inodes numbered from `first_inode` on that may hold `size` bytes.
    pub fn new(kernel: &Kernel, size: Option<u64>, first_inode: u64) -> Arc<Self> {
        let half = kernel.frames.total_bytes() / 2;
        Arc::new(Self {
            platform: kernel.platform.clone(),
            frames: kernel.frames.clone(),
            device: kernel.vfs.allocate_device(),
            limit_pages: size.unwrap_or(half).div_ceil(PAGE_SIZE as u64),
            used_pages: AtomicU64::new(0),
            inodes: AtomicU64::new(0),
            next_inode: AtomicU64::new(first_inode),
        })
    }

    /// `st_dev` of its inodes.
    pub const fn device(&self) -> DeviceNumber {
        self.device
    }

    /// The frames its files are made of.
    pub const fn frames(&self) -> &Arc<FrameAllocator> {
        &self.frames
    }

    /// Answer to statfs(2).
    pub fn statistics(&self) -> Statistics {
        let free = self.free_pages();
        Statistics {
            magic: TMPFS_MAGIC,
            block_size: PAGE_SIZE as u64,
            blocks: self.limit_pages,
            blocks_free: free,
            blocks_available: free,
            inodes: self.limit_pages,
            inodes_free: self.limit_pages.saturating_sub(self.inodes.load(Ordering::Relaxed)),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanoseconds(self.platform.realtime_nanoseconds())
    }

    fn free_pages(&self) -> u64 {
        self.limit_pages.saturating_sub(self.used_pages.load(Ordering::Relaxed))
    }

    /// Notes that a file now holds `now` pages and held `before`.
    fn recount(&self, before: u64, now: u64) {
        if now >= before {
            self.used_pages.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.used_pages.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    fn add_inode(&self) -> u64 {
        self.inodes.fetch_add(1, Ordering::Relaxed);
        self.next_inode.fetch_add(1, Ordering::Relaxed)
    }

    fn remove_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::Relaxed);
    }

    /// Fails with ENOSPC if there may be no further inode: each costs memory that no file holds.
    fn check_inode_limit(&self) -> Result<()> {
        if self.inodes.load(Ordering::Relaxed) >= self.limit_pages.max(64) {
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }
}
