//! inotify(7): what happens to files, as a file.

mod event;
#[cfg(test)]
mod tests;
mod watches;

pub use event::{Event, Events};
pub use watches::{MAX_INSTANCES, MAX_WATCHES, Move, Watches};

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use super::{FIONREAD, record::put_record, write_count};
use crate::{
    errno::{Errno, Result},
    io::{Destination, TryError, TryResult},
    kernel::{Current, PollEvents, WaitQueue},
    vfs::{Anonymous, File, Path},
};
use watches::key;

/// Most events that wait to be read (fs.inotify.max_queued_events).
pub const MAX_EVENTS: usize = 16384;

/// An instance: watches, and events that were not read yet.
pub struct Inotify {
    registry: Arc<Watches>,
    uid: u32,
    state: SpinMutex<State>,
    queue: WaitQueue,
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// What is watched; the place keeps the inode in memory.
    watched: BTreeMap<i32, Path>,
    last_descriptor: i32,
}

impl State {
    fn find(&self, file: usize) -> Option<i32> {
        let mut watched = self.watched.iter();
        watched.find(|(_, path)| key(path.inode()) == file).map(|(descriptor, _)| *descriptor)
    }
}

impl Inotify {
    /// An instance of user `uid` that watches nothing.
    ///
    /// # Errors
    /// EMFILE if the user has too many.
    pub fn new(registry: &Arc<Watches>, uid: u32) -> Result<Arc<Self>> {
        let instance = Arc::new_cyclic(|this| Self {
            registry: registry.clone(),
            uid,
            state: SpinMutex::default(),
            queue: WaitQueue::new(),
            this: this.clone(),
        });
        registry.add_instance(&instance)?;
        Ok(instance)
    }

    /// Watches `path`, or changes what it is watched for; answers the watch descriptor.
    ///
    /// # Errors
    /// EEXIST with IN_MASK_CREATE if it is watched; ENOSPC.
    pub fn watch(&self, path: &Path, events: Events) -> Result<i32> {
        let file = key(path.inode());
        let known = self.state.lock().find(file);
        let kept = Events::WATCHABLE | Events::EXCLUDE_UNLINKED | Events::ONE_SHOT;
        if let Some(descriptor) = known {
            if events.contains(Events::MASK_CREATE) {
                return Err(Errno::EEXIST);
            }
            let adds = events.contains(Events::MASK_ADD);
            let change = |old| if adds { old | (events & kept) } else { events & kept };
            self.registry.change(file, self, change);
            return Ok(descriptor);
        }
        let descriptor = {
            let mut state = self.state.lock();
            state.last_descriptor = state.last_descriptor.checked_add(1).ok_or(Errno::ENOSPC)?;
            let descriptor = state.last_descriptor;
            state.watched.insert(descriptor, path.clone());
            descriptor
        };
        let added = self.registry.add(file, self.this.clone(), descriptor, events & kept);
        if let Err(errno) = added {
            let _path = self.state.lock().watched.remove(&descriptor);
            return Err(errno);
        }
        Ok(descriptor)
    }

    /// Ends a watch; the reader is told (IN_IGNORED). False if there is none.
    pub fn forget(&self, descriptor: i32) -> bool {
        let Some(path) = self.state.lock().watched.remove(&descriptor) else { return false };
        self.registry.remove(key(path.inode()), self);
        self.queue(Event { watch: descriptor, events: Events::IGNORED, cookie: 0, name: None });
        true
    }

    /// Queues an event, unless it only repeats the last one.
    fn queue(&self, event: Event) {
        {
            let mut state = self.state.lock();
            if state.events.back() == Some(&event) {
                return;
            }
            match state.events.len() {
                0..MAX_EVENTS => state.events.push_back(event),
                MAX_EVENTS => state.events.push_back(Event {
                    watch: -1,
                    events: Events::QUEUE_OVERFLOW,
                    cookie: 0,
                    name: None,
                }),
                _ => return,
            }
        }
        self.queue.wake(PollEvents::IN | PollEvents::READ_NORMAL);
    }
}

#[async_trait]
impl File for Inotify {
    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        let mut state = self.state.lock();
        let mut total = 0;
        while let Some(event) = state.events.front() {
            if event.size() > destination.remaining() {
                return if total == 0 { Err(Errno::EINVAL.into()) } else { Ok(total) };
            }
            match put_record(destination, &event.encode()) {
                Ok(count) => total += count,
                Err(_) if total > 0 => return Ok(total),
                Err(error) => return Err(error),
            }
            state.events.pop_front();
        }
        if total == 0 { Err(TryError::WouldBlock) } else { Ok(total) }
    }

    fn poll(&self) -> PollEvents {
        if self.state.lock().events.is_empty() {
            PollEvents::empty()
        } else {
            PollEvents::IN | PollEvents::READ_NORMAL
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    async fn ioctl(&self, current: &mut Current, command: u32, argument: u64) -> Result<u64> {
        if command != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let count = self.state.lock().events.iter().map(Event::size).sum();
        write_count(current, argument, count).await
    }

    fn anonymous(&self) -> Anonymous {
        Anonymous::inode("inotify")
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let watched = core::mem::take(&mut self.state.lock().watched);
        watched.values().for_each(|path| self.registry.remove(key(path.inode()), self));
    }
}
