//! What an open file does: the [`File`] trait, and the open file description around it.
#![allow(missing_docs, reason = "flags keep the names of their man pages")]

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    any::Any,
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use bitflags::bitflags;
use spin::{Once, mutex::SpinMutex};

use super::{Anonymous, InodeKey, LockOwner, Locks, Path, attributes::FileKind};
use crate::{
    errno::{Errno, Result},
    fs::inotify::{Events, Watches},
    io::{Destination, Source, TryError, TryResult},
    kernel::{Current, PollEvents, WaitQueue},
    mm::PageCache,
};

bitflags! {
    /// Flags of open(2), with the numbers of x86-64.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the names are those of open(2)")]
    pub struct OpenFlags: u32 {
        const WRITE_ONLY = 0o1;
        const READ_WRITE = 0o2;
        const CREATE = 0o100;
        const EXCLUSIVE = 0o200;
        const NO_CONTROLLING_TERMINAL = 0o400;
        const TRUNCATE = 0o1000;
        const APPEND = 0o2000;
        const NON_BLOCKING = 0o4000;
        const DATA_SYNC = 0o10000;
        const ASYNC = 0o20000;
        const DIRECT = 0o40000;
        const LARGE_FILE = 0o100_000;
        const DIRECTORY = 0o200_000;
        const NO_FOLLOW = 0o400_000;
        const NO_ACCESS_TIME = 0o1_000_000;
        const CLOSE_ON_EXEC = 0o2_000_000;
        const SYNC = 0o4_000_000;
        const PATH = 0o10_000_000;
        const TEMPORARY_FILE = 0o20_000_000;
    }
}

impl OpenFlags {
    /// Whether they allow reading.
    pub const fn readable(self) -> bool {
        self.bits() & 3 != 1 && !self.contains(Self::PATH)
    }

    /// Whether they allow writing.
    pub const fn writable(self) -> bool {
        self.bits() & 3 != 0 && !self.contains(Self::PATH)
    }
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritePosition {
    /// At this offset; streams ignore it.
    At(u64),
    /// At the end of the file, in one step with finding it (O_APPEND).
    End,
}

/// What a write did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes written.
    pub count: usize,
    /// Offset in the file after the last of them; streams say 0.
    pub end: u64,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Inode number.
    pub inode: u64,
    /// Type.
    pub kind: FileKind,
    /// Name.
    pub name: Vec<u8>,
    /// Position to go on from after this entry.
    pub next: u64,
}

/// An open file, as its file system, driver or socket family implements it.
///
/// Tried operations (`try_*`) never wait. What waits is `async`; the caller makes it interruptible.
#[async_trait]
pub trait File: Any + Send + Sync {
    /// Reads at `offset` (streams ignore it); 0 is end of file.
    ///
    /// # Errors
    /// See [`TryError`]; EINVAL if it cannot be read, EISDIR for a directory.
    fn try_read(&self, _offset: u64, _destination: &mut dyn Destination) -> TryResult<usize> {
        Err(Errno::EINVAL.into())
    }

    /// Writes.
    ///
    /// # Errors
    /// See [`TryError`]; EINVAL if it cannot be written, EPIPE, ENOSPC, EFBIG.
    fn try_write(&self, _at: WritePosition, _source: &mut dyn Source) -> TryResult<Written> {
        Err(Errno::EINVAL.into())
    }

    /// Asked before a task reads or (`write`) writes: a terminal stops background jobs here.
    ///
    /// # Errors
    /// ERESTARTSYS after a signal was sent; EIO.
    fn admit(&self, _current: &Current, _write: bool) -> Result<()> {
        Ok(())
    }

    /// Makes contents resident after [`TryError::NotResident`].
    ///
    /// # Errors
    /// EIO, ENOMEM.
    async fn fetch(&self, _offset: u64, _length: usize) -> Result<()> {
        Err(Errno::EIO)
    }

    /// What it is ready for now. Files that never block are always ready.
    fn poll(&self) -> PollEvents {
        PollEvents::IN | PollEvents::OUT | PollEvents::READ_NORMAL | PollEvents::WRITE_NORMAL
    }

    /// Where to wait for readiness; `None` if it never blocks (epoll answers EPERM).
    fn wait_queue(&self) -> Option<&WaitQueue> {
        None
    }

    /// Whether it has a position. Otherwise lseek(2) and pread(2) answer ESPIPE.
    fn is_seekable(&self) -> bool {
        false
    }

    /// The offset that lseek(2) SEEK_DATA (`data`) or SEEK_HOLE would find from `offset`.
    ///
    /// # Errors
    /// ENXIO past the end; EINVAL where not supported.
    async fn seek_data(&self, _offset: u64, _data: bool) -> Result<u64> {
        Err(Errno::EINVAL)
    }

    /// The next entries of a directory from `position` (0 is the start), `.` and `..` included;
    /// empty at the end.
    ///
    /// # Errors
    /// ENOTDIR if it is none.
    async fn read_directory(&self, _position: u64) -> Result<Vec<DirectoryEntry>> {
        Err(Errno::ENOTDIR)
    }

    /// The page cache that mmap(2) maps.
    ///
    /// # Errors
    /// ENODEV if it cannot be mapped.
    fn page_cache(&self) -> Result<Arc<PageCache>> {
        Err(Errno::ENODEV)
    }

    /// Device and file control.
    ///
    /// # Errors
    /// ENOTTY if it knows no such command.
    async fn ioctl(&self, _current: &mut Current, _command: u32, _argument: u64) -> Result<u64> {
        Err(Errno::ENOTTY)
    }

    /// fsync(2); with `data_only` fdatasync(2).
    ///
    /// # Errors
    /// EINVAL where there is nothing to synchronise to; EIO, ENOSPC.
    async fn sync(&self, _data_only: bool) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// Whether a write that fails with EPIPE also raises SIGPIPE. Sockets that carry messages
    /// raise none (unix(7)).
    fn signals_broken_pipe(&self) -> bool {
        true
    }

    /// Whether a write of at most a page is taken whole or not at all (pipe(7), PIPE_BUF).
    fn writes_whole(&self) -> bool {
        false
    }

    /// Whether [`Self::write_through`] must be awaited before a write is reported as done, because
    /// others look at the file where it is kept.
    fn writes_through(&self) -> bool {
        false
    }

    /// Takes what was written to where others see it. Less than [`Self::sync`]: it need not
    /// survive a crash.
    ///
    /// # Errors
    /// EIO, ENOSPC.
    async fn write_through(&self) -> Result<()> {
        Ok(())
    }

    /// fallocate(2).
    ///
    /// # Errors
    /// EOPNOTSUPP, ENOSPC, EFBIG.
    async fn allocate(&self, _mode: u32, _offset: u64, _length: u64) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// What it is if no name leads to it.
    fn anonymous(&self) -> Anonymous {
        Anonymous::inode("file")
    }

    /// Opens the same object anew, by way of /proc/PID/fd, for a file that no name leads to.
    ///
    /// # Errors
    /// ENXIO if it cannot be opened, as sockets.
    fn reopen(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn File>> {
        Err(Errno::ENXIO)
    }

    /// The status flags (O_APPEND, O_NONBLOCK, ...) have changed.
    fn flags_changed(&self, _flags: OpenFlags) {}
}

/// An open file description (open(2), NOTES): what descriptors refer to and forks share.
pub struct OpenFile {
    /// What it does.
    pub file: Arc<dyn File>,
    /// The name it was opened by; `None` for anonymous files (pipes, sockets, epoll).
    pub path: Option<Path>,
    flags: AtomicU32,
    is_seekable: bool,
    offset: SpinMutex<u64>,
    /// The inode, once it was locked by way of this description.
    locked: Once<InodeKey>,
    /// Where locks of the description are to be given up at its end.
    locks: Once<Arc<Locks>>,
    /// Who is to be told that it was closed.
    watches: Once<Arc<Watches>>,
}

impl OpenFile {
    /// A description at offset 0.
    pub fn new(file: Arc<dyn File>, path: Option<Path>, flags: OpenFlags) -> Arc<Self> {
        Arc::new(Self {
            is_seekable: file.is_seekable(),
            file,
            path,
            flags: AtomicU32::new(flags.bits()),
            offset: SpinMutex::new(0),
            locked: Once::new(),
            locks: Once::new(),
            watches: Once::new(),
        })
    }

    /// It as the owner of locks.
    pub fn lock_owner(&self) -> LockOwner {
        LockOwner::Description(core::ptr::from_ref(self).addr())
    }

    /// Notes that a process locks the inode `key` by way of this description.
    pub fn note_key(&self, key: InodeKey) {
        self.locked.call_once(|| key);
    }

    /// Notes that this description may come to hold locks on the inode `key`.
    pub fn note_locks(&self, locks: &Arc<Locks>, key: InodeKey) {
        self.note_key(key);
        self.locks.call_once(|| locks.clone());
    }

    /// Tells those who watch the file that it was opened, and when it is closed.
    pub fn tell_opened(&self, watches: &Arc<Watches>) {
        self.watches.call_once(|| watches.clone());
        self.tell(Events::OPEN);
    }

    /// Tells those who watch the file what happened to it.
    #[inline]
    pub fn tell(&self, events: Events) {
        if let (Some(watches), Some(path)) = (self.watches.get(), &self.path) {
            watches.tell(&path.dentry, events);
        }
    }

    /// The inode, if it was locked by way of this description.
    pub fn locked(&self) -> Option<InodeKey> {
        self.locked.get().copied()
    }

    /// Access mode and status flags.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Whether it has a position (see [`File::is_seekable`]).
    pub const fn is_seekable(&self) -> bool {
        self.is_seekable
    }

    /// Replaces the status flags that fcntl(2) F_SETFL may change.
    pub fn set_status_flags(&self, flags: OpenFlags) {
        let changeable = OpenFlags::APPEND
            | OpenFlags::ASYNC
            | OpenFlags::DIRECT
            | OpenFlags::NO_ACCESS_TIME
            | OpenFlags::NON_BLOCKING;
        let new = (self.flags() - changeable) | (flags & changeable);
        self.flags.store(new.bits(), Ordering::Relaxed);
        self.file.flags_changed(new);
    }

    /// The file offset. The lock is a leaf for tried operations: hold it across one of them so that
    /// reads through one description do not overlap, never across an await.
    pub fn offset(&self) -> &SpinMutex<u64> {
        &self.offset
    }

    /// The file as its concrete type.
    pub fn downcast<T: File>(&self) -> Option<&T> {
        let any: &dyn Any = &*self.file;
        any.downcast_ref()
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let (Some(locks), Some(key)) = (self.locks.get(), self.locked()) {
            locks.release(key, self.lock_owner());
        }
        let written = self.flags().writable();
        self.tell(if written { Events::CLOSE_WRITE } else { Events::CLOSE_NOWRITE });
    }
}

/// Maps [`TryError::WouldBlock`] to EAGAIN and leaves no other reason to retry, for callers that
/// neither wait nor fault.
pub fn without_waiting<T>(result: TryResult<T>) -> Result<T> {
    result.map_err(|error| match error {
        TryError::WouldBlock => Errno::EAGAIN,
        TryError::PageFault { .. } => Errno::EFAULT,
        TryError::NotResident { .. } => Errno::EIO,
        TryError::Failed(errno) => errno,
    })
}
