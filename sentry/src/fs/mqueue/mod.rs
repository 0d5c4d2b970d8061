//! The mqueue file system (mq_overview(7)): a directory of message queues. Every mount of it shows
//! the same queues, which mq_open(3) finds without any mount.

mod queue;

pub use queue::{Message, Notification, Queue};

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};
use core::any::Any;

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use crate::{
    errno::{Errno, Result},
    io::{Destination, TryResult},
    ipc::Ipc,
    kernel::{Kernel, PollEvents, WaitQueue, settings},
    vfs::{
        AttributeChange, Attributes, Caching, Caller, DeviceNumber, DirectoryEntry, File, FileKind,
        FileSystem, Inode, Mount, MountFlags, Name, NewInode, NewNode, OpenFlags, Path, Statistics,
        Timestamp,
    },
};

/// MQUEUE_MAGIC.
const MAGIC: u64 = 0x1980_0202;
/// What RLIMIT_MSGQUEUE is by default, for queues that are made by a name in a mount.
const DEFAULT_LIMIT: u64 = 819_200;
/// Most messages of any queue (HARD_MSGMAX of Linux).
pub const HARD_MAX_MESSAGES: usize = 65536;
/// Most bytes of any message (HARD_MSGSIZEMAX).
pub const HARD_MAX_SIZE: usize = 16 << 20;

/// Messages of a queue and bytes of a message where its maker does not say.
pub fn default_bounds(kernel: &Kernel) -> (usize, usize) {
    let size = |[default, most]: [&str; 2]| {
        kernel.settings.size(default, 0).min(kernel.settings.size(most, 0))
    };
    (size(settings::POSIX_MESSAGES), size(settings::POSIX_MESSAGE_SIZE))
}

/// A mount's view of the queues.
struct MessageQueueFileSystem {
    root: Arc<Directory>,
}

/// The directory of all queues.
pub struct Directory {
    common: Common,
    queues: SpinMutex<BTreeMap<Name, Arc<QueueInode>>>,
    next_inode: SpinMutex<u64>,
}

/// A queue as a file.
pub struct QueueInode {
    common: Common,
    /// The queue.
    pub queue: Queue,
}

/// What all inodes have.
struct Common {
    kernel: alloc::sync::Weak<Kernel>,
    attributes: SpinMutex<Attributes>,
}

impl Common {
    fn new(kernel: &Arc<Kernel>, device: DeviceNumber, number: u64, new: &NewInode) -> Self {
        let now = Timestamp::from_nanoseconds(kernel.platform.realtime_nanoseconds());
        let is_directory = matches!(new.node, NewNode::Directory);
        let attributes = Attributes {
            device,
            inode: number,
            kind: if is_directory { FileKind::Directory } else { FileKind::Regular },
            permissions: new.permissions,
            links: if is_directory { 2 } else { 1 },
            uid: new.uid,
            gid: new.gid,
            device_node: DeviceNumber::default(),
            size: if is_directory { 0 } else { 80 },
            block_size: 4096,
            blocks: 0,
            accessed: now,
            modified: now,
            changed: now,
            created: None,
        };
        Self { kernel: Arc::downgrade(kernel), attributes: SpinMutex::new(attributes) }
    }

    fn attributes(&self) -> Attributes {
        *self.attributes.lock()
    }

    /// Changes owner, permissions and times; the size is what it is.
    fn change(&self, change: &AttributeChange) -> Attributes {
        let mut attributes = self.attributes.lock();
        let old = *attributes;
        *attributes = Attributes {
            permissions: change.permissions.unwrap_or(old.permissions),
            uid: change.uid.unwrap_or(old.uid),
            gid: change.gid.unwrap_or(old.gid),
            accessed: change.accessed.unwrap_or(old.accessed),
            modified: change.modified.unwrap_or(old.modified),
            ..old
        };
        *attributes
    }
}

/// The mount in which mq_open(3) finds names.
pub fn own_mount(kernel: &Arc<Kernel>, ipc: &Ipc) -> Arc<Mount> {
    let make = || {
        let device = kernel.vfs.allocate_device();
        let root = NewInode { node: NewNode::Directory, permissions: 0o1777, uid: 0, gid: 0 };
        let directory = Directory {
            common: Common::new(kernel, device, 1, &root),
            queues: SpinMutex::default(),
            next_inode: SpinMutex::new(2),
        };
        let file_system = Arc::new(MessageQueueFileSystem { root: Arc::new(directory) });
        Mount::new(file_system, &kernel.vfs.dentries, "mqueue", MountFlags::empty())
    };
    ipc.posix_queues.call_once(make).clone()
}

/// The file system of an IPC namespace, to be mounted.
pub fn new(kernel: &Arc<Kernel>, ipc: &Ipc) -> Arc<dyn FileSystem> {
    own_mount(kernel, ipc).file_system.clone()
}

/// The queue at `path`.
///
/// # Errors
/// EBADF if there is none.
pub fn queue_at(path: &Path) -> Result<&QueueInode> {
    let inode: &dyn Any = &**path.inode();
    inode.downcast_ref().ok_or(Errno::EBADF)
}

#[async_trait]
impl FileSystem for MessageQueueFileSystem {
    fn name(&self) -> &'static str {
        "mqueue"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    async fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics { magic: MAGIC, block_size: 4096, ..Statistics::default() })
    }
}

impl Directory {
    /// Makes a queue called `name` for at most so many messages of so many bytes. All queues of its
    /// owner may take `limit` bytes (RLIMIT_MSGQUEUE).
    ///
    /// # Errors
    /// EEXIST, ENOSPC, EMFILE beyond the limit.
    pub fn make(
        &self,
        name: &[u8],
        new: &NewInode,
        (max_messages, max_size): (usize, usize),
        limit: u64,
    ) -> Result<Arc<QueueInode>> {
        let kernel = self.common.kernel.upgrade().ok_or(Errno::EIO)?;
        let mut queues = self.queues.lock();
        if queues.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        if queues.len() >= kernel.settings.size(settings::POSIX_QUEUES, 0) {
            return Err(Errno::ENOSPC);
        }
        let owned = queues.values().filter(|queue| queue.common.attributes().uid == new.uid);
        let taken: usize = owned.map(|queue| queue.queue.room()).sum();
        let queue = Queue::new(max_messages, max_size);
        // Whatever the limit is, queues take no more than an eighth of memory.
        let memory = kernel.frames.total_bytes() / 8;
        if taken.saturating_add(queue.room()) as u64 > limit.min(memory) {
            return Err(Errno::EMFILE);
        }
        let number = {
            let mut next = self.next_inode.lock();
            *next += 1;
            *next
        };
        let device = self.common.attributes().device;
        let common = Common::new(&kernel, device, number, new);
        let inode = Arc::new(QueueInode { common, queue });
        queues.insert(Name::from(name), inode.clone());
        Ok(inode)
    }
}

#[async_trait]
impl Inode for Directory {
    fn cached_attributes(&self) -> Option<Attributes> {
        Some(self.common.attributes())
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn caching(&self) -> Caching {
        // Each mount has dentries of its own.
        Caching::Volatile
    }

    async fn set_attributes(&self, change: AttributeChange) -> Result<Attributes> {
        Ok(self.common.change(&change))
    }

    async fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let queue = self.queues.lock().get(name).cloned();
        Ok(queue.ok_or(Errno::ENOENT)?)
    }

    async fn create(&self, name: &[u8], new: NewInode) -> Result<Arc<dyn Inode>> {
        if !matches!(new.node, NewNode::Regular) {
            return Err(Errno::EPERM);
        }
        let kernel = self.common.kernel.upgrade().ok_or(Errno::EIO)?;
        Ok(self.make(name, &new, default_bounds(&kernel), DEFAULT_LIMIT)?)
    }

    async fn unlink(&self, name: &[u8], _target: &Arc<dyn Inode>) -> Result<()> {
        let removed = self.queues.lock().remove(name);
        removed.ok_or(Errno::ENOENT)?.common.attributes.lock().links = 0;
        Ok(())
    }

    async fn open(
        self: Arc<Self>,
        _caller: Caller<'_>,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn File>> {
        Ok(Arc::new(OpenDirectory(self)))
    }
}

#[async_trait]
impl Inode for QueueInode {
    fn cached_attributes(&self) -> Option<Attributes> {
        Some(self.common.attributes())
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    async fn set_attributes(&self, change: AttributeChange) -> Result<Attributes> {
        Ok(self.common.change(&change))
    }

    async fn open(
        self: Arc<Self>,
        _caller: Caller<'_>,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn File>> {
        Ok(Arc::new(OpenQueue(self)))
    }
}

/// An open queue: the descriptor that mq_open(3) answers.
pub struct OpenQueue(pub Arc<QueueInode>);

#[async_trait]
impl File for OpenQueue {
    fn try_read(&self, offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        let description = self.0.queue.description().into_bytes();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match description.get(start..).filter(|rest| !rest.is_empty()) {
            Some(rest) => destination.put(rest),
            None => Ok(0),
        }
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn poll(&self) -> PollEvents {
        let (length, most) = (self.0.queue.len(), self.0.queue.max_messages);
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN | PollEvents::READ_NORMAL, length > 0);
        events.set(PollEvents::OUT | PollEvents::WRITE_NORMAL, length < most);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.queue.changed)
    }
}

struct OpenDirectory(Arc<Directory>);

#[async_trait]
impl File for OpenDirectory {
    fn is_seekable(&self) -> bool {
        true
    }

    async fn read_directory(&self, position: u64) -> Result<Vec<DirectoryEntry>> {
        let own = self.0.common.attributes().inode;
        let directory = |name: &[u8]| (own, FileKind::Directory, name.to_vec());
        let mut all = alloc::vec![directory(b"."), directory(b"..")];
        for (name, queue) in self.0.queues.lock().iter() {
            all.push((queue.common.attributes().inode, FileKind::Regular, name.to_vec()));
        }
        let entry = |(index, (inode, kind, name)): (u64, (u64, FileKind, Vec<u8>))| {
            DirectoryEntry { inode, kind, name, next: index + 1 }
        };
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        Ok((0..).zip(all).map(entry).skip(start).collect())
    }
}
