//! Bookkeeping of a virtqueue's descriptors and of the requests that use them.
//!
//! A request is named by its head descriptor. The head stays taken until its answer has been
//! fetched or given up, so a name never means two requests.

use alloc::vec::Vec;
use core::task::Waker;

use smallvec::SmallVec;

use super::Chain;
use crate::{
    errno::{Errno, Result},
    memory::OutOfRange,
};

/// The device broke the rules of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protocol;

impl From<OutOfRange> for Protocol {
    fn from(_: OutOfRange) -> Self {
        Self
    }
}

/// Indices of a chain's descriptors, head first.
pub(super) type Indices = SmallVec<[u16; 4]>;

/// What a completion leaves to be done without the lock.
#[derive(Debug)]
pub(super) enum Finished {
    /// Somebody waits.
    Wake(Option<Waker>),
    /// Nobody does: the buffers go back to their pool.
    Release(#[allow(dead_code, reason = "held to be dropped")] Chain),
}

impl Finished {
    /// The waker; releases the buffers otherwise.
    pub(super) fn waker(self) -> Option<Waker> {
        match self {
            Self::Wake(waker) => waker,
            Self::Release(_) => None,
        }
    }
}

#[derive(Debug)]
enum Slot {
    Free,
    Pending { chain: Chain, indices: Indices, waker: Option<Waker>, abandoned: bool },
    Done(Answer),
}

/// Buffers that came back, and the used length, or EIO if the queue broke.
pub(super) type Answer = (Chain, Result<u32>);

/// All descriptors of a queue.
#[derive(Debug)]
pub(super) struct Slots {
    free: Vec<u16>,
    /// By head descriptor.
    requests: Vec<Slot>,
    available: u16,
    in_flight: u16,
}

impl Slots {
    pub(super) fn new(size: u16) -> Self {
        Self {
            free: (0..size).rev().collect(),
            requests: (0..size).map(|_| Slot::Free).collect(),
            available: 0,
            in_flight: 0,
        }
    }

    /// Number of requests the device has.
    pub(super) const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Position in the available ring (modulo 2^16) of the next request.
    pub(super) const fn next_available(&self) -> u16 {
        self.available
    }

    /// Takes `count` free descriptors.
    pub(super) fn reserve(&mut self, count: usize) -> Option<Indices> {
        let rest = self.free.len().checked_sub(count)?;
        Some(self.free.drain(rest..).rev().collect())
    }

    /// Gives reserved descriptors back.
    pub(super) fn cancel(&mut self, indices: Indices) {
        self.free.extend(indices.into_iter().rev());
    }

    /// Notes that `chain` is available at the head of `indices`.
    pub(super) fn start(&mut self, indices: Indices, chain: Chain) -> u16 {
        let head = indices[0];
        self.available = self.available.wrapping_add(1);
        self.in_flight += 1;
        self.requests[usize::from(head)] =
            Slot::Pending { chain, indices, waker: None, abandoned: false };
        head
    }

    /// Notes that the device returned `id` with `length`.
    pub(super) fn complete(&mut self, id: u32, length: u32) -> Result<Option<Finished>, Protocol> {
        let head = u16::try_from(id).map_err(|_| Protocol)?;
        let slot = self.requests.get_mut(usize::from(head)).ok_or(Protocol)?;
        if !matches!(slot, Slot::Pending { .. }) {
            return Err(Protocol);
        }
        self.in_flight -= 1;
        Ok(self.finish(head, Ok(length)))
    }

    /// Fails everything under way.
    pub(super) fn fail_all(&mut self, finished: &mut SmallVec<[Finished; 8]>) {
        for head in 0..u16::try_from(self.requests.len()).unwrap_or(u16::MAX) {
            finished.extend(self.finish(head, Err(Errno::EIO)));
        }
        self.in_flight = 0;
    }

    /// Turns a pending request into a done one, or frees it if it was abandoned.
    fn finish(&mut self, head: u16, length: Result<u32>) -> Option<Finished> {
        let slot = self.requests.get_mut(usize::from(head))?;
        if !matches!(slot, Slot::Pending { .. }) {
            return None;
        }
        let Slot::Pending { chain, indices, waker, abandoned } =
            core::mem::replace(slot, Slot::Free)
        else {
            return None;
        };
        self.free.extend(indices.iter().skip(1).rev());
        if abandoned {
            self.free.push(head);
            return Some(Finished::Release(chain));
        }
        *slot = Slot::Done((chain, length));
        Some(Finished::Wake(waker))
    }

    /// Registers a waker; false if the request is not pending.
    pub(super) fn set_waker(&mut self, head: u16, new: &Waker) -> bool {
        match self.requests.get_mut(usize::from(head)) {
            Some(Slot::Pending { waker, .. }) => {
                match waker {
                    Some(old) => old.clone_from(new),
                    None => *waker = Some(new.clone()),
                }
                true
            }
            _ => false,
        }
    }

    /// The outcome of a done request, which is freed; otherwise registers `waker`.
    pub(super) fn take(&mut self, head: u16, waker: Option<&Waker>) -> Option<Answer> {
        let slot = self.requests.get_mut(usize::from(head))?;
        if !matches!(slot, Slot::Done(_)) {
            if let Some(waker) = waker {
                self.set_waker(head, waker);
            }
            return None;
        }
        let Slot::Done(answer) = core::mem::replace(slot, Slot::Free) else {
            return None;
        };
        self.free.push(head);
        Some(answer)
    }

    /// Nobody wants the answer any more. Returns what is to be dropped without the lock.
    pub(super) fn abandon(&mut self, head: u16) -> Option<Finished> {
        if let Some(Slot::Pending { abandoned, waker, .. }) =
            self.requests.get_mut(usize::from(head))
        {
            *abandoned = true;
            return Some(Finished::Wake(waker.take()));
        }
        self.take(head, None).map(|(chain, _)| Finished::Release(chain))
    }
}
