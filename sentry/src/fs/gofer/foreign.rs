//! Changes that others make to names in a tree that is the sandbox's own, as `docker cp` does.
//!
//! They are rare, so names are kept; but a directory is looked at again at its first use after
//! [`BELIEVED_FOR`]. If its ctime is another, which every change of a name sets (inode(7)), all that is
//! known of its names is asked for again. Changes made here count as well: the server's time of
//! them is not known here.

use super::inode::GoferInode;
use crate::{
    platform::Platform,
    vfs::{Attributes, Timestamp},
};

/// How long names are believed without a look at their directory, in nanoseconds: short for
/// someone who has copied a file, long for programs.
const BELIEVED_FOR: u64 = 1_000_000_000;

/// A time of the host's files stands still for this long, in nanoseconds: a tick at 100 Hz. A
/// second change within it does not show in ctime.
const TIME_STEP: u64 = 10_000_000;

/// What was last seen of a directory at the server.
#[derive(Clone, Copy)]
pub(super) struct Look {
    changed: Timestamp,
    /// A later change has a later ctime.
    is_settled: bool,
    /// CLOCK_MONOTONIC until which it holds, in nanoseconds.
    pub(super) until: u64,
}

impl Look {
    /// At a directory with these attributes, now.
    pub(super) fn new(attributes: &Attributes, platform: &dyn Platform) -> Self {
        let now = platform.realtime_nanoseconds();
        Self {
            changed: attributes.changed,
            is_settled: attributes.changed
                < Timestamp::from_nanoseconds(now.saturating_sub(TIME_STEP)),
            until: platform.monotonic_nanoseconds().saturating_add(BELIEVED_FOR),
        }
    }

    /// Whether names may have changed since, now that the ctime is `changed`.
    fn differs(&self, changed: Timestamp) -> bool {
        !self.is_settled || self.changed != changed
    }
}

impl GoferInode {
    /// Whether what is known of the names in this directory may be used.
    pub(super) fn look_holds(&self) -> bool {
        let look = self.state.lock().look;
        look.is_none_or(|look| self.session.platform.monotonic_nanoseconds() < look.until)
    }

    /// Takes over attributes of a directory that others may have changed.
    pub(super) fn look_again(&self, attributes: Attributes, last: Look) {
        let platform = &*self.session.platform;
        let is_due = platform.monotonic_nanoseconds() >= last.until;
        let look = if is_due { Look::new(&attributes, platform) } else { last };
        {
            let mut state = self.state.lock();
            state.attributes = with_own_times(attributes, &state.attributes);
            state.valid_until = look.until;
            state.look = Some(look);
        }
        if is_due && last.differs(attributes.changed) {
            self.doubt_names();
        }
    }
}

/// `new` attributes; but if the last change was made here, its time here is what programs saw.
fn with_own_times(new: Attributes, known: &Attributes) -> Attributes {
    if new.changed > known.changed {
        return new;
    }
    Attributes { modified: known.modified, changed: known.changed, ..new }
}
