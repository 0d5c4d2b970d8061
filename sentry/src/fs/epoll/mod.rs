//! epoll(7): waiting for many files at a cost that does not grow with their number.
//!
//! Each watched file has an [`Item`] that observes the file's wait queue. An event puts the item on
//! the ready list; a wait takes items from there, asks their files what they are ready for, and
//! puts level-triggered ones back.
//!
//! Lock order: `scan`, then `items` or `ready` (never both); files and wait queues are asked with
//! neither of the last two held.

mod item;
mod nesting;

use alloc::{
    collections::VecDeque,
    sync::{Arc, Weak},
    vec::Vec,
};

use async_trait::async_trait;
use bitflags::bitflags;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use spin::mutex::SpinMutex;

use crate::{
    errno::{Errno, Result},
    kernel::{PollEvents, WaitQueue},
    syscalls::FileDescriptor,
    vfs::{Anonymous, File, OpenFile},
};

pub use item::Item;

bitflags! {
    /// How an item behaves; the high bits of `epoll_event.events` (epoll_ctl(2)).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ItemFlags: u32 {
        /// EPOLLEXCLUSIVE: with several epoll files on one target, wake few. We may wake all.
        const EXCLUSIVE = 1 << 28;
        /// EPOLLWAKEUP: keep the system awake; means nothing in a sandbox.
        const WAKE_UP = 1 << 29;
        /// EPOLLONESHOT: one event, then disabled until modified.
        const ONE_SHOT = 1 << 30;
        /// EPOLLET: report changes, not states.
        const EDGE_TRIGGERED = 1 << 31;
    }
}

/// What user code asked for one descriptor: `struct epoll_event`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpollEvent {
    /// [`PollEvents`], and [`ItemFlags`] when asking.
    pub events: u32,
    /// What to report back.
    pub data: u64,
}

/// Names an item: the descriptor and the open file description it meant when it was added.
type Key = (FileDescriptor, usize);

/// An epoll instance.
pub struct Epoll {
    items: SpinMutex<HashMap<Key, Arc<Item>, FxBuildHasher>>,
    ready: SpinMutex<VecDeque<Arc<Item>>>,
    /// Held during a scan of the ready list, so that another waiter does not find the list empty
    /// while level-triggered items are out of it.
    scan: SpinMutex<()>,
    queue: WaitQueue,
    /// The epoll instances that watch this one.
    parents: SpinMutex<Vec<Weak<Epoll>>>,
    this: Weak<Self>,
}

fn key(descriptor: FileDescriptor, file: &Arc<OpenFile>) -> Key {
    (descriptor, Arc::as_ptr(file).addr())
}

impl Epoll {
    /// An instance that watches nothing.
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            items: SpinMutex::default(),
            ready: SpinMutex::default(),
            scan: SpinMutex::new(()),
            queue: WaitQueue::new(),
            parents: SpinMutex::default(),
            this: this.clone(),
        })
    }

    /// Watches `file`, known as `descriptor` (EPOLL_CTL_ADD).
    ///
    /// # Errors
    /// EEXIST if it does already; EPERM if the file is always ready; EINVAL for itself and for
    /// contradictory flags; ELOOP if instances would watch each other in a circle or too deeply.
    pub fn add(
        &self,
        descriptor: FileDescriptor,
        file: &Arc<OpenFile>,
        event: EpollEvent,
    ) -> Result<()> {
        let queue = file.file.wait_queue().ok_or(Errno::EPERM)?;
        let flags = ItemFlags::from_bits_truncate(event.events);
        if flags.contains(ItemFlags::EXCLUSIVE | ItemFlags::ONE_SHOT) {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = file.downcast::<Self>() {
            self.adopt(target, flags)?;
        }
        let item = Item::new(self.this.clone(), descriptor, file, event);
        {
            let mut items = self.items.lock();
            // The key of a live item cannot be that of another file: the item's weak reference
            // keeps the address taken.
            if items.contains_key(&key(descriptor, file)) {
                return Err(Errno::EEXIST);
            }
            items.insert(key(descriptor, file), item.clone());
        }
        item.observe(queue);
        self.offer(&item);
        Ok(())
    }

    /// Changes what is asked of `file` (EPOLL_CTL_MOD).
    ///
    /// # Errors
    /// ENOENT if it is not watched; EINVAL if either is exclusive.
    pub fn modify(
        &self,
        descriptor: FileDescriptor,
        file: &Arc<OpenFile>,
        event: EpollEvent,
    ) -> Result<()> {
        let item = self.items.lock().get(&key(descriptor, file)).cloned().ok_or(Errno::ENOENT)?;
        let flags = ItemFlags::from_bits_truncate(event.events) | item.flags();
        if flags.contains(ItemFlags::EXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        item.set(event);
        self.offer(&item);
        Ok(())
    }

    /// Watches `file` no longer (EPOLL_CTL_DEL).
    ///
    /// # Errors
    /// ENOENT if it is not watched.
    pub fn remove(&self, descriptor: FileDescriptor, file: &Arc<OpenFile>) -> Result<()> {
        let item = self.items.lock().remove(&key(descriptor, file)).ok_or(Errno::ENOENT)?;
        item.retire();
        Ok(())
    }

    /// Takes up to `limit` events (at least 1); empty if nothing is ready.
    pub fn collect(&self, limit: usize) -> Vec<EpollEvent> {
        let mut events = Vec::new();
        if self.ready.lock().is_empty() {
            return events;
        }
        let _scan = self.scan.lock();
        // Items put back during the scan are for the next one.
        let mut left = self.ready.lock().len();
        while left > 0 && events.len() < limit {
            left -= 1;
            let Some(item) = self.ready.lock().pop_front() else {
                break;
            };
            // From here on an event puts it back, so none is lost while its file is asked.
            item.leave_ready_list();
            if !item.is_alive() {
                self.forget(&item);
                continue;
            }
            if let Some(event) = item.take_event() {
                events.push(event);
                if item.is_level_triggered() {
                    self.enqueue(&item);
                }
            }
        }
        events
    }

    /// Where to wait for [`Self::collect`] to give something.
    pub const fn events(&self) -> &WaitQueue {
        &self.queue
    }

    /// Descriptors, and what is asked of each (/proc/PID/fdinfo).
    pub fn watched(&self) -> Vec<(FileDescriptor, EpollEvent)> {
        self.items.lock().values().map(|item| (item.descriptor(), item.asked())).collect()
    }

    /// Puts `item` on the ready list if its file is ready now.
    fn offer(&self, item: &Arc<Item>) {
        if item.is_ready() {
            self.enqueue(item);
            self.queue.wake(PollEvents::IN);
        }
    }

    fn enqueue(&self, item: &Arc<Item>) {
        if item.enter_ready_list() {
            self.ready.lock().push_back(item.clone());
        }
    }

    /// Drops an item whose file has been closed.
    fn forget(&self, item: &Arc<Item>) {
        self.items.lock().retain(|_, other| !Arc::ptr_eq(item, other));
    }
}

#[async_trait]
impl File for Epoll {
    fn poll(&self) -> PollEvents {
        let ready: Vec<Arc<Item>> = self.ready.lock().iter().cloned().collect();
        if ready.iter().any(|item| item.is_ready()) {
            PollEvents::IN | PollEvents::READ_NORMAL
        } else {
            PollEvents::empty()
        }
    }

    fn anonymous(&self) -> Anonymous {
        Anonymous::inode("eventpoll")
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        self.items.get_mut().values().for_each(|item| item.retire());
    }
}

#[cfg(test)]
mod tests;
