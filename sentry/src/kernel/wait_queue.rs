//! Wait queues: how a task sleeps until something happens, and how the thing that happens is told.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};
use core::{
    future::Future,
    mem,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
};

use bitflags::bitflags;
use smallvec::SmallVec;
use spin::mutex::SpinMutex;

bitflags! {
    /// Readiness of a file, with the numbers of poll(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PollEvents: u32 {
        /// Data can be read (POLLIN).
        const IN = 0x1;
        /// Exceptional condition (POLLPRI).
        const PRIORITY = 0x2;
        /// Data can be written (POLLOUT).
        const OUT = 0x4;
        /// Error (POLLERR); always reported.
        const ERROR = 0x8;
        /// The other side hung up (POLLHUP); always reported.
        const HANG_UP = 0x10;
        /// Not an open descriptor (POLLNVAL).
        const INVALID = 0x20;
        /// POLLRDNORM.
        const READ_NORMAL = 0x40;
        /// POLLRDBAND.
        const READ_BAND = 0x80;
        /// POLLWRNORM.
        const WRITE_NORMAL = 0x100;
        /// POLLWRBAND.
        const WRITE_BAND = 0x200;
        /// The peer closed its writing half (POLLRDHUP).
        const READ_HANG_UP = 0x2000;
    }
}

/// Told of events on a queue it was added to; stays until removed or dropped. epoll is one.
pub trait Observer: Send + Sync {
    /// `events` have happened. Called without the queue's lock, from any executor; must not block.
    fn notify(&self, events: PollEvents);
}

/// A place to wait. The lock inside is a leaf: nothing else is locked while it is held.
#[derive(Default)]
pub struct WaitQueue {
    waiters: SpinMutex<Vec<Waiter>>,
}

/// Names one waiter, to remove it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaiterId(u64);

struct Waiter {
    id: WaiterId,
    interest: PollEvents,
    target: Target,
}

enum Target {
    /// One shot: taken and removed when woken.
    Waker(Option<Waker>),
    /// Told each time.
    Observer(Weak<dyn Observer>),
}

static NEXT_WAITER: AtomicU64 = AtomicU64::new(1);

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { waiters: SpinMutex::new(Vec::new()) }
    }

    /// Tells all waiters interested in `events`. Errors and hang-ups interest everyone.
    pub fn wake(&self, events: PollEvents) {
        let always = PollEvents::ERROR | PollEvents::HANG_UP;
        let mut wakers: SmallVec<[Waker; 4]> = SmallVec::new();
        let mut observers: SmallVec<[Arc<dyn Observer>; 4]> = SmallVec::new();
        self.waiters.lock().retain_mut(|waiter| {
            if !events.intersects(waiter.interest | always) {
                return true;
            }
            match &mut waiter.target {
                Target::Waker(waker) => {
                    wakers.extend(waker.take());
                    false
                }
                Target::Observer(observer) => {
                    let alive = observer.upgrade();
                    let keep = alive.is_some();
                    observers.extend(alive);
                    keep
                }
            }
        });
        wakers.into_iter().for_each(Waker::wake);
        observers.iter().for_each(|observer| observer.notify(events));
    }

    /// Tells all waiters, whatever they wait for.
    pub fn wake_all(&self) {
        self.wake(PollEvents::all());
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.lock().is_empty()
    }

    /// Adds an observer of `interest`.
    pub fn add_observer(&self, interest: PollEvents, observer: Weak<dyn Observer>) -> WaiterId {
        self.add(interest, Target::Observer(observer))
    }

    /// Adds a one-shot waker; for futures that wait on several queues at once (poll, select).
    pub fn add_waker(&self, interest: PollEvents, waker: Waker) -> WaiterId {
        self.add(interest, Target::Waker(Some(waker)))
    }

    /// Removes a waiter; does nothing if it is gone.
    pub fn remove(&self, id: WaiterId) {
        self.waiters.lock().retain(|waiter| waiter.id != id);
    }

    /// Waits until `condition` holds, looking again after each of `interest`'s events.
    pub fn wait_until<T, F>(&self, interest: PollEvents, condition: F) -> WaitUntil<'_, F>
    where
        F: FnMut() -> Option<T>,
    {
        WaitUntil { queue: self, interest, condition, registered: None, has_looked: false }
    }

    /// The same for who has just looked in vain.
    pub fn wait_again<T, F>(&self, interest: PollEvents, condition: F) -> WaitUntil<'_, F>
    where
        F: FnMut() -> Option<T>,
    {
        let mut wait = self.wait_until(interest, condition);
        wait.has_looked = true;
        wait
    }

    fn add(&self, interest: PollEvents, target: Target) -> WaiterId {
        let id = WaiterId(NEXT_WAITER.fetch_add(1, Ordering::Relaxed));
        self.waiters.lock().push(Waiter { id, interest, target });
        id
    }
}

/// Future of [`WaitQueue::wait_until`].
pub struct WaitUntil<'a, F> {
    queue: &'a WaitQueue,
    interest: PollEvents,
    condition: F,
    registered: Option<WaiterId>,
    /// The next look is the one after the registration.
    has_looked: bool,
}

impl<F> Unpin for WaitUntil<'_, F> {}

impl<T, F: FnMut() -> Option<T>> Future for WaitUntil<'_, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if !mem::take(&mut self.has_looked)
            && let Some(value) = (self.condition)()
        {
            return Poll::Ready(value);
        }
        if let Some(old) = self.registered.take() {
            self.queue.remove(old);
        }
        let id = self.queue.add(self.interest, Target::Waker(Some(context.waker().clone())));
        self.registered = Some(id);
        // The event may have come between the first look and the registration.
        (self.condition)().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<F> Drop for WaitUntil<'_, F> {
    fn drop(&mut self) {
        if let Some(id) = self.registered {
            self.queue.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicBool, AtomicU32};

    use super::*;

    struct Count(AtomicU32);

    impl Observer for Count {
        fn notify(&self, events: PollEvents) {
            self.0.fetch_add(events.bits(), Ordering::Relaxed);
        }
    }

    impl alloc::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn wakes_only_the_interested_and_once() {
        let queue = WaitQueue::new();
        let done = AtomicBool::new(false);
        let count = Arc::new(Count(AtomicU32::new(0)));
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let mut wait =
            queue.wait_until(PollEvents::IN, || done.load(Ordering::Relaxed).then_some(7));
        assert!(Pin::new(&mut wait).poll(&mut context).is_pending());
        queue.wake(PollEvents::OUT);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        done.store(true, Ordering::Relaxed);
        queue.wake(PollEvents::IN);
        queue.wake(PollEvents::IN);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(Pin::new(&mut wait).poll(&mut context), Poll::Ready(7));
    }

    #[test]
    fn observers_stay_and_dead_ones_go() {
        let queue = WaitQueue::new();
        let count = Arc::new(Count(AtomicU32::new(0)));
        let observer: Arc<dyn Observer> = count.clone();
        queue.add_observer(PollEvents::IN, Arc::downgrade(&observer));
        queue.wake(PollEvents::IN);
        queue.wake(PollEvents::IN);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        drop((observer, count));
        queue.wake(PollEvents::IN);
        assert!(queue.is_empty());
    }

    #[test]
    fn dropping_a_wait_removes_it() {
        let queue = WaitQueue::new();
        let mut wait = queue.wait_until(PollEvents::IN, || None::<()>);
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut wait).poll(&mut context).is_pending());
        assert!(!queue.is_empty());
        drop(wait);
        assert!(queue.is_empty());
    }
}
