//! Names: finding, making, moving and removing them.

use alloc::{sync::Arc, vec::Vec};
use core::any::Any;

use guest_abi::fuse::{
    CreateIn, EntryOut, LinkIn, MkdirIn, MknodIn, NO_HANDLE, Opcode, OpenIn, OpenOut, ReadIn,
    Rename2In,
};

use super::{
    attributes::encode_device,
    call::Call,
    connection::Release,
    handles::Purpose,
    inode::GoferInode,
    listing::{self, Entry, Format, Listing, RawEntry},
};
use crate::{
    errno::{Errno, Result},
    vfs::{DeviceNumber, FileKind, Inode, NewInode, NewNode, OpenFlags, RenameMode},
};

/// `RENAME_NOREPLACE` and `RENAME_EXCHANGE` of `<linux/fs.h>`.
const RENAME_NO_REPLACE: u32 = 1;
const RENAME_EXCHANGE: u32 = 2;

/// How much of a directory to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// What one reply holds.
    First,
    /// Everything.
    All,
}

impl GoferInode {
    /// The inode called `name`: from the listing if there is a true one, else from the server.
    pub(super) async fn look_up(&self, name: &[u8]) -> Result<Arc<Self>> {
        if !self.is_of(FileKind::Directory) {
            return Err(Errno::ENOTDIR);
        }
        if let Some(listing) = self.true_listing().await? {
            let entry = listing.find(name).ok_or(Errno::ENOENT)?;
            if let Some(child) = &entry.child {
                return Ok(child.clone());
            }
        }
        let call = Call::new(Opcode::Lookup, self.node).name(name);
        let reply: EntryOut = self.session.connection.ask(&call).await?;
        self.session.enter(&reply)
    }

    /// Makes a new inode.
    pub(super) async fn make(&self, name: &[u8], new: NewInode) -> Result<Arc<Self>> {
        let inode = match &new.node {
            NewNode::Regular => self.make_file(name, &new).await?,
            NewNode::Directory => {
                let body = MkdirIn { mode: new.permissions.into(), umask: 0 };
                let call = Call::new(Opcode::Mkdir, self.node).with(&body).name(name);
                self.introduce(call, &new).await?
            }
            NewNode::SymbolicLink(target) => {
                let call = Call::new(Opcode::Symlink, self.node).name(name).name(target);
                self.introduce(call, &new).await?
            }
            NewNode::Fifo => self.make_node(name, &new, FileKind::Fifo, None).await?,
            NewNode::Socket => self.make_node(name, &new, FileKind::Socket, None).await?,
            NewNode::CharacterDevice(device) => {
                self.make_node(name, &new, FileKind::CharacterDevice, Some(*device)).await?
            }
            NewNode::BlockDevice(device) => {
                self.make_node(name, &new, FileKind::BlockDevice, Some(*device)).await?
            }
        };
        let links = i32::from(matches!(new.node, NewNode::Directory));
        self.note_changed_entries(links);
        Ok(inode)
    }

    async fn make_file(&self, name: &[u8], new: &NewInode) -> Result<Arc<Self>> {
        let flags = OpenFlags::READ_WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let body =
            CreateIn { flags: flags.bits(), mode: new.permissions.into(), ..CreateIn::default() };
        let (uid, gid) = self.session.owner_outside(new)?;
        let call = Call::new(Opcode::Create, self.node).owned_by(uid, gid).with(&body).name(name);
        let room = size_of::<EntryOut>() + size_of::<OpenOut>();
        let reply = self.session.connection.exchange(&call, room).await?;
        let entry: EntryOut = reply.read(0)?;
        let opened: OpenOut = reply.read(size_of::<EntryOut>())?;
        let inode = self.session.enter(&entry)?;
        if inode.is_of(FileKind::Regular) {
            inode.contents().handles.adopt(Purpose::Write, opened.handle);
        }
        Ok(inode)
    }

    async fn make_node(
        &self,
        name: &[u8],
        new: &NewInode,
        kind: FileKind,
        device: Option<DeviceNumber>,
    ) -> Result<Arc<Self>> {
        let body = MknodIn {
            mode: kind.mode_bits() | u32::from(new.permissions),
            device: device.map_or(0, encode_device),
            ..MknodIn::default()
        };
        let call = Call::new(Opcode::Mknod, self.node).with(&body).name(name);
        self.introduce(call, new).await
    }

    /// Sends a request that makes something, and enters what it made.
    async fn introduce(&self, call: Call<'_>, new: &NewInode) -> Result<Arc<Self>> {
        let (uid, gid) = self.session.owner_outside(new)?;
        let call = call.owned_by(uid, gid);
        let reply: EntryOut = self.session.connection.ask(&call).await?;
        self.session.enter(&reply)
    }

    /// Makes `name` another link to `target`.
    pub(super) async fn make_link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        let target = self.same_tree(target)?;
        let body = LinkIn { node: target.node };
        let call = Call::new(Opcode::Link, self.node).with(&body).name(name);
        let reply: EntryOut = self.session.connection.ask(&call).await?;
        // Counts the lookup, and frees it if the server answered with another node.
        drop(self.session.enter(&reply)?);
        target.note_changed_links(1);
        self.note_changed_entries(0);
        Ok(())
    }

    /// Removes a name: UNLINK or RMDIR.
    pub(super) async fn remove_name(
        &self,
        opcode: Opcode,
        name: &[u8],
        target: &Arc<dyn Inode>,
    ) -> Result<()> {
        let target = self.same_tree(target)?;
        let call = Call::new(opcode, self.node).name(name);
        self.session.connection.tell(&call).await?;
        let is_directory = opcode == Opcode::Rmdir;
        target.note_changed_links(if is_directory { -2 } else { -1 });
        target.drop_listing();
        self.note_changed_entries(-i32::from(is_directory));
        Ok(())
    }

    /// Moves a name.
    pub(super) async fn move_name(
        &self,
        name: &[u8],
        new_directory: &Arc<dyn Inode>,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        let new_directory = self.same_tree(new_directory)?;
        let flags = match mode {
            RenameMode::Replace => 0,
            RenameMode::NoReplace => RENAME_NO_REPLACE,
            RenameMode::Exchange => RENAME_EXCHANGE,
        };
        let body = Rename2In { new_parent: new_directory.node, flags, padding: 0 };
        let call = Call::new(Opcode::Rename2, self.node).with(&body).name(name).name(new_name);
        self.session.connection.tell(&call).await?;
        for directory in [self, new_directory] {
            directory.note_changed_entries(0);
            // Whether a directory moved between them, and so their link counts, is not known here.
            directory.expire();
        }
        Ok(())
    }

    /// The inode as one of this file system.
    fn same_tree<'a>(&self, inode: &'a Arc<dyn Inode>) -> Result<&'a Self> {
        let any: &dyn Any = &**inode;
        any.downcast_ref::<Self>()
            .filter(|inode| Arc::ptr_eq(&inode.session, &self.session))
            .ok_or(Errno::EXDEV)
    }

    /// Notes that entries of this directory have changed here, and its link count by `links`.
    fn note_changed_entries(&self, links: i32) {
        self.listing.lock().generation += 1;
        self.drop_listing();
        let now = self.session.now();
        let mut state = self.state.lock();
        state.attributes.modified = now;
        state.attributes.changed = now;
        state.attributes.links = state.attributes.links.saturating_add_signed(links);
        if !self.session.is_exclusive() {
            state.valid_until = 0;
        }
    }

    /// Notes that names of this inode were made or removed here.
    fn note_changed_links(&self, links: i32) {
        let now = self.session.now();
        let mut state = self.state.lock();
        state.attributes.changed = now;
        state.attributes.links = state.attributes.links.saturating_add_signed(links);
        if !self.session.is_exclusive() {
            state.valid_until = 0;
        }
    }

    /// The entries of this directory: kept ones, or as the server lists them now.
    pub(super) async fn list(self: &Arc<Self>) -> Result<Arc<Listing>> {
        if let Some(listing) = self.true_listing().await? {
            return Ok(listing);
        }
        let generation = self.listing.lock().generation;
        let listing = Arc::new(self.load_listing().await?);
        if self.session.is_exclusive() {
            let old = {
                let mut kept = self.listing.lock();
                if kept.generation != generation {
                    return Ok(listing);
                }
                kept.listing.replace(listing.clone())
            };
            drop(old);
            self.session.listing_kept(self, listing.len());
        }
        Ok(listing)
    }

    /// The kept listing, if it still holds.
    async fn true_listing(&self) -> Result<Option<Arc<Listing>>> {
        if self.listing.lock().listing.is_some() && !self.look_holds() {
            self.refresh().await?;
        }
        Ok(self.listing.lock().listing.clone())
    }

    async fn load_listing(&self) -> Result<Listing> {
        let (first, complete) = self.read_entries(NO_HANDLE, Extent::First).await?;
        if complete {
            return Ok(Listing::new(first));
        }
        let body = OpenIn { flags: OpenFlags::DIRECTORY.bits(), open_flags: 0 };
        let call = Call::new(Opcode::Opendir, self.node).with(&body);
        let opened: OpenOut = self.session.connection.ask(&call).await?;
        let all = self.read_entries(opened.handle, Extent::All).await;
        self.session.connection.release(Release {
            opcode: Opcode::Releasedir,
            node: self.node,
            handle: opened.handle,
        });
        // Only now, so that its inodes need not be forgotten and made again.
        drop(first);
        all.map(|(entries, _)| Listing::new(entries))
    }

    /// Entries from the start on; and whether these are all.
    async fn read_entries(&self, handle: u64, extent: Extent) -> Result<(Vec<Entry>, bool)> {
        // Where names are asked for again at each walk, attributes would be of no use.
        let (opcode, format) = if self.session.is_exclusive() {
            (Opcode::Readdirplus, Format::Attributes)
        } else {
            (Opcode::Readdir, Format::Names)
        };
        let room = self.session.connection.max_data();
        let size = u32::try_from(room).map_err(|_| Errno::EIO)?;
        let (mut entries, mut offset) = (Vec::new(), 0);
        loop {
            let body = ReadIn { handle, offset, size, ..ReadIn::default() };
            let call = Call::new(opcode, self.node).with(&body);
            let bytes = self.session.connection.exchange(&call, room).await?.bytes()?;
            let listed = listing::parse(&bytes, format)?;
            let Some(last) = listed.last() else { return Ok((entries, true)) };
            offset = last.next;
            entries.extend(listed.iter().map(|raw| self.enter_listed(raw)));
            if room - bytes.len() >= format.longest_entry() {
                return Ok((entries, true));
            }
            if extent == Extent::First {
                return Ok((entries, false));
            }
            if entries.len() > listing::MAX_ENTRIES {
                return Err(Errno::EIO);
            }
        }
    }

    fn enter_listed(&self, raw: &RawEntry<'_>) -> Entry {
        let child = raw.node.and_then(|node| self.session.enter(&node).ok());
        Entry {
            inode: raw.inode,
            kind: child.as_ref().map_or(raw.kind, |child| child.kind()),
            name: Arc::from(raw.name),
            child,
        }
    }
}
