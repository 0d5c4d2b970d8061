//! What input and output have in common: a queue on one side, a host stream on the other.

use std::os::fd::{AsFd, AsRawFd};

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::{
    Ending,
    host_stream::{Direction, HostStream},
};
use crate::virtqueue::{Doorbell, QueueError};

/// Where moving bytes stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The sentry has posted nothing more.
    QueueEmpty,
    /// The host stream has no bytes, or takes none, at the moment.
    HostBusy,
    /// The share of this wake-up is used up.
    ShareUsed,
}

/// Moves bytes between a queue and a host stream.
pub trait Pump {
    /// Moves as many as it can without waiting, within its share.
    ///
    /// # Errors
    /// If the queue is broken.
    fn pump(&mut self) -> Result<Progress, QueueError>;

    /// The doorbell of the queue.
    fn kick(&self) -> &Doorbell;

    /// The host stream.
    fn host(&self) -> &HostStream;
}

/// Pieces of at most [`PIECE_BYTES`] that one wake-up moves, so that no stream starves the others.
pub const PIECES_PER_WAKE_UP: usize = 64;

/// Most bytes that are copied at once.
pub const PIECE_BYTES: usize = 64 << 10;

/// A pump on an event loop: runs it at a kick, and while the host is busy, when it is ready again.
#[derive(Debug)]
pub struct StreamEvents<P> {
    name: &'static str,
    pump: P,
    waits_for_host: bool,
    watches_kick: bool,
    ending: Ending,
}

impl<P: Pump> StreamEvents<P> {
    /// Puts `pump` on a loop that ends when its queue breaks; `name` is for the message.
    pub const fn new(name: &'static str, pump: P, ending: Ending) -> Self {
        Self { name, pump, waits_for_host: false, watches_kick: true, ending }
    }

    /// The same for a queue that shares its doorbell: who clears that calls [`Self::serve`].
    pub const fn without_doorbell(name: &'static str, pump: P, ending: Ending) -> Self {
        Self { name, pump, waits_for_host: false, watches_kick: false, ending }
    }

    /// Moves what there is.
    pub fn serve(&mut self, ops: &mut EventOps) {
        if let Err(error) = self.run(ops) {
            self.ending.broken(self.name, error);
        }
    }

    /// The pump.
    pub const fn pump(&self) -> &P {
        &self.pump
    }

    /// The pump, taken from the loop.
    pub fn into_pump(self) -> P {
        self.pump
    }

    fn run(&mut self, ops: &mut EventOps) -> Result<(), String> {
        let progress = self.pump.pump().map_err(|error| error.to_string())?;
        if progress == Progress::ShareUsed {
            self.pump.kick().ring();
        }
        self.wait_for_host(progress == Progress::HostBusy, ops).map_err(|error| error.to_string())
    }

    /// Watches the host stream exactly while there is a reason to: a hang-up is reported whether
    /// asked for or not (epoll_ctl(2)), so an idle watch would spin.
    fn wait_for_host(
        &mut self,
        waits: bool,
        ops: &mut EventOps,
    ) -> Result<(), event_manager::Error> {
        if waits == self.waits_for_host {
            return Ok(());
        }
        let host = self.pump.host();
        let set = match host.direction() {
            Direction::Input => EventSet::IN,
            Direction::Output => EventSet::OUT,
        };
        let events = Events::new(host, set);
        if waits {
            ops.add(events)?
        } else {
            ops.remove(events)?
        }
        self.waits_for_host = waits;
        Ok(())
    }
}

impl<P: Pump> MutEventSubscriber for StreamEvents<P> {
    fn init(&mut self, ops: &mut EventOps) {
        if !self.watches_kick {
            return;
        }
        let kick = self.pump.kick().as_fd().as_raw_fd();
        if let Err(error) = ops.add(Events::new_raw(kick, EventSet::IN)) {
            self.ending.broken(self.name, error);
        }
    }

    fn process(&mut self, _events: Events, ops: &mut EventOps) {
        if self.watches_kick {
            self.pump.kick().clear();
        }
        self.serve(ops);
    }
}
