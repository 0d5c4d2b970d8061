//! Driver side of a split virtqueue (Virtual I/O Device 1.3, section 2.7).
//!
//! The device is not trusted: the descriptor links are kept in private memory, every used id and
//! the used index are checked, and a device that breaks the rules loses its queue: all requests,
//! present and future, fail with EIO.
//!
//! Locks: a queue's state is a leaf; wakers run and buffers are released after it is unlocked.

use alloc::sync::Arc;
use core::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicU16, Ordering, fence},
    task::{Context, Poll, Waker},
};

use guest_abi::{
    device::{DeviceDescriptor, QueueId},
    virtqueue::{
        DESCRIPTOR_BYTES, Descriptor, DescriptorFlags, MAX_QUEUE_SIZE, QueueLayout, USED_NO_NOTIFY,
    },
};
use smallvec::SmallVec;
use spin::mutex::SpinMutex;
use zerocopy::IntoBytes;

use super::{
    Chain,
    chain::Segment,
    slots::{Finished, Protocol, Slots},
};
use crate::{
    errno::{Errno, Result},
    kernel::{Driver, PollEvents, WaitQueue},
    memory::{OutOfRange, PhysicalMemory, SharedU16},
    platform::PlatformRef,
};

/// A virtqueue that this side fills with requests.
pub struct Virtqueue {
    platform: PlatformRef,
    doorbell: QueueId,
    layout: QueueLayout,
    slots: SpinMutex<Slots>,
    /// The used index, written by the device.
    used_index: SharedU16,
    /// The used index up to which completions were taken; written under the lock of `slots`.
    used_seen: AtomicU16,
    broken: AtomicBool,
    /// Where submitters wait for free descriptors.
    space: WaitQueue,
}

/// A request that the device has returned.
#[derive(Debug)]
pub struct Completion {
    /// Its buffers.
    pub chain: Chain,
    /// What the device says it wrote, in bytes. Not checked: some devices give it other meanings.
    pub length: u32,
}

impl Completion {
    /// Bytes written into the chain.
    ///
    /// # Errors
    /// EIO if the device claims more than there was room for.
    pub fn written(&self) -> Result<usize> {
        let length = usize::try_from(self.length).map_err(|_| Errno::EIO)?;
        if length > self.chain.writable() {
            return Err(Errno::EIO);
        }
        Ok(length)
    }
}

/// Why [`Virtqueue::try_submit`] did not take a chain.
#[derive(Debug)]
pub enum SubmitError {
    /// No descriptors are free; here is the chain back.
    Full(Chain),
    /// EIO if the queue is broken, EINVAL for a chain that fits no queue.
    Failed(Errno),
}

impl Virtqueue {
    /// Drives queue `queue` of `device`, which has index `device_index` in the device table.
    ///
    /// # Errors
    /// EINVAL if the device has no such queue, or its layout is not valid; ENXIO if its rings lie
    /// outside physical memory.
    pub fn new(
        platform: &PlatformRef,
        device_index: u16,
        device: &DeviceDescriptor,
        queue: u16,
    ) -> Result<Arc<Self>> {
        let layout = *device.queues.get(usize::from(queue)).ok_or(Errno::EINVAL)?;
        if !layout.size.is_power_of_two() || layout.size > MAX_QUEUE_SIZE {
            return Err(Errno::EINVAL);
        }
        check_layout(platform.memory(), &layout).map_err(|_| Errno::ENXIO)?;
        let used_index = platform.memory().shared_u16(layout.used_ring + 2);
        let doorbell = QueueId { device: device_index, queue: device.kind.doorbell_of(queue) };
        Ok(Arc::new(Self {
            platform: platform.clone(),
            doorbell,
            layout,
            slots: SpinMutex::new(Slots::new(layout.size)),
            used_index: used_index.map_err(|_| Errno::ENXIO)?,
            used_seen: AtomicU16::new(0),
            broken: AtomicBool::new(false),
            space: WaitQueue::new(),
        }))
    }

    /// Hands `chain` to the device and returns the request, which may be awaited, asked, or
    /// dropped: the buffers stay with the device until it returns them.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub fn try_submit(self: &Arc<Self>, chain: Chain) -> Result<Request, SubmitError> {
        let segments = chain.segments().map_err(SubmitError::Failed)?;
        if segments.is_empty() || segments.len() > usize::from(self.layout.size) {
            return Err(SubmitError::Failed(Errno::EINVAL));
        }
        let head = self.publish(&segments, chain)?;
        self.kick();
        Ok(Request { queue: self.clone(), head: Some(head) })
    }

    /// The same, waiting for free descriptors.
    ///
    /// # Errors
    /// EIO if the queue is broken, EINVAL for a chain that fits no queue.
    pub async fn submit(self: &Arc<Self>, chain: Chain) -> Result<Request> {
        let mut chain = Some(chain);
        let attempt = || match self.try_submit(chain.take()?) {
            Ok(request) => Some(Ok(request)),
            Err(SubmitError::Failed(errno)) => Some(Err(errno)),
            Err(SubmitError::Full(returned)) => {
                chain = Some(returned);
                None
            }
        };
        self.space.wait_until(PollEvents::OUT, attempt).await
    }

    /// Whether the device broke the protocol, so that nothing works any more.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Ends its use: requests under way fail, and the rings are touched no more. The device must not
    /// serve them any more.
    pub fn close(&self) {
        let mut finished = SmallVec::<[Finished; 8]>::new();
        {
            let mut slots = self.slots.lock();
            self.broken.store(true, Ordering::Relaxed);
            slots.fail_all(&mut finished);
        }
        finished.into_iter().filter_map(Finished::waker).for_each(Waker::wake);
        self.space.wake(PollEvents::OUT);
    }

    /// Writes the descriptors of a chain and makes it available; returns its head.
    fn publish(&self, segments: &[Segment], chain: Chain) -> Result<u16, SubmitError> {
        let mut slots = self.slots.lock();
        if self.is_broken() {
            return Err(SubmitError::Failed(Errno::EIO));
        }
        let Some(indices) = slots.reserve(segments.len()) else {
            return Err(SubmitError::Full(chain));
        };
        let written = self
            .write_descriptors(segments, &indices)
            .and_then(|()| self.make_available(slots.next_available(), indices[0]));
        match written {
            Ok(()) => Ok(slots.start(indices, chain)),
            Err(OutOfRange) => {
                slots.cancel(indices);
                Err(SubmitError::Failed(Errno::EIO))
            }
        }
    }

    fn write_descriptors(&self, segments: &[Segment], indices: &[u16]) -> Result<(), OutOfRange> {
        for (position, (segment, &index)) in segments.iter().zip(indices).enumerate() {
            let next = indices.get(position + 1).copied();
            let link = next.map_or(DescriptorFlags::empty(), |_| DescriptorFlags::NEXT);
            let descriptor = Descriptor {
                address: segment.address,
                length: segment.length,
                flags: (segment.flags | link).bits(),
                next: next.unwrap_or(0),
            };
            let address = self.layout.descriptor_table + DESCRIPTOR_BYTES * u64::from(index);
            self.memory().write(address, descriptor.as_bytes())?;
        }
        Ok(())
    }

    /// Puts `head` at position `available` of the available ring and publishes it.
    fn make_available(&self, available: u16, head: u16) -> Result<(), OutOfRange> {
        let entry = u64::from(available & (self.layout.size - 1));
        let ring = self.layout.available_ring;
        let memory = self.memory();
        memory.atomic_u16(ring + 4 + 2 * entry)?.store(head, Ordering::Relaxed);
        memory.atomic_u16(ring + 2)?.store(available.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    /// Rings the doorbell unless the device says it is awake.
    fn kick(&self) {
        // The index must be visible before the flag is read, or both sides could sleep (2.7.21).
        fence(Ordering::SeqCst);
        let flags = self
            .memory()
            .atomic_u16(self.layout.used_ring)
            .map_or(0, |flags| flags.load(Ordering::Relaxed));
        if flags & USED_NO_NOTIFY == 0 {
            self.platform.kick(self.doorbell);
        }
    }

    /// Takes all completions; wakers and buffers are dealt with by the caller, unlocked.
    fn take_completions(&self) -> SmallVec<[Finished; 8]> {
        let mut slots = self.slots.lock();
        let mut finished = SmallVec::new();
        let outcome = self.take_used(&mut slots, &mut finished);
        if outcome.is_err() {
            self.broken.store(true, Ordering::Relaxed);
            slots.fail_all(&mut finished);
        }
        finished
    }

    fn take_used(
        &self,
        slots: &mut Slots,
        finished: &mut SmallVec<[Finished; 8]>,
    ) -> Result<(), Protocol> {
        let used = self.used_index.load(Ordering::Acquire);
        let mut seen = self.used_seen.load(Ordering::Relaxed);
        if used.wrapping_sub(seen) > slots.in_flight() {
            return Err(Protocol);
        }
        while seen != used {
            let (id, length) = self.read_used_element(seen)?;
            finished.extend(slots.complete(id, length)?);
            seen = seen.wrapping_add(1);
            self.used_seen.store(seen, Ordering::Relaxed);
        }
        Ok(())
    }

    fn read_used_element(&self, position: u16) -> Result<(u32, u32), OutOfRange> {
        let entry = u64::from(position & (self.layout.size - 1));
        let address = self.layout.used_ring + 4 + 8 * entry;
        let id = self.memory().atomic_u32(address)?;
        let length = self.memory().atomic_u32(address + 4)?;
        Ok((id.load(Ordering::Relaxed), length.load(Ordering::Relaxed)))
    }

    fn memory(&self) -> &PhysicalMemory {
        self.platform.memory()
    }
}

impl Driver for Virtqueue {
    fn poll(&self) {
        let used = self.used_index.load(Ordering::Acquire);
        if used == self.used_seen.load(Ordering::Relaxed) || self.is_broken() {
            return;
        }
        let finished = self.take_completions();
        if finished.is_empty() {
            return;
        }
        finished.into_iter().filter_map(Finished::waker).for_each(Waker::wake);
        self.space.wake(PollEvents::OUT);
    }
}

/// Fails unless both ends of every ring are in memory and aligned.
fn check_layout(memory: &PhysicalMemory, layout: &QueueLayout) -> Result<(), OutOfRange> {
    let last = u64::from(layout.size) - 1;
    let table = layout.descriptor_table;
    memory.atomic_u64(table)?;
    memory.atomic_u64(table.checked_add(DESCRIPTOR_BYTES * last + 8).ok_or(OutOfRange)?)?;
    memory.atomic_u16(layout.available_ring)?;
    memory.atomic_u16(layout.available_ring.checked_add(4 + 2 * last).ok_or(OutOfRange)?)?;
    memory.atomic_u32(layout.used_ring)?;
    memory.atomic_u32(layout.used_ring.checked_add(8 + 8 * last).ok_or(OutOfRange)?)?;
    Ok(())
}

/// A request under way; the future of its [`Completion`].
///
/// Dropping it abandons the answer, not the buffers.
pub struct Request {
    queue: Arc<Virtqueue>,
    /// `None` once the answer was taken.
    head: Option<u16>,
}

impl Request {
    /// The answer, if it is there.
    pub fn try_take(&mut self) -> Option<Result<Completion>> {
        self.poll_with(None)
    }

    /// Has `waker` woken when the answer comes; says false if it is there already.
    pub fn notify(&mut self, waker: &Waker) -> bool {
        let Some(head) = self.head else { return false };
        self.queue.slots.lock().set_waker(head, waker)
    }

    fn poll_with(&mut self, waker: Option<&Waker>) -> Option<Result<Completion>> {
        let head = self.head?;
        let (chain, length) = self.queue.slots.lock().take(head, waker)?;
        self.head = None;
        self.queue.space.wake(PollEvents::OUT);
        Some(length.map(|length| Completion { chain, length }))
    }
}

impl Future for Request {
    type Output = Result<Completion>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let request = self.get_mut();
        if request.head.is_none() {
            return Poll::Ready(Err(Errno::EIO));
        }
        request.poll_with(Some(context.waker())).map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(head) = self.head {
            let dropped = self.queue.slots.lock().abandon(head);
            drop(dropped);
            self.queue.space.wake(PollEvents::OUT);
        }
    }
}
