//! Segments of shared memory (shmget(2), shmop(2)).

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};

use spin::mutex::SpinMutex;

use super::{Object, Permission, Registry, now};
use crate::{
    errno::Result,
    fs::tmpfs::{RegularFile, TmpfsInode},
    kernel::Kernel,
    mm::PageCache,
    vfs::{AttributeChange, Dentry, File, NewInode, NewNode, OpenFile, OpenFlags, Path},
};

/// A segment: a file without a name that is as long as it was asked to be.
pub struct Segment {
    permission: SpinMutex<Permission>,
    /// Size in bytes.
    pub size: u64,
    path: Path,
    cache: Arc<PageCache>,
    state: SpinMutex<State>,
}

/// The changing part.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Time of the last shmat(2), in seconds.
    pub attached: i64,
    /// Time of the last shmdt(2).
    pub detached: i64,
    /// Time of the last change.
    pub changed: i64,
    /// Who made it.
    pub creator: u32,
    /// Who attached or detached last.
    pub last_user: u32,
    /// It goes when nobody is attached (SHM_DEST).
    pub removed: bool,
    attachments: Vec<Weak<OpenFile>>,
}

impl Object for Segment {
    fn permission(&self) -> &SpinMutex<Permission> {
        &self.permission
    }
}

impl Segment {
    /// A segment of `size` zero bytes.
    ///
    /// # Errors
    /// ENOMEM and what else the file system says.
    pub fn new(kernel: &Kernel, permission: Permission, size: u64, creator: u32) -> Result<Self> {
        let (store, mount) = kernel.vfs.memory_files(kernel);
        let new = NewInode {
            node: NewNode::Regular,
            permissions: 0o777,
            uid: permission.uid,
            gid: permission.gid,
        };
        let inode = TmpfsInode::new(&store, new);
        inode.change(AttributeChange { size: Some(size), ..AttributeChange::default() })?;
        let cache = RegularFile::new(inode.clone()).page_cache()?;
        let name = alloc::format!("SYSV{:08x}", permission.key);
        let dentry = Dentry::unnamed(&mount.root, name.as_bytes(), inode);
        let state = State { changed: now(kernel), creator, ..State::default() };
        Ok(Self {
            permission: SpinMutex::new(permission),
            size,
            path: Path { mount, dentry },
            cache,
            state: SpinMutex::new(state),
        })
    }

    /// The file that a mapping of the segment keeps open.
    pub fn attach(
        self: &Arc<Self>,
        kernel: &Kernel,
        registry: &Arc<Registry<Self>>,
        (id, pid): (i32, u32),
        flags: OpenFlags,
    ) -> Arc<OpenFile> {
        let file = Arc::new(Attachment { segment: self.clone(), id, registry: registry.clone() });
        let open = OpenFile::new(file, Some(self.path.clone()), flags);
        let mut state = self.state.lock();
        state.attachments.retain(|other| other.strong_count() > 0);
        state.attachments.push(Arc::downgrade(&open));
        (state.attached, state.last_user) = (now(kernel), pid);
        open
    }

    /// Notes that `pid` detached it.
    pub fn note_detached(&self, kernel: &Kernel, pid: u32) {
        let mut state = self.state.lock();
        (state.detached, state.last_user) = (now(kernel), pid);
    }

    /// Notes that owner or mode were changed.
    pub fn note_changed(&self, kernel: &Kernel) {
        self.state.lock().changed = now(kernel);
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state.lock().clone()
    }

    /// Number of mappings of it (`shm_nattch`).
    pub fn attachments(&self) -> u64 {
        let state = self.state.lock();
        state.attachments.iter().map(|open| open.strong_count() as u64).sum()
    }

    /// Pages in memory.
    pub fn resident_pages(&self) -> u64 {
        self.cache.resident_pages()
    }

    /// Its inode number.
    pub fn inode(&self) -> u64 {
        self.path.inode().cached_attributes().map_or(0, |attributes| attributes.inode)
    }
}

impl Registry<Segment> {
    /// Removes a segment once nobody is attached (IPC_RMID).
    pub fn remove_when_unused(&self, id: i32, segment: &Arc<Segment>) {
        segment.state.lock().removed = true;
        self.hide(segment);
        if segment.attachments() == 0 {
            self.remove(id, segment);
        }
    }
}

/// A segment as the file of a mapping.
pub struct Attachment {
    segment: Arc<Segment>,
    id: i32,
    registry: Arc<Registry<Segment>>,
}

impl Attachment {
    /// What is attached.
    pub const fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }
}

impl File for Attachment {
    fn page_cache(&self) -> Result<Arc<PageCache>> {
        Ok(self.segment.cache.clone())
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if self.segment.state().removed && self.segment.attachments() == 0 {
            self.registry.remove(self.id, &self.segment);
        }
    }
}
