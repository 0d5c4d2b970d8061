//! Pipes and FIFOs (pipe(7), fifo(7)).
//!
//! A pipe lives as long as one of its ends. A FIFO is a pipe found by the inode that names it; it
//! exists while somebody has it open.

use alloc::{
    boxed::Box,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use spin::mutex::SpinMutex;

use super::{ByteRing, FIONREAD, next_inode, pipe_packets::Packets, write_count};
use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryError, TryResult},
    kernel::{Current, PollEvents, WaitQueue},
    vfs::{Anonymous, File, InodeKey, OpenFlags, WritePosition, Written},
};

/// Writes of up to this many bytes are not interleaved with others (PIPE_BUF).
pub const ATOMIC_WRITE: usize = 4096;

/// Capacity of a new pipe in bytes.
pub const DEFAULT_CAPACITY: usize = 64 << 10;

/// Largest capacity in bytes that fcntl(2) F_SETPIPE_SZ gives (/proc/sys/fs/pipe-max-size).
pub const MAX_CAPACITY: usize = 1 << 20;

/// What both ends share.
pub struct Pipe {
    /// Inode number of one without a name.
    inode: u64,
    /// User and group of the maker of one without a name.
    owner: (u32, u32),
    state: SpinMutex<State>,
    queue: WaitQueue,
}

/// Lock order: the pipe's state, then the locks of user memory.
struct State {
    ring: ByteRing,
    packets: Packets,
    readers: Ends,
    writers: Ends,
}

#[derive(Default)]
struct Ends {
    open: u32,
    /// How many have ever been opened: a FIFO's opener waits for the other side to come, even if
    /// it has gone again since.
    opened: u64,
}

impl Ends {
    fn add(&mut self) {
        self.open += 1;
        self.opened += 1;
    }

    /// How many were opened and closed again. Whoever finds fewer than were opened knows that one
    /// is there or has come since.
    fn gone(&self) -> u64 {
        self.opened - u64::from(self.open)
    }
}

/// One end of a pipe, or both (a FIFO opened O_RDWR).
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// Writers that were gone when this end was opened: without one since, an empty FIFO has not
    /// hung up.
    writers_before: u64,
    /// Each write is a packet of its own (O_DIRECT).
    makes_packets: AtomicBool,
}

/// A new pipe of the user and group `owner`: its reading and its writing end.
pub fn create(owner: (u32, u32)) -> (Arc<PipeEnd>, Arc<PipeEnd>) {
    let pipe = Arc::new(Pipe::new(owner));
    let reader = PipeEnd::new(&pipe, true, false);
    let writer = PipeEnd::new(&pipe, false, true);
    (reader, writer)
}

impl Pipe {
    fn new(owner: (u32, u32)) -> Self {
        Self {
            inode: next_inode(),
            owner,
            state: SpinMutex::new(State {
                ring: ByteRing::new(DEFAULT_CAPACITY),
                packets: Packets::default(),
                readers: Ends::default(),
                writers: Ends::default(),
            }),
            queue: WaitQueue::new(),
        }
    }
}

impl PipeEnd {
    fn new(pipe: &Arc<Pipe>, reads: bool, writes: bool) -> Arc<Self> {
        let mut state = pipe.state.lock();
        let writers_before = state.writers.gone();
        if reads {
            state.readers.add();
        }
        if writes {
            state.writers.add();
        }
        drop(state);
        pipe.queue.wake_all();
        Arc::new(Self {
            pipe: pipe.clone(),
            reads,
            writes,
            writers_before,
            makes_packets: AtomicBool::new(false),
        })
    }

    /// Capacity in bytes (fcntl(2) F_GETPIPE_SZ).
    pub fn capacity(&self) -> usize {
        self.pipe.state.lock().ring.capacity()
    }

    /// Changes the capacity to at least `bytes` (fcntl(2) F_SETPIPE_SZ); returns the new one, a
    /// power of two of whole pages.
    ///
    /// # Errors
    /// EPERM above [`MAX_CAPACITY`], EBUSY if the pipe holds more, ENOMEM.
    pub fn set_capacity(&self, bytes: usize) -> Result<usize> {
        if bytes > MAX_CAPACITY {
            return Err(Errno::EPERM);
        }
        let capacity = bytes.max(ATOMIC_WRITE).next_power_of_two();
        self.pipe.state.lock().ring.set_capacity(capacity)?;
        self.pipe.queue.wake(writable());
        Ok(capacity)
    }

    /// Copies up to `limit` of the bytes that would be read next and leaves them there; none at
    /// the end.
    ///
    /// # Errors
    /// WouldBlock if there are none yet.
    pub fn try_peek(&self, limit: usize) -> TryResult<Vec<u8>> {
        let state = self.pipe.state.lock();
        if state.ring.is_empty() && state.writers.open > 0 {
            return Err(TryError::WouldBlock);
        }
        let (front, back) = state.ring.slices();
        Ok(front.iter().chain(back).copied().take(limit).collect())
    }

    /// Whether both are ends of one pipe.
    pub fn shares_pipe_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pipe, &other.pipe)
    }

    /// Bytes waiting to be read (ioctl(2) FIONREAD).
    pub fn waiting_bytes(&self) -> usize {
        self.pipe.state.lock().ring.len()
    }

    fn read_events(&self, state: &State) -> PollEvents {
        let mut events = PollEvents::empty();
        if !state.ring.is_empty() {
            events |= readable();
        }
        if state.writers.open == 0 && state.writers.opened != self.writers_before {
            events |= PollEvents::HANG_UP;
        }
        events
    }
}

fn readable() -> PollEvents {
    PollEvents::IN | PollEvents::READ_NORMAL
}

fn writable() -> PollEvents {
    PollEvents::OUT | PollEvents::WRITE_NORMAL
}

fn write_events(state: &State) -> PollEvents {
    let mut events = PollEvents::empty();
    if state.ring.free() >= ATOMIC_WRITE {
        events |= writable();
    }
    if state.readers.open == 0 {
        events |= PollEvents::ERROR;
    }
    events
}

#[async_trait]
impl File for PipeEnd {
    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        if !self.reads {
            return Err(Errno::EBADF.into());
        }
        if destination.remaining() == 0 {
            return Ok(0);
        }
        let mut state = self.pipe.state.lock();
        if state.ring.is_empty() {
            return if state.writers.open == 0 { Ok(0) } else { Err(TryError::WouldBlock) };
        }
        let limit = state.packets.readable();
        let count = state.ring.drain_into(destination, limit)?;
        let rest = state.packets.read(count);
        state.ring.discard(rest);
        // Writers are told when a whole atomic write fits, not for each byte.
        let room = state.ring.free() >= ATOMIC_WRITE;
        drop(state);
        if room {
            self.pipe.queue.wake(writable());
        }
        Ok(count)
    }

    fn try_write(&self, _at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        if !self.writes {
            return Err(Errno::EBADF.into());
        }
        let wanted = source.remaining();
        let mut state = self.pipe.state.lock();
        if state.readers.open == 0 {
            return Err(Errno::EPIPE.into());
        }
        if wanted == 0 {
            return Ok(Written::default());
        }
        let makes_packets = self.makes_packets.load(Ordering::Relaxed);
        let limit = if makes_packets { ATOMIC_WRITE } else { usize::MAX };
        let whole = wanted.min(limit);
        let needed = if whole <= ATOMIC_WRITE { whole } else { 1 };
        if state.ring.free() < needed {
            return Err(TryError::WouldBlock);
        }
        let count = state.ring.fill_from(source, limit)?;
        state.packets.written(count, makes_packets);
        drop(state);
        self.pipe.queue.wake(readable());
        Ok(Written { count, end: 0 })
    }

    fn writes_whole(&self) -> bool {
        true
    }

    async fn ioctl(&self, current: &mut Current, command: u32, argument: u64) -> Result<u64> {
        match command {
            FIONREAD => write_count(current, argument, self.waiting_bytes()).await,
            _ => Err(Errno::ENOTTY),
        }
    }

    fn poll(&self) -> PollEvents {
        let state = self.pipe.state.lock();
        let mut events = PollEvents::empty();
        if self.reads {
            events |= self.read_events(&state);
        }
        if self.writes {
            events |= write_events(&state);
        }
        events
    }

    fn flags_changed(&self, flags: OpenFlags) {
        self.makes_packets.store(flags.contains(OpenFlags::DIRECT), Ordering::Relaxed);
    }

    fn reopen(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>> {
        Ok(Self::new(&self.pipe, flags.readable(), flags.writable()))
    }

    fn anonymous(&self) -> Anonymous {
        Anonymous::pipe(self.pipe.inode, 0o600, self.pipe.owner)
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pipe.queue)
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        if self.reads {
            state.readers.open -= 1;
        }
        if self.writes {
            state.writers.open -= 1;
        }
        drop(state);
        self.pipe.queue.wake_all();
    }
}

/// The FIFOs that are open, by the inode that names them. The lock is a leaf.
#[derive(Default)]
pub struct Fifos {
    open: SpinMutex<HashMap<InodeKey, Weak<Pipe>, FxBuildHasher>>,
}

impl Fifos {
    fn pipe(&self, key: InodeKey) -> Arc<Pipe> {
        let mut open = self.open.lock();
        if let Some(pipe) = open.get(&key).and_then(Weak::upgrade) {
            return pipe;
        }
        open.retain(|_, pipe| pipe.strong_count() > 0);
        let pipe = Arc::new(Pipe::new((0, 0)));
        open.insert(key, Arc::downgrade(&pipe));
        pipe
    }

    /// Opens the FIFO that the inode `key` names; waits for the other side, unless `flags` have
    /// O_NONBLOCK or both directions (fifo(7)). The caller makes the wait interruptible.
    ///
    /// # Errors
    /// ENXIO to write without waiting and without a reader.
    pub async fn open(&self, key: InodeKey, flags: OpenFlags) -> Result<Arc<dyn File>> {
        let pipe = self.pipe(key);
        let wait = !flags.contains(OpenFlags::NON_BLOCKING);
        match (flags.readable(), flags.writable()) {
            (true, false) => Ok(open_reader(&pipe, wait).await),
            (false, true) => Ok(open_writer(&pipe, wait).await?),
            (true, true) => Ok(PipeEnd::new(&pipe, true, true)),
            (false, false) => Err(Errno::EINVAL),
        }
    }
}

async fn open_reader(pipe: &Arc<Pipe>, wait: bool) -> Arc<PipeEnd> {
    let end = PipeEnd::new(pipe, true, false);
    let came = || {
        let state = pipe.state.lock();
        (state.writers.open > 0 || state.writers.opened != end.writers_before).then_some(())
    };
    if wait {
        pipe.queue.wait_until(PollEvents::all(), came).await;
    }
    end
}

async fn open_writer(pipe: &Arc<Pipe>, wait: bool) -> Result<Arc<PipeEnd>> {
    let readers_before = {
        let state = pipe.state.lock();
        if !wait && state.readers.open == 0 {
            return Err(Errno::ENXIO);
        }
        state.readers.gone()
    };
    let end = PipeEnd::new(pipe, false, true);
    let came = || {
        let state = pipe.state.lock();
        (state.readers.open > 0 || state.readers.opened != readers_before).then_some(())
    };
    if wait {
        pipe.queue.wait_until(PollEvents::all(), came).await;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use alloc::{boxed::Box, vec};
    use core::{
        future::Future,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::{
        fs::testing::{Bytes, Sink, poll_once},
        vfs::DeviceNumber,
    };

    const START: WritePosition = WritePosition::At(0);

    fn write(end: &PipeEnd, bytes: &[u8]) -> TryResult<usize> {
        end.try_write(START, &mut Bytes::new(bytes)).map(|written| written.count)
    }

    fn key() -> InodeKey {
        InodeKey { device: DeviceNumber::default(), inode: 7 }
    }

    #[test]
    fn carries_bytes_and_ends_with_its_writer() {
        let (reader, writer) = create((0, 0));
        assert_eq!(reader.try_read(0, &mut Sink::new(9)), Err(TryError::WouldBlock));
        assert_eq!(write(&writer, b"hello"), Ok(5));
        let mut sink = Sink::new(9);
        assert_eq!(reader.try_read(0, &mut sink), Ok(5));
        assert_eq!(sink.bytes, b"hello");
        drop(writer);
        assert_eq!(reader.try_read(0, &mut Sink::new(9)), Ok(0));
        assert_eq!(reader.poll(), PollEvents::HANG_UP);
    }

    #[test]
    fn without_readers_a_write_fails() {
        let (reader, writer) = create((0, 0));
        drop(reader);
        assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE.into()));
        assert!(writer.poll().contains(PollEvents::ERROR));
    }

    #[test]
    fn is_opened_again_through_either_end() {
        let (reader, writer) = create((0, 0));
        let again: Arc<dyn File> = reader.clone().reopen(OpenFlags::WRITE_ONLY).unwrap();
        drop(writer);
        assert_eq!(again.anonymous(), reader.anonymous());
        assert!(again.try_write(START, &mut Bytes::new(b"x")).is_ok());
        assert_eq!(reader.try_read(0, &mut Sink::new(2)), Ok(1));
        assert_eq!(reader.try_read(0, &mut Sink::new(2)), Err(TryError::WouldBlock));
    }

    #[test]
    fn packets_are_read_one_at_a_time_and_cut_off() {
        let (reader, writer) = create((0, 0));
        assert_eq!(write(&writer, b"plain"), Ok(5));
        writer.flags_changed(OpenFlags::DIRECT);
        assert_eq!((write(&writer, b"one"), write(&writer, b"second")), (Ok(3), Ok(6)));
        writer.flags_changed(OpenFlags::empty());
        assert_eq!(write(&writer, b"rest"), Ok(4));
        assert_eq!(reader.try_peek(7).unwrap(), b"plainon");
        let read = |size| {
            let mut sink = Sink::new(size);
            reader.try_read(0, &mut sink).map(|_| sink.bytes)
        };
        assert_eq!(read(2).unwrap(), b"pl");
        assert_eq!(read(99).unwrap(), b"ain");
        assert_eq!(read(99).unwrap(), b"one");
        assert_eq!(read(2).unwrap(), b"se");
        assert_eq!(read(99).unwrap(), b"rest");
        assert_eq!(read(99), Err(TryError::WouldBlock));
    }

    #[test]
    fn small_writes_are_whole_or_not_at_all() {
        let (reader, writer) = create((0, 0));
        assert_eq!(write(&writer, &vec![1; DEFAULT_CAPACITY - 100]), Ok(DEFAULT_CAPACITY - 100));
        assert_eq!(write(&writer, &[2; 101]), Err(TryError::WouldBlock));
        assert_eq!(write(&writer, &[2; ATOMIC_WRITE + 1]), Ok(100));
        assert_eq!(reader.try_read(0, &mut Sink::new(ATOMIC_WRITE)), Ok(ATOMIC_WRITE));
        assert_eq!(writer.poll(), writable());
    }

    #[test]
    fn capacity_is_a_power_of_two_of_pages() {
        let (reader, _writer) = create((0, 0));
        assert_eq!(reader.set_capacity(1), Ok(4096));
        assert_eq!(reader.set_capacity(100_000), Ok(131_072));
        assert_eq!(reader.set_capacity(MAX_CAPACITY + 1), Err(Errno::EPERM));
    }

    #[test]
    fn opening_a_fifo_waits_for_the_other_side() {
        let fifos = Fifos::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut reader = Box::pin(fifos.open(key(), OpenFlags::empty()));
        assert!(reader.as_mut().poll(&mut context).is_pending());
        let writer = poll_once(fifos.open(key(), OpenFlags::WRITE_ONLY)).unwrap().unwrap();
        let Poll::Ready(Ok(reader)) = reader.as_mut().poll(&mut context) else {
            panic!("the reader still waits");
        };
        assert!(writer.try_write(START, &mut Bytes::new(b"x")).is_ok());
        assert_eq!(reader.try_read(0, &mut Sink::new(2)), Ok(1));
    }

    #[test]
    fn opening_a_fifo_without_waiting() {
        let fifos = Fifos::default();
        let flags = OpenFlags::WRITE_ONLY | OpenFlags::NON_BLOCKING;
        assert_eq!(poll_once(fifos.open(key(), flags)).unwrap().err(), Some(Errno::ENXIO));
        let reader = poll_once(fifos.open(key(), OpenFlags::NON_BLOCKING)).unwrap().unwrap();
        assert_eq!(reader.poll(), PollEvents::empty());
        assert!(poll_once(fifos.open(key(), flags)).unwrap().is_ok());
        assert_eq!(reader.poll(), PollEvents::HANG_UP);
    }
}
