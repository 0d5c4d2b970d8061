//! What became ready, noted by the event loop and dealt with between its turns.

use std::{
    cell::RefCell,
    collections::VecDeque,
    os::fd::{AsRawFd, OwnedFd},
    rc::Rc,
};

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber, SubscriberId, SubscriberOps};
use guest_abi::control::ProcessNumber;

use super::{Supervisor, Table};

/// What can become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A client wants to connect to the control socket of this container.
    Listener(ProcessNumber),
    /// The command that makes the container hung up.
    Maker,
    /// A stand-in says something, or hung up.
    LifeLine(ProcessNumber),
    /// A client says something, or hung up.
    Client(u64),
    /// The gofer of this further container hung up.
    Gofer(ProcessNumber),
    /// The doorbell of the consoles of executed processes.
    Consoles,
}

/// What became ready and was not dealt with, and who watches what.
#[derive(Debug, Default)]
pub struct Inbox {
    ready: Rc<RefCell<VecDeque<Source>>>,
    watched: Table<Source, SubscriberId>,
}

impl Inbox {
    /// The next thing to deal with.
    pub fn next(&self) -> Option<Source> {
        self.ready.borrow_mut().pop_front()
    }
}

/// Notes that a descriptor is readable.
struct Readiness {
    descriptor: OwnedFd,
    source: Source,
    ready: Rc<RefCell<VecDeque<Source>>>,
}

impl MutEventSubscriber for Readiness {
    fn init(&mut self, ops: &mut EventOps) {
        let events = Events::new_raw(self.descriptor.as_raw_fd(), EventSet::IN);
        if ops.add(events).is_err() {
            // Nothing can be watched any more; reading it shows whether it is worth anything.
            self.ready.borrow_mut().push_back(self.source);
        }
    }

    fn process(&mut self, _events: Events, _ops: &mut EventOps) {
        self.ready.borrow_mut().push_back(self.source);
    }
}

impl Supervisor {
    /// Has `source` noted whenever `descriptor` is readable. Without a descriptor (the limit of open
    /// files is reached) it is noted once: reading it shows what it is worth.
    pub(super) fn watch(&mut self, source: Source, descriptor: std::io::Result<OwnedFd>) {
        let ready = Rc::clone(&self.inbox.ready);
        let Ok(descriptor) = descriptor else {
            ready.borrow_mut().push_back(source);
            return;
        };
        let id = self.manager.add_subscriber(Box::new(Readiness { descriptor, source, ready }));
        self.inbox.watched.insert(source, id);
    }

    /// Has it noted no more.
    pub(super) fn unwatch(&mut self, source: Source) {
        if let Some(id) = self.inbox.watched.remove(&source) {
            // It is in the table, so it is known.
            let _ = self.manager.remove_subscriber(id);
        }
    }
}
