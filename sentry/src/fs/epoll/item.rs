//! One watched file.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering};

use spin::mutex::SpinMutex;

use super::{Epoll, EpollEvent, ItemFlags};
use crate::{
    kernel::{Observer, PollEvents, WaitQueue, WaiterId},
    syscalls::FileDescriptor,
    vfs::OpenFile,
};

/// A watched file and what is asked of it.
pub struct Item {
    epoll: Weak<Epoll>,
    descriptor: FileDescriptor,
    /// Weak: watching a file does not keep it open.
    file: Weak<OpenFile>,
    asked: SpinMutex<Asked>,
    /// Whether it is on the ready list.
    listed: AtomicBool,
    waiter: SpinMutex<Option<WaiterId>>,
    this: Weak<Self>,
}

/// The lock is a leaf.
struct Asked {
    event: EpollEvent,
    /// False after the event of a one-shot item.
    enabled: bool,
}

impl Item {
    pub(super) fn new(
        epoll: Weak<Epoll>,
        descriptor: FileDescriptor,
        file: &Arc<OpenFile>,
        event: EpollEvent,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            epoll,
            descriptor,
            file: Arc::downgrade(file),
            asked: SpinMutex::new(Asked { event, enabled: true }),
            listed: AtomicBool::new(false),
            waiter: SpinMutex::new(None),
            this: this.clone(),
        })
    }

    /// Starts to observe the file.
    pub(super) fn observe(&self, queue: &WaitQueue) {
        let observer: Weak<dyn Observer> = self.this.clone();
        // All events: what is asked may change later.
        let waiter = queue.add_observer(PollEvents::all(), observer);
        *self.waiter.lock() = Some(waiter);
    }

    /// Stops for good.
    pub(super) fn retire(&self) {
        self.asked.lock().enabled = false;
        let waiter = self.waiter.lock().take();
        if let (Some(waiter), Some(file)) = (waiter, self.file.upgrade())
            && let Some(queue) = file.file.wait_queue()
        {
            queue.remove(waiter);
        }
    }

    pub(super) const fn descriptor(&self) -> FileDescriptor {
        self.descriptor
    }

    pub(super) fn file(&self) -> Option<Arc<OpenFile>> {
        self.file.upgrade()
    }

    pub(super) fn asked(&self) -> EpollEvent {
        self.asked.lock().event
    }

    pub(super) fn flags(&self) -> ItemFlags {
        ItemFlags::from_bits_truncate(self.asked().events)
    }

    pub(super) fn set(&self, event: EpollEvent) {
        *self.asked.lock() = Asked { event, enabled: true };
    }

    pub(super) fn is_alive(&self) -> bool {
        self.file.strong_count() > 0
    }

    pub(super) fn is_level_triggered(&self) -> bool {
        !self.flags().intersects(ItemFlags::EDGE_TRIGGERED | ItemFlags::ONE_SHOT)
    }

    /// What is asked; nothing if disabled.
    fn interest(&self) -> PollEvents {
        let asked = self.asked.lock();
        if !asked.enabled {
            return PollEvents::empty();
        }
        let always = PollEvents::ERROR | PollEvents::HANG_UP;
        PollEvents::from_bits_truncate(asked.event.events) | always
    }

    fn ready_events(&self) -> PollEvents {
        let interest = self.interest();
        if interest.is_empty() {
            return interest;
        }
        self.file.upgrade().map_or(PollEvents::empty(), |file| file.file.poll() & interest)
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.ready_events().is_empty()
    }

    /// The event to report now, if any. Disables a one-shot item.
    pub(super) fn take_event(&self) -> Option<EpollEvent> {
        let events = self.ready_events();
        if events.is_empty() {
            return None;
        }
        let mut asked = self.asked.lock();
        if ItemFlags::from_bits_truncate(asked.event.events).contains(ItemFlags::ONE_SHOT) {
            asked.enabled = false;
        }
        Some(EpollEvent { events: events.bits(), data: asked.event.data })
    }

    /// Notes that it is on the ready list; false if it was.
    pub(super) fn enter_ready_list(&self) -> bool {
        !self.listed.swap(true, Ordering::AcqRel)
    }

    pub(super) fn leave_ready_list(&self) {
        self.listed.store(false, Ordering::Release);
    }
}

impl Observer for Item {
    fn notify(&self, events: PollEvents) {
        if !events.intersects(self.interest()) {
            return;
        }
        if let (Some(epoll), Some(item)) = (self.epoll.upgrade(), self.this.upgrade()) {
            epoll.enqueue(&item);
            epoll.queue.wake(PollEvents::IN);
        }
    }
}
