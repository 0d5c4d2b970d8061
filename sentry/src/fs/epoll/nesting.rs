//! epoll instances that watch epoll instances: no circles, and not too deep, because an event
//! travels up the chain on the stack of whoever caused it.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};

use spin::mutex::SpinMutex;

use super::{Epoll, ItemFlags};
use crate::errno::{Errno, Result};

/// The longest chain of instances (EP_MAX_NESTS of fs/eventpoll.c, and the watched one).
const MAX_CHAIN: usize = 5;

/// Serialises checks, so that two additions cannot close a circle between them. Taken before any
/// instance's locks; holds no state.
static NESTING: SpinMutex<()> = SpinMutex::new(());

impl Epoll {
    /// Notes that this instance is to watch `target`.
    ///
    /// # Errors
    /// EINVAL for itself or with EPOLLEXCLUSIVE; ELOOP.
    pub(super) fn adopt(&self, target: &Self, flags: ItemFlags) -> Result<()> {
        if core::ptr::eq(self, target) || flags.contains(ItemFlags::EXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        let _nesting = NESTING.lock();
        let above = self.height_above(target, MAX_CHAIN)?;
        let below = target.depth_below(MAX_CHAIN)?;
        if above + below > MAX_CHAIN {
            return Err(Errno::ELOOP);
        }
        let mut parents = target.parents.lock();
        parents.retain(|parent| parent.strong_count() > 0);
        parents.push(self.this.clone());
        Ok(())
    }

    /// Length of the longest chain of watchers that ends here; ELOOP if `target` is one of them or
    /// it is longer than `limit`.
    fn height_above(&self, target: &Self, limit: usize) -> Result<usize> {
        if core::ptr::eq(self, target) || limit == 0 {
            return Err(Errno::ELOOP);
        }
        let parents: Vec<Arc<Self>> =
            self.parents.lock().iter().filter_map(Weak::upgrade).collect();
        let mut height = 0;
        for parent in parents {
            height = height.max(parent.height_above(target, limit - 1)?);
        }
        Ok(height + 1)
    }

    /// Length of the longest chain of watched instances that starts here.
    fn depth_below(&self, limit: usize) -> Result<usize> {
        if limit == 0 {
            return Err(Errno::ELOOP);
        }
        let watched: Vec<_> = self.items.lock().values().filter_map(|item| item.file()).collect();
        let mut depth = 0;
        for file in watched {
            if let Some(epoll) = file.downcast::<Self>() {
                depth = depth.max(epoll.depth_below(limit - 1)?);
            }
        }
        Ok(depth + 1)
    }
}
