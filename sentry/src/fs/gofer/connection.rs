//! The conversation with one server: requests out, replies in.
//!
//! Buffers are waited for in one order, large before small, and never while answers of the same
//! caller are outstanding; so callers cannot wait for each other in a circle.

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

use guest_abi::{
    device::DeviceDescriptor,
    fuse::{
        BatchForgetIn, ForgetOne, InitFlags, InitIn, InitOut, Opcode, ReleaseIn, VERSION_MAJOR,
        VERSION_MINOR,
    },
};
use spin::mutex::SpinMutex;
use zerocopy::{FromBytes, IntoBytes};

use super::{
    call::{Call, concatenate},
    reply::{HEADER, Reply},
};
use crate::{
    drivers::{Buffer, BufferArea, BufferPool, Chain, Part, Request, SubmitError, Virtqueue},
    errno::{Errno, Result},
    platform::PlatformRef,
};

/// Size of the slots for requests and short replies.
const SMALL_SLOT: usize = 1024;

/// Size of the slots for data: most bytes of one READ or WRITE.
const LARGE_SLOT: usize = 128 << 10;

/// Large slots that are used at most; a bound on how much of the window is ever touched.
const LARGE_SLOTS: usize = 64;

/// Forgets that are sent together; so many fit into a small slot.
const FORGET_BATCH: usize = 32;

/// A server as the client sees it. The lock of `backlog` is a leaf.
pub(super) struct Connection {
    queue: Arc<Virtqueue>,
    small: Arc<BufferPool>,
    large: Arc<BufferPool>,
    next_unique: AtomicU64,
    backlog: SpinMutex<Backlog>,
}

/// What must be said to the server, but by nobody who could wait for a buffer.
#[derive(Default)]
struct Backlog {
    forgets: Vec<ForgetOne>,
    releases: Vec<Release>,
}

/// A handle to be closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Release {
    /// RELEASE or RELEASEDIR.
    pub(super) opcode: Opcode,
    /// The node it is a handle of.
    pub(super) node: u64,
    /// The handle.
    pub(super) handle: u64,
}

/// Where the reply of a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is none (FORGET).
    None,
    /// A body of at most this many bytes.
    Body(usize),
}

impl Connection {
    /// Drives `device`, which has index `index` in the device table.
    ///
    /// # Errors
    /// EINVAL or ENXIO if the descriptor is not valid, ENOMEM if its window is too small.
    pub(super) fn new(
        platform: &PlatformRef,
        index: u16,
        device: &DeviceDescriptor,
    ) -> Result<Arc<Self>> {
        let queue = Virtqueue::new(platform, index, device, 0)?;
        let requests = device.queues.first().map_or(0, |queue| usize::from(queue.size));
        let mut area = BufferArea::of(device)?;
        Ok(Arc::new(Self {
            queue,
            small: area.cut(platform, SMALL_SLOT, requests)?,
            large: area.cut(platform, LARGE_SLOT, LARGE_SLOTS)?,
            next_unique: AtomicU64::new(1),
            backlog: SpinMutex::default(),
        }))
    }

    /// The queue, as a driver.
    pub(super) const fn queue(&self) -> &Arc<Virtqueue> {
        &self.queue
    }

    /// Most bytes of data that one request moves.
    pub(super) fn max_data(&self) -> usize {
        self.large.slot_size()
    }

    /// Starts the session.
    ///
    /// # Errors
    /// EPROTO if the server speaks another version; EIO.
    pub(super) async fn initialize(&self) -> Result<()> {
        let request = InitIn {
            major: VERSION_MAJOR,
            minor: VERSION_MINOR,
            max_readahead: u32::try_from(LARGE_SLOT).unwrap_or(u32::MAX),
            flags: InitFlags::all().bits(),
            ..InitIn::default()
        };
        let reply: InitOut = self.ask(&Call::new(Opcode::Init, 0).with(&request)).await?;
        if reply.major == VERSION_MAJOR { Ok(()) } else { Err(Errno::EPROTO) }
    }

    /// Sends a request and returns the struct it is answered with.
    ///
    /// # Errors
    /// The server's errno; EIO for a malformed reply or a broken queue; EMSGSIZE.
    pub(super) async fn ask<T: FromBytes + IntoBytes>(&self, call: &Call<'_>) -> Result<T> {
        self.exchange(call, size_of::<T>()).await?.read(0)
    }

    /// Sends a request whose answer has no body.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) async fn tell(&self, call: &Call<'_>) -> Result<()> {
        self.exchange(call, 0).await.map(|_| ())
    }

    /// Sends a request and returns its reply, whose body has at most `room` bytes.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) async fn exchange(&self, call: &Call<'_>, room: usize) -> Result<Reply> {
        self.start(call, None, Room::Body(room)).await?.reply().await
    }

    /// A buffer for the data of a request.
    pub(super) async fn data_buffer(&self) -> Buffer {
        self.large.allocate().await
    }

    /// The same without waiting.
    pub(super) fn try_data_buffer(&self) -> Option<Buffer> {
        self.large.try_allocate()
    }

    /// Sends a request, `data` being the buffer of its data.
    ///
    /// # Errors
    /// EIO if the queue is broken, EMSGSIZE if the request is too long.
    pub(super) async fn start(
        &self,
        call: &Call<'_>,
        data: Option<Part>,
        room: Room,
    ) -> Result<Pending> {
        self.send_backlog();
        let second = match data {
            Some(data) => Some(data),
            None if self.is_apart(call, room) => {
                Some(body_part(self.large.allocate().await, room)?)
            }
            None => None,
        };
        let first = self.pool_for(call, room).allocate().await;
        let (chain, unique) = self.assemble(call, first, second, room)?;
        let request = self.queue.submit(chain).await?;
        Ok(Pending { request, unique })
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(super) fn try_start(
        &self,
        call: &Call<'_>,
        data: Option<Part>,
        room: Room,
    ) -> Result<Started> {
        let second = match data {
            Some(data) => Some(data),
            None if self.is_apart(call, room) => match self.large.try_allocate() {
                Some(buffer) => Some(body_part(buffer, room)?),
                None => return Ok(Started::Busy(None)),
            },
            None => None,
        };
        let Some(first) = self.pool_for(call, room).try_allocate() else {
            return Ok(Started::Busy(second));
        };
        let (chain, unique) = self.assemble(call, first, second, room)?;
        match self.queue.try_submit(chain) {
            Ok(request) => Ok(Started::Sent(Pending { request, unique })),
            Err(SubmitError::Full(chain)) => Ok(Started::Busy(chain.parts.into_iter().nth(1))),
            Err(SubmitError::Failed(errno)) => Err(errno),
        }
    }

    /// Notes that `lookups` lookups of `node` are dropped.
    pub(super) fn forget(&self, node: u64, lookups: u64) {
        let count = {
            let mut backlog = self.backlog.lock();
            backlog.forgets.push(ForgetOne { node, lookups });
            backlog.forgets.len()
        };
        if count >= FORGET_BATCH {
            self.send_forgets();
        }
    }

    /// Closes a handle, now or as soon as there is a buffer.
    pub(super) fn release(&self, release: Release) {
        if !self.try_release(release) {
            self.backlog.lock().releases.push(release);
        }
    }

    /// Sends what is held back, as far as there are buffers.
    fn send_backlog(&self) {
        while let Some(release) = self.next_release() {
            if !self.try_release(release) {
                self.backlog.lock().releases.push(release);
                return;
            }
        }
        self.send_forgets();
    }

    fn next_release(&self) -> Option<Release> {
        self.backlog.lock().releases.pop()
    }

    /// Whether the handle needs no more attention: the request is on its way, or the queue broke.
    fn try_release(&self, release: Release) -> bool {
        let body = ReleaseIn { handle: release.handle, ..ReleaseIn::default() };
        let call = Call::new(release.opcode, release.node).with(&body);
        !matches!(self.try_start(&call, None, Room::Body(0)), Ok(Started::Busy(_)))
    }

    /// Sends all forgets that are held back.
    pub(super) async fn flush_forgets(&self) {
        while let Some(batch) = self.next_forgets(1) {
            // On a broken queue there is nobody to tell.
            let _ = self.start(&batch.call(), None, Room::None).await;
        }
    }

    /// Sends forgets if there are enough of them, and a buffer.
    fn send_forgets(&self) {
        while let Some(batch) = self.next_forgets(FORGET_BATCH) {
            if matches!(self.try_start(&batch.call(), None, Room::None), Ok(Started::Busy(_))) {
                self.backlog.lock().forgets.extend(batch.forgets);
                return;
            }
        }
    }

    /// Forgets for one request, if there are at least `least`.
    fn next_forgets(&self, least: usize) -> Option<ForgetBatch> {
        let mut backlog = self.backlog.lock();
        if backlog.forgets.len() < least {
            return None;
        }
        let start = backlog.forgets.len().saturating_sub(FORGET_BATCH);
        Some(ForgetBatch::new(backlog.forgets.split_off(start)))
    }

    /// Whether the body of the reply needs a buffer of its own.
    fn is_apart(&self, call: &Call<'_>, room: Room) -> bool {
        matches!(room, Room::Body(length) if !self.fits_small(call, length) && length > 0)
            && call.head_length() + HEADER + 8 <= self.small.slot_size()
    }

    fn fits_small(&self, call: &Call<'_>, body: usize) -> bool {
        call.head_length().next_multiple_of(8).saturating_add(HEADER).saturating_add(body)
            <= self.small.slot_size()
    }

    /// The pool for the buffer that holds the request and the reply header.
    fn pool_for(&self, call: &Call<'_>, room: Room) -> &Arc<BufferPool> {
        let header = if room == Room::None { 0 } else { HEADER + 8 };
        if call.head_length() + header <= self.small.slot_size() {
            &self.small
        } else {
            &self.large
        }
    }

    fn assemble(
        &self,
        call: &Call<'_>,
        first: Buffer,
        second: Option<Part>,
        room: Room,
    ) -> Result<(Chain, u64)> {
        let unique = self.next_unique.fetch_add(1, Ordering::Relaxed);
        call.write_to(&first, unique)?;
        let writable = match (room, &second) {
            (Room::None, _) => 0,
            (Room::Body(_), Some(second)) if second.writable() > 0 => HEADER,
            (Room::Body(length), _) => HEADER.saturating_add(length),
        };
        let mut chain = Chain::of(Part::new(first, call.head_length(), writable)?);
        chain.parts.extend(second);
        Ok((chain, unique))
    }
}

/// A BATCH_FORGET.
struct ForgetBatch {
    forgets: Vec<ForgetOne>,
    head: BatchForgetIn,
    list: Vec<u8>,
}

impl ForgetBatch {
    fn new(forgets: Vec<ForgetOne>) -> Self {
        let count = u32::try_from(forgets.len()).unwrap_or(0);
        Self { list: concatenate(&forgets), head: BatchForgetIn { count, padding: 0 }, forgets }
    }

    fn call(&self) -> Call<'_> {
        Call::new(Opcode::BatchForget, 0).with(&self.head).bytes(&self.list)
    }
}

/// The part for the body of a reply.
fn body_part(buffer: Buffer, room: Room) -> Result<Part> {
    match room {
        Room::None => Part::new(buffer, 0, 0),
        Room::Body(length) => Part::new(buffer, 0, length),
    }
}

/// What came of [`Connection::try_start`].
pub(super) enum Started {
    /// The request is on its way.
    Sent(Pending),
    /// A buffer or descriptors are missing; the buffer of the data is given back.
    Busy(Option<Part>),
}

/// A request under way. Dropping it gives up the answer.
pub(super) struct Pending {
    request: Request,
    unique: u64,
}

impl Pending {
    /// Waits for the reply.
    ///
    /// # Errors
    /// The server's errno; EIO if the reply is malformed or the queue broke.
    pub(super) async fn reply(self) -> Result<Reply> {
        let completion = self.request.await?;
        Reply::parse(completion, self.unique)
    }
}
