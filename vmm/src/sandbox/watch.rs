//! Notices when a part of the sandbox is gone.

use std::os::fd::{AsRawFd, OwnedFd};

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use crate::devices::{End, Ending};

/// A descriptor that becomes readable when something is over that must not be.
#[derive(Debug)]
pub struct Watch {
    descriptor: OwnedFd,
    meaning: String,
    ending: Ending,
}

impl Watch {
    /// Ends the loop with `meaning` when `descriptor` becomes readable.
    pub const fn new(descriptor: OwnedFd, meaning: String, ending: Ending) -> Self {
        Self {
            descriptor,
            meaning,
            ending,
        }
    }
}

impl MutEventSubscriber for Watch {
    fn init(&mut self, ops: &mut EventOps) {
        let events = Events::new_raw(self.descriptor.as_raw_fd(), EventSet::IN);
        if let Err(error) = ops.add(events) {
            self.ending.broken(&self.meaning, error);
        }
    }

    fn process(&mut self, events: Events, ops: &mut EventOps) {
        self.ending.set(End::Broken(self.meaning.clone()));
        // It stays readable; once is enough.
        let _ = ops.remove(events);
    }
}
