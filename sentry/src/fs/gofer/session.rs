//! What all inodes of one mounted tree share.
//!
//! Locks, all leaves: `nodes`, `listings`, `graveyard`, `idle`. What is removed under one of them
//! is dropped after it is unlocked, since dropping an inode takes them again.

use alloc::{
    collections::VecDeque,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicBool, Ordering};

use guest_abi::{
    container::CachePolicy,
    fuse::{EntryOut, FileAttributes, ROOT_NODE},
};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use spin::mutex::SpinMutex;

use super::{
    attributes, connection::Connection, handles::Handles, inode::GoferInode, listing::Listing,
};
use crate::{
    errno::{Errno, Result},
    kernel::{IdMaps, Scheduler},
    memory::FrameAllocator,
    platform::PlatformRef,
    vfs::{AttributeChange, Attributes, DeviceNumber, NewInode, Timestamp},
};

/// How long attributes are believed where others change files too, in nanoseconds: long enough
/// that the steps of one system call (walk, permission check, stat) ask once.
const SHARED_VALIDITY: u64 = 1_000_000;

/// Sandbox memory for each directory entry that may be kept in listings, in bytes. An entry with its
/// inode takes about half a KiB, so listings take at most a sixteenth of the memory.
const MEMORY_PER_LISTED_ENTRY: usize = 8 << 10;

/// Handles that are kept open though no open file uses them.
const MAX_IDLE_HANDLES: usize = 64;

/// How the files of a tree are used.
pub(super) struct Access {
    /// Who else changes them.
    pub(super) policy: CachePolicy,
    /// Whether the sandbox may not change them.
    pub(super) read_only: bool,
    /// Their owners inside and outside.
    pub(super) ids: IdMaps,
}

/// One mounted tree.
pub(super) struct Session {
    /// The server.
    pub(super) connection: Arc<Connection>,
    /// How they are used.
    pub(super) access: Access,
    /// `st_dev`.
    pub(super) device: DeviceNumber,
    /// For the clocks.
    pub(super) platform: PlatformRef,
    /// For page caches.
    pub(super) frames: Arc<FrameAllocator>,
    /// For what goes on after the last close.
    pub(super) scheduler: Arc<Scheduler>,
    /// One inode object a node, so that hard links share a page cache.
    nodes: SpinMutex<HashMap<u64, Weak<GoferInode>, FxBuildHasher>>,
    listings: SpinMutex<Listings>,
    graveyard: SpinMutex<Vec<Arc<Listing>>>,
    burying: AtomicBool,
    idle: SpinMutex<VecDeque<Weak<Handles>>>,
}

/// Directories whose listings are kept.
#[derive(Default)]
struct Listings {
    directories: Vec<(Weak<GoferInode>, usize)>,
    entries: usize,
    /// State of the choice of victims.
    next_victim: usize,
}

impl Listings {
    /// Takes out some listing. Which one is arbitrary on purpose: dropping the oldest would empty
    /// the cache under a walk of a tree that is a little larger than it.
    fn evict(&mut self) -> Option<Weak<GoferInode>> {
        if self.directories.is_empty() {
            return None;
        }
        // The multiplier of Knuth's MMIX generator.
        self.next_victim = self.next_victim.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let victim = (self.next_victim >> 33) % self.directories.len();
        let (directory, entries) = self.directories.swap_remove(victim);
        self.entries = self.entries.saturating_sub(entries);
        Some(directory)
    }
}

impl Session {
    pub(super) fn new(
        connection: Arc<Connection>,
        access: Access,
        device: DeviceNumber,
        platform: PlatformRef,
        frames: Arc<FrameAllocator>,
        scheduler: Arc<Scheduler>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connection,
            access,
            device,
            platform,
            frames,
            scheduler,
            nodes: SpinMutex::default(),
            listings: SpinMutex::default(),
            graveyard: SpinMutex::default(),
            burying: AtomicBool::new(false),
            idle: SpinMutex::default(),
        })
    }

    /// Whether the sandbox is the only one to change the files.
    pub(super) fn is_exclusive(&self) -> bool {
        self.access.policy == CachePolicy::Exclusive
    }

    /// Whether nobody changes the files.
    pub(super) fn is_immutable(&self) -> bool {
        self.access.read_only && self.is_exclusive()
    }

    /// Attributes that the server sent, with the owner as the container sees it.
    ///
    /// # Errors
    /// EIO if they are malformed.
    pub(super) fn attributes(&self, from: &FileAttributes) -> Result<Attributes> {
        let ids = &self.access.ids;
        let attributes = attributes::from_server(self.device, from)?;
        let (uid, gid) = (ids.users().inside(from.uid), ids.groups().inside(from.gid));
        Ok(Attributes { uid, gid, ..attributes })
    }

    /// `change` with the owner as the server knows it.
    ///
    /// # Errors
    /// EINVAL if it has none outside.
    pub(super) fn outward(&self, change: &AttributeChange) -> Result<AttributeChange> {
        let ids = &self.access.ids;
        let uid = change.uid.map(|uid| ids.users().outside(uid)).transpose()?;
        let gid = change.gid.map(|gid| ids.groups().outside(gid)).transpose()?;
        Ok(AttributeChange { uid, gid, ..*change })
    }

    /// The owner of something new as the server knows it.
    ///
    /// # Errors
    /// EOVERFLOW if it has none outside (user_namespaces(7)).
    pub(super) fn owner_outside(&self, new: &NewInode) -> Result<(u32, u32)> {
        let ids = &self.access.ids;
        let uid = ids.users().outside(new.uid).map_err(|_| Errno::EOVERFLOW)?;
        Ok((uid, ids.groups().outside(new.gid).map_err(|_| Errno::EOVERFLOW)?))
    }

    /// CLOCK_REALTIME.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_nanoseconds(self.platform.realtime_nanoseconds())
    }

    /// Until when (CLOCK_MONOTONIC) attributes received now are believed.
    pub(super) fn validity(&self) -> u64 {
        if self.is_exclusive() {
            u64::MAX
        } else {
            self.platform.monotonic_nanoseconds().saturating_add(SHARED_VALIDITY)
        }
    }

    /// The inode that a reply introduces; the reply counts as a lookup of it.
    ///
    /// # Errors
    /// ENOENT if it introduces none, EIO if it is malformed.
    pub(super) fn enter(self: &Arc<Self>, entry: &EntryOut) -> Result<Arc<GoferInode>> {
        if entry.node == 0 {
            return Err(Errno::ENOENT);
        }
        let attributes = self
            .attributes(&entry.attributes)
            .inspect_err(|_| self.connection.forget(entry.node, 1))?;
        let (inode, is_new) = self.find_or_insert(entry.node, attributes);
        inode.add_lookup();
        if inode.is_of(attributes.kind) {
            if !is_new {
                inode.observe(attributes);
            }
            return Ok(inode);
        }
        Err(Errno::EIO)
    }

    /// The root, which no lookup introduces and nothing forgets.
    ///
    /// # Errors
    /// EIO if its attributes are malformed.
    pub(super) fn enter_root(self: &Arc<Self>, from: &FileAttributes) -> Result<Arc<GoferInode>> {
        let attributes = self.attributes(from)?;
        Ok(self.find_or_insert(ROOT_NODE, attributes).0)
    }

    fn find_or_insert(
        self: &Arc<Self>,
        node: u64,
        attributes: Attributes,
    ) -> (Arc<GoferInode>, bool) {
        let mut nodes = self.nodes.lock();
        if let Some(inode) = nodes.get(&node).and_then(Weak::upgrade) {
            return (inode, false);
        }
        let inode = GoferInode::new(self.clone(), node, attributes);
        nodes.insert(node, Arc::downgrade(&inode));
        (inode, true)
    }

    /// Removes a node whose inode object is going away, unless another has taken its place.
    pub(super) fn remove(&self, node: u64, inode: *const GoferInode) {
        let mut nodes = self.nodes.lock();
        if nodes.get(&node).is_some_and(|known| core::ptr::eq(known.as_ptr(), inode)) {
            nodes.remove(&node);
        }
    }

    /// All inodes there are.
    pub(super) fn inodes(&self) -> Vec<Arc<GoferInode>> {
        self.nodes.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Notes that `directory` keeps a listing of `entries` entries; some others go if that is too
    /// many.
    pub(super) fn listing_kept(&self, directory: &Arc<GoferInode>, entries: usize) {
        let mut evicted = Vec::new();
        {
            let mut listings = self.listings.lock();
            while listings.entries.saturating_add(entries) > self.max_listed_entries()
                && let Some(victim) = listings.evict()
            {
                evicted.extend(victim.upgrade());
            }
            listings.directories.push((Arc::downgrade(directory), entries));
            listings.entries = listings.entries.saturating_add(entries);
        }
        evicted.iter().for_each(|directory| directory.drop_listing());
    }

    fn max_listed_entries(&self) -> usize {
        usize::try_from(self.frames.total_bytes()).unwrap_or(usize::MAX) / MEMORY_PER_LISTED_ENTRY
    }

    /// Drops a listing, and what only it kept, and so on down the tree, without recursion: a tree
    /// may be deeper than the stack.
    pub(super) fn bury(&self, listing: Arc<Listing>) {
        self.graveyard.lock().push(listing);
        if self.burying.swap(true, Ordering::Acquire) {
            return;
        }
        loop {
            let next = self.graveyard.lock().pop();
            if next.is_none() {
                break;
            }
            drop(next);
        }
        self.burying.store(false, Ordering::Release);
    }

    /// Notes that nobody uses `handles` any more; closes those that have been idle for longest if
    /// there are too many.
    pub(super) fn handles_idle(&self, handles: &Arc<Handles>) {
        let oldest = {
            let mut idle = self.idle.lock();
            idle.push_back(Arc::downgrade(handles));
            if idle.len() > MAX_IDLE_HANDLES { idle.pop_front() } else { None }
        };
        if let Some(handles) = oldest.and_then(|oldest| oldest.upgrade()) {
            handles.close_idle();
        }
    }
}
