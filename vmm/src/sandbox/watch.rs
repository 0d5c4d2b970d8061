//! Notices when a part of the sandbox is gone.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    rc::Rc,
};

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use crate::devices::{End, Ending, control::Control};

/// A descriptor that becomes readable when a part of the sandbox is gone.
#[derive(Debug)]
pub struct Watched {
    /// The descriptor.
    pub descriptor: OwnedFd,
    /// What is gone, as a message.
    pub meaning: &'static str,
}

impl Watched {
    /// The part that `descriptor` shows.
    ///
    /// # Errors
    /// If the limit of open files is reached.
    pub fn new(descriptor: &impl AsFd, meaning: &'static str) -> io::Result<Self> {
        Ok(Self { descriptor: descriptor.as_fd().try_clone_to_owned()?, meaning })
    }
}

/// Ends the loop when a [`Watched`] becomes readable.
#[derive(Debug)]
pub struct Watch {
    watched: Watched,
    control: Rc<RefCell<Control>>,
    ending: Ending,
}

impl Watch {
    /// Ends the loop through `ending`, unless the sentry has a last word on `control`.
    pub const fn new(watched: Watched, control: Rc<RefCell<Control>>, ending: Ending) -> Self {
        Self { watched, control, ending }
    }
}

impl MutEventSubscriber for Watch {
    fn init(&mut self, ops: &mut EventOps) {
        let events = Events::new_raw(self.watched.descriptor.as_raw_fd(), EventSet::IN);
        if let Err(error) = ops.add(events) {
            self.ending.broken(self.watched.meaning, error);
        }
    }

    fn process(&mut self, events: Events, ops: &mut EventOps) {
        // The sentry reports how its container ended and stops; which of the two descriptors
        // epoll(7) shows first is chance.
        self.control.borrow_mut().serve_or_end();
        self.ending.set(End::Broken(self.watched.meaning.to_owned()));
        // It stays readable; once is enough.
        let _ = ops.remove(events);
    }
}
