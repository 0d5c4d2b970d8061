//! Inodes of a served tree.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use guest_abi::{
    container::CachePolicy,
    fuse::{AttributesOut, FileAttributes, GetattrFlags, GetattrIn, Opcode, ROOT_NODE},
};
use spin::{Once, mutex::SpinMutex};

use super::{
    attributes, call::Call, contents::Contents, file::GoferFile, foreign::Look, handles::Purpose,
    listing::Listing, open_directory::OpenDirectory, session::Session,
};
use crate::{
    errno::{Errno, Result},
    vfs::{
        AttributeChange, Attributes, Caching, Caller, File, FileKind, Inode, NewInode, OpenFlags,
        RenameMode, XattrMode,
    },
};

/// Longest target of a symbolic link in bytes (PATH_MAX of `linux/limits.h`).
const MAX_LINK_TARGET: usize = 4096;

/// One node of the server. The locks `state` and `listing` are leaves, never held together.
pub(super) struct GoferInode {
    pub(super) session: Arc<Session>,
    pub(super) node: u64,
    kind: FileKind,
    /// Lookups that the server counts and that are to be forgotten.
    lookups: AtomicU64,
    pub(super) state: SpinMutex<State>,
    pub(super) listing: SpinMutex<KeptListing>,
    /// Target of a symbolic link, once read; only where nobody else changes it.
    link_target: Once<Arc<[u8]>>,
    contents: Once<Contents>,
    /// How often names in this directory were found changed by others.
    foreign_changes: AtomicU64,
}

/// What is known of an inode.
pub(super) struct State {
    /// The attributes; the size of a file with a page cache is the cache's.
    pub(super) attributes: Attributes,
    /// CLOCK_MONOTONIC until which they are believed, in nanoseconds; `u64::MAX` is for ever.
    pub(super) valid_until: u64,
    /// `modified` was set here and not yet at the server.
    pub(super) modified_here: bool,
    /// Of a directory in which others change names now and then.
    pub(super) look: Option<Look>,
}

/// The listing of a directory, as long as it is true.
#[derive(Default)]
pub(super) struct KeptListing {
    pub(super) listing: Option<Arc<Listing>>,
    /// Counts changes, so that a listing read before one is not kept after it.
    pub(super) generation: u64,
}

impl GoferInode {
    /// The inode of `node`, not looked up yet.
    pub(super) fn new(session: Arc<Session>, node: u64, attributes: Attributes) -> Arc<Self> {
        let is_watched = session.is_exclusive()
            && !session.is_immutable()
            && attributes.kind == FileKind::Directory;
        let look = is_watched.then(|| Look::new(&attributes, &*session.platform));
        let valid_until = look.map_or_else(|| session.validity(), |look| look.until);
        Arc::new(Self {
            session,
            node,
            kind: attributes.kind,
            lookups: AtomicU64::new(0),
            state: SpinMutex::new(State { attributes, valid_until, modified_here: false, look }),
            listing: SpinMutex::default(),
            link_target: Once::new(),
            contents: Once::new(),
            foreign_changes: AtomicU64::new(0),
        })
    }

    /// Counts a reply that introduced it.
    pub(super) fn add_lookup(&self) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is of type `kind`.
    pub(super) fn is_of(&self, kind: FileKind) -> bool {
        self.kind == kind
    }

    /// Page cache and handles of a regular file; made at first use.
    pub(super) fn contents(&self) -> &Contents {
        self.contents.call_once(|| {
            let size = self.state.lock().attributes.size;
            Contents::new(&self.session, self.node, size)
        })
    }

    /// The same, if it was ever used.
    pub(super) fn known_contents(&self) -> Option<&Contents> {
        self.contents.get()
    }

    /// A handle that is open anyway.
    pub(super) fn known_handle(&self, purpose: Purpose) -> Option<u64> {
        self.known_contents()?.handles.known(purpose)
    }

    /// Whether the attributes may be used without asking.
    pub(super) fn is_fresh(&self) -> bool {
        let valid_until = self.state.lock().valid_until;
        valid_until == u64::MAX || self.session.platform.monotonic_nanoseconds() < valid_until
    }

    /// The attributes as known.
    pub(super) fn known_attributes(&self) -> Attributes {
        let mut attributes = self.state.lock().attributes;
        if let Some(contents) = self.known_contents() {
            attributes.size = contents.cache.size();
        }
        attributes
    }

    /// Takes attributes that a reply brought along. Where nobody else changes files, what is known
    /// here is newer.
    pub(super) fn observe(&self, attributes: Attributes) {
        if self.session.is_exclusive() && self.is_fresh() {
            return;
        }
        let look = self.state.lock().look;
        match look {
            Some(last) => self.look_again(attributes, last),
            None => self.take_over(attributes, true),
        }
    }

    /// Takes over attributes; if they tell of a change, it was made by others (`foreign`) or here.
    fn take_over(&self, attributes: Attributes, foreign: bool) {
        let valid_until = self.session.validity();
        let old = {
            let mut state = self.state.lock();
            state.valid_until = valid_until;
            core::mem::replace(&mut state.attributes, attributes)
        };
        if let Some(contents) = self.known_contents() {
            contents.revalidate(&old, &attributes, foreign);
        }
    }

    /// Makes the next use ask the server.
    pub(super) fn expire(&self) {
        self.state.lock().valid_until = 0;
    }

    /// Asks the server for the attributes.
    ///
    /// # Errors
    /// ESTALE if the file is gone; EIO.
    pub(super) async fn refresh(&self) -> Result<Attributes> {
        self.observe(self.ask_attributes().await?);
        Ok(self.known_attributes())
    }

    async fn ask_attributes(&self) -> Result<Attributes> {
        let handle = self.known_handle(Purpose::Read);
        let body = GetattrIn {
            flags: handle.map_or(GetattrFlags::empty(), |_| GetattrFlags::HANDLE).bits(),
            handle: handle.unwrap_or(0),
            ..GetattrIn::default()
        };
        let call = Call::new(Opcode::Getattr, self.node).with(&body);
        let reply: AttributesOut = self.session.connection.ask(&call).await?;
        self.checked(&reply.attributes)
    }

    /// Attributes that the server sent for this inode.
    fn checked(&self, from: &FileAttributes) -> Result<Attributes> {
        let attributes = self.session.attributes(from)?;
        if attributes.kind == self.kind { Ok(attributes) } else { Err(Errno::ESTALE) }
    }

    /// The size of the file as the server has it now, whatever is believed here.
    ///
    /// # Errors
    /// As [`Self::refresh`].
    pub(super) async fn server_size(&self) -> Result<u64> {
        Ok(self.ask_attributes().await?.size)
    }

    /// Changes attributes at the server.
    async fn change(&self, change: AttributeChange) -> Result<()> {
        let handle = self.known_handle(Purpose::Write);
        let body = attributes::to_server(&self.session.outward(&change)?, handle);
        let call = Call::new(Opcode::Setattr, self.node).with(&body);
        let reply: AttributesOut = self.session.connection.ask(&call).await?;
        if self.session.is_exclusive() {
            let now = self.session.now();
            attributes::apply(&change, &mut self.state.lock().attributes, now);
        } else {
            self.take_over(self.checked(&reply.attributes)?, false);
        }
        Ok(())
    }

    /// Changes the size of a regular file.
    async fn set_size(&self, size: u64, change: AttributeChange) -> Result<()> {
        let contents = self.contents();
        let _writing_back = contents.cache.writing_back.lock().await;
        // First here: dirty pages past the new end must not be written after the server cut them.
        contents.cache.truncate(size);
        if let Err(errno) = self.change(change).await {
            contents.cache.set_size(self.server_size().await?);
            return Err(errno);
        }
        Ok(())
    }

    /// Notes that the contents were changed here, now.
    pub(super) fn note_write(&self) {
        let now = self.session.now();
        let mut state = self.state.lock();
        state.attributes.modified = now;
        state.attributes.changed = now;
        state.modified_here = self.session.is_exclusive();
    }

    /// Writes what is dirty, then the time of the last change, to the server.
    ///
    /// # Errors
    /// EIO, ENOSPC and what else writing answers; what was not written stays dirty.
    pub(super) async fn write_back(&self) -> Result<()> {
        let Some(contents) = self.known_contents() else { return Ok(()) };
        let _writing_back = contents.cache.writing_back.lock().await;
        if contents.cache.is_dirty() {
            contents.cache.flush(0..u64::MAX).await?;
            if !self.session.is_exclusive() {
                // At once, so that a later change by others is not taken for this one.
                self.take_over(self.ask_attributes().await?, false);
            }
        }
        let modified = {
            let mut state = self.state.lock();
            core::mem::take(&mut state.modified_here).then_some(state.attributes.modified)
        };
        if modified.is_some() {
            // The server took its own time when the pages came.
            let change = AttributeChange { modified, ..AttributeChange::default() };
            let body = attributes::to_server(&change, self.known_handle(Purpose::Write));
            let call = Call::new(Opcode::Setattr, self.node).with(&body);
            let _: AttributesOut = self.session.connection.ask(&call).await?;
        }
        Ok(())
    }

    /// Has all names in this directory asked for again.
    pub(super) fn doubt_names(&self) {
        self.foreign_changes.fetch_add(1, Ordering::Release);
        self.listing.lock().generation += 1;
        self.drop_listing();
    }

    /// Drops the listing of a directory.
    pub(super) fn drop_listing(&self) {
        let listing = self.listing.lock().listing.take();
        if let Some(listing) = listing {
            self.session.bury(listing);
        }
    }

    /// The target of a symbolic link.
    async fn link_target(&self) -> Result<Vec<u8>> {
        if self.kind != FileKind::SymbolicLink {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = self.link_target.get() {
            return Ok(target.to_vec());
        }
        let call = Call::new(Opcode::Readlink, self.node);
        let reply = self.session.connection.exchange(&call, MAX_LINK_TARGET).await?;
        let target = reply.bytes()?;
        if target.is_empty() || target.contains(&0) {
            return Err(Errno::EIO);
        }
        if self.session.is_exclusive() {
            self.link_target.call_once(|| Arc::from(&*target));
        }
        Ok(target)
    }
}

impl Drop for GoferInode {
    fn drop(&mut self) {
        self.drop_listing();
        self.session.remove(self.node, self);
        let lookups = *self.lookups.get_mut();
        if self.node != ROOT_NODE && lookups > 0 {
            self.session.connection.forget(self.node, lookups);
        }
    }
}

#[async_trait]
impl Inode for GoferInode {
    fn cached_attributes(&self) -> Option<Attributes> {
        self.is_fresh().then(|| self.known_attributes())
    }

    async fn attributes(&self) -> Result<Attributes> {
        match self.cached_attributes() {
            Some(attributes) => Ok(attributes),
            None => self.refresh().await,
        }
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    async fn set_attributes(&self, change: AttributeChange) -> Result<Attributes> {
        match change.size {
            Some(size) if self.kind == FileKind::Regular => self.set_size(size, change).await?,
            Some(_) => return Err(Errno::EINVAL),
            None => {
                // A time that is set must not be overwritten by data written earlier.
                self.write_back().await?;
                self.change(change).await?;
            }
        }
        Ok(self.known_attributes())
    }

    fn caching(&self) -> Caching {
        match self.session.access.policy {
            CachePolicy::Shared => Caching::Revalidate,
            CachePolicy::Exclusive if self.session.is_immutable() => Caching::Stable,
            CachePolicy::Exclusive => Caching::Checked,
        }
    }

    fn names_are_current(&self) -> bool {
        self.look_holds()
    }

    fn foreign_changes(&self) -> u64 {
        self.foreign_changes.load(Ordering::Acquire)
    }

    async fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        Ok(self.look_up(name).await?)
    }

    async fn create(&self, name: &[u8], new: NewInode) -> Result<Arc<dyn Inode>> {
        Ok(self.make(name, new).await?)
    }

    async fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.make_link(name, target).await
    }

    async fn unlink(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.remove_name(Opcode::Unlink, name, target).await
    }

    async fn remove_directory(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.remove_name(Opcode::Rmdir, name, target).await
    }

    async fn rename(
        &self,
        name: &[u8],
        new_directory: &Arc<dyn Inode>,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        self.move_name(name, new_directory, new_name, mode).await
    }

    async fn read_link(&self, _caller: Caller<'_>) -> Result<Vec<u8>> {
        self.link_target().await
    }

    async fn open(self: Arc<Self>, _caller: Caller<'_>, flags: OpenFlags) -> Result<Arc<dyn File>> {
        match self.kind {
            FileKind::Directory => Ok(Arc::new(OpenDirectory::new(self))),
            FileKind::Regular => Ok(GoferFile::open(self, flags).await?),
            _ => Err(Errno::ENXIO),
        }
    }

    async fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.get_xattr(name).await
    }

    async fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        self.put_xattr(name, value, mode).await
    }

    async fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        self.list_xattrs().await
    }

    async fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        self.delete_xattr(name).await
    }
}
