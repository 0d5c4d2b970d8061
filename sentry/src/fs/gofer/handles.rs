//! Open handles of one file at the server, and reading and writing its pages through them.
//!
//! All open files of an inode share at most two handles, one for reading and one for both. They
//! are opened when first needed, and kept for a while after the last close, so that a file that is
//! opened again and again costs one OPEN.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use guest_abi::fuse::{NO_HANDLE, Opcode, OpenIn, OpenOut, ReadIn, WriteIn, WriteOut};
use spin::mutex::SpinMutex;

use super::{
    call::Call,
    connection::{Connection, Pending, Release, Room, Started},
};
use crate::{
    drivers::Part,
    errno::{Errno, Result},
    memory::{FrameRef, PAGE_SIZE},
    mm::PageBacking,
    vfs::{OpenFlags, SleepMutex},
};

/// The handles of one node. The lock of `open` is a leaf.
pub(super) struct Handles {
    connection: Arc<Connection>,
    node: u64,
    /// Nobody can change or remove the file, so reading its start needs no handle.
    immutable: bool,
    open: SpinMutex<Open>,
    /// Held while a handle is being opened.
    opening: SleepMutex,
    /// Open files that use them.
    users: AtomicUsize,
    /// Whether they are in the list of idle ones.
    listed_as_idle: AtomicBool,
}

#[derive(Clone, Copy, Default)]
struct Open {
    read: Option<u64>,
    read_write: Option<u64>,
}

/// What a handle is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

impl Handles {
    /// No handle of `node` yet.
    pub(super) fn new(connection: Arc<Connection>, node: u64, immutable: bool) -> Arc<Self> {
        Arc::new(Self {
            connection,
            node,
            immutable,
            open: SpinMutex::default(),
            opening: SleepMutex::new(),
            users: AtomicUsize::new(0),
            listed_as_idle: AtomicBool::new(false),
        })
    }

    /// A handle for `purpose`, opened if there is none.
    ///
    /// # Errors
    /// Those of open(2) at the server.
    pub(super) async fn get(&self, purpose: Purpose) -> Result<u64> {
        if let Some(handle) = self.known(purpose) {
            return Ok(handle);
        }
        let _opening = self.opening.lock().await;
        if let Some(handle) = self.known(purpose) {
            return Ok(handle);
        }
        let flags = match purpose {
            Purpose::Read => OpenFlags::empty(),
            Purpose::Write => OpenFlags::READ_WRITE,
        };
        let body = OpenIn { flags: flags.bits(), ..OpenIn::default() };
        let call = Call::new(Opcode::Open, self.node).with(&body);
        let reply: OpenOut = self.connection.ask(&call).await?;
        self.adopt(purpose, reply.handle);
        Ok(reply.handle)
    }

    /// An open handle that serves `purpose`.
    pub(super) fn known(&self, purpose: Purpose) -> Option<u64> {
        let open = *self.open.lock();
        match purpose {
            Purpose::Read => open.read_write.or(open.read),
            Purpose::Write => open.read_write,
        }
    }

    /// Takes over a handle that the server opened for `purpose`.
    pub(super) fn adopt(&self, purpose: Purpose, handle: u64) {
        let old = {
            let mut open = self.open.lock();
            match purpose {
                Purpose::Read => open.read.replace(handle),
                Purpose::Write => open.read_write.replace(handle),
            }
        };
        self.release(old);
    }

    /// Notes one more user.
    pub(super) fn add_user(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes one user less; true if the handles are idle now and nobody has listed them as such.
    pub(super) fn remove_user(&self) -> bool {
        self.users.fetch_sub(1, Ordering::Relaxed) == 1
            && self.known(Purpose::Read).is_some()
            && !self.listed_as_idle.swap(true, Ordering::Relaxed)
    }

    /// Closes the handles if they are still idle; for who took them from the list of idle ones.
    pub(super) fn close_idle(&self) {
        self.listed_as_idle.store(false, Ordering::Relaxed);
        if self.users.load(Ordering::Relaxed) == 0 {
            self.close();
        }
    }

    fn close(&self) {
        let open = core::mem::take(&mut *self.open.lock());
        self.release(open.read);
        self.release(open.read_write);
    }

    fn release(&self, handle: Option<u64>) {
        if let Some(handle) = handle {
            self.connection.release(Release { opcode: Opcode::Release, node: self.node, handle });
        }
    }

    /// A handle to read `pages` pages from page `index` on. The start of a file, which is all of a
    /// small one, is read without opening it.
    async fn reading_handle(&self, index: u64, pages: usize) -> Result<u64> {
        match self.known(Purpose::Read) {
            Some(handle) => Ok(handle),
            None if self.immutable && index == 0 && pages <= self.pages_at_once() => Ok(NO_HANDLE),
            None => self.get(Purpose::Read).await,
        }
    }

    /// Pages that one request moves.
    fn pages_at_once(&self) -> usize {
        (self.connection.max_data() / PAGE_SIZE).max(1)
    }

    async fn finish_read(&self, (pending, frames): (Pending, &[FrameRef])) -> Result<()> {
        let reply = pending.reply().await?;
        let mut offset = 0;
        for frame in frames {
            let length = (reply.length() - offset).min(PAGE_SIZE);
            reply.copy_to(offset, frame.address(), length)?;
            offset += length;
        }
        Ok(())
    }

    async fn finish_write(&self, (pending, length): (Pending, usize)) -> Result<()> {
        let reply: WriteOut = pending.reply().await?.read(0)?;
        let written = usize::try_from(reply.size).map_err(|_| Errno::EIO)?;
        if written == length { Ok(()) } else { Err(Errno::EIO) }
    }

    /// A buffer with the first `length` bytes of `frames`. Finishes writes under way to get one.
    async fn gather(
        &self,
        frames: &[FrameRef],
        length: usize,
        under_way: &mut VecDeque<(Pending, usize)>,
    ) -> Result<Part> {
        let buffer = loop {
            if let Some(buffer) = self.connection.try_data_buffer() {
                break buffer;
            }
            match under_way.pop_front() {
                Some(oldest) => self.finish_write(oldest).await?,
                None => break self.connection.data_buffer().await,
            }
        };
        for (position, frame) in frames.iter().enumerate() {
            let offset = position * PAGE_SIZE;
            let piece = length.saturating_sub(offset).min(PAGE_SIZE);
            buffer.copy_from(offset, frame.address(), piece)?;
        }
        Part::new(buffer, length, 0)
    }
}

/// Bytes from the start of the file to page `index`.
fn offset_of(index: u64) -> Result<u64> {
    index.checked_mul(PAGE_SIZE as u64).ok_or(Errno::EFBIG)
}

#[async_trait]
impl PageBacking for Handles {
    async fn read_pages(&self, index: u64, frames: &[FrameRef]) -> Result<()> {
        let handle = self.reading_handle(index, frames.len()).await?;
        let mut under_way: VecDeque<(Pending, &[FrameRef])> = VecDeque::new();
        let mut offset = offset_of(index)?;
        for chunk in frames.chunks(self.pages_at_once()) {
            let length = chunk.len() * PAGE_SIZE;
            let size = u32::try_from(length).map_err(|_| Errno::EIO)?;
            let body = ReadIn { handle, offset, size, ..ReadIn::default() };
            let call = Call::new(Opcode::Read, self.node).with(&body);
            let room = Room::Body(length);
            let pending = loop {
                if let Started::Sent(pending) = self.connection.try_start(&call, None, room)? {
                    break pending;
                }
                match under_way.pop_front() {
                    Some(oldest) => self.finish_read(oldest).await?,
                    None => break self.connection.start(&call, None, room).await?,
                }
            };
            under_way.push_back((pending, chunk));
            offset = offset.checked_add(u64::from(size)).ok_or(Errno::EFBIG)?;
        }
        for read in under_way {
            self.finish_read(read).await?;
        }
        Ok(())
    }

    async fn write_pages(&self, index: u64, frames: &[FrameRef], length: usize) -> Result<()> {
        let handle = self.get(Purpose::Write).await?;
        let mut under_way: VecDeque<(Pending, usize)> = VecDeque::new();
        let mut offset = offset_of(index)?;
        let mut left = length.min(frames.len() * PAGE_SIZE);
        for chunk in frames.chunks(self.pages_at_once()) {
            let length = left.min(chunk.len() * PAGE_SIZE);
            if length == 0 {
                break;
            }
            let size = u32::try_from(length).map_err(|_| Errno::EIO)?;
            let body = WriteIn { handle, offset, size, ..WriteIn::default() };
            let call = Call::new(Opcode::Write, self.node).with(&body).data(length);
            let room = Room::Body(size_of::<WriteOut>());
            let mut data = Some(self.gather(chunk, length, &mut under_way).await?);
            let pending = loop {
                match self.connection.try_start(&call, data, room)? {
                    Started::Sent(pending) => break pending,
                    Started::Busy(returned) => data = returned,
                }
                match under_way.pop_front() {
                    Some(oldest) => self.finish_write(oldest).await?,
                    None => break self.connection.start(&call, data, room).await?,
                }
            };
            under_way.push_back((pending, length));
            offset = offset.checked_add(u64::from(size)).ok_or(Errno::EFBIG)?;
            left -= length;
        }
        for write in under_way {
            self.finish_write(write).await?;
        }
        Ok(())
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        self.close();
    }
}
