//! Descriptors of nodes: a bounded cache, and those that cannot be opened again.

use std::{collections::VecDeque, os::fd::OwnedFd, sync::Arc};

use super::{IdMap, Limits};

/// A cached descriptor.
#[derive(Debug)]
struct Cached {
    descriptor: Arc<OwnedFd>,
    /// Used since the hand of the clock last passed.
    used: bool,
}

/// O_PATH descriptors of nodes.
///
/// Eviction is the clock algorithm (second chance): the queue is the clock face, its front the
/// hand. An id stays in the queue until the hand reaches it, even if its node went meanwhile.
#[derive(Debug)]
pub struct DescriptorCache {
    cached: IdMap<Cached>,
    clock: VecDeque<u64>,
    capacity: usize,
    pinned: IdMap<Arc<OwnedFd>>,
    pinned_limit: usize,
}

impl DescriptorCache {
    /// An empty cache.
    pub fn new(limits: Limits) -> Self {
        Self {
            cached: IdMap::default(),
            clock: VecDeque::new(),
            capacity: limits.cached_descriptors.max(1),
            pinned: IdMap::default(),
            pinned_limit: limits.pinned_descriptors,
        }
    }

    /// The node's descriptor, if it is open.
    pub fn get(&mut self, node: u64) -> Option<Arc<OwnedFd>> {
        if let Some(cached) = self.cached.get_mut(&node) {
            cached.used = true;
            return Some(Arc::clone(&cached.descriptor));
        }
        self.pinned.get(&node).cloned()
    }

    /// Keeps the descriptor of a node that is not in the cache, in place of one long unused.
    pub fn insert(&mut self, node: u64, descriptor: Arc<OwnedFd>) {
        while self.clock.len() >= self.capacity {
            self.advance();
        }
        self.clock.push_back(node);
        self.cached.insert(node, Cached { descriptor, used: false });
    }

    /// Keeps the descriptor of a node that has lost its name, until it is forgotten. Answers
    /// whether there was room.
    pub fn pin(&mut self, node: u64, descriptor: Arc<OwnedFd>) -> bool {
        let room = self.pinned.len() < self.pinned_limit;
        if room {
            self.pinned.insert(node, descriptor);
        }
        room
    }

    /// Drops what is kept of a node.
    pub fn remove(&mut self, node: u64) {
        self.cached.remove(&node);
        self.pinned.remove(&node);
    }

    /// Moves the hand by one: evicts what it points to, or gives it a second chance.
    fn advance(&mut self) {
        let Some(node) = self.clock.pop_front() else {
            return;
        };
        match self.cached.get_mut(&node) {
            Some(cached) if cached.used => {
                cached.used = false;
                self.clock.push_back(node);
            }
            _ => {
                self.cached.remove(&node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> Arc<OwnedFd> {
        Arc::new(std::fs::File::open("/dev/null").unwrap().into())
    }

    #[test]
    fn keeps_what_is_used() {
        let limits = Limits { nodes: 0, handles: 0, cached_descriptors: 2, pinned_descriptors: 1 };
        let mut cache = DescriptorCache::new(limits);
        cache.insert(1, descriptor());
        cache.insert(2, descriptor());
        assert!(cache.get(1).is_some());
        cache.insert(3, descriptor());
        assert!(cache.get(1).is_some() && cache.get(2).is_none() && cache.get(3).is_some());
        cache.remove(1);
        cache.insert(4, descriptor());
        cache.insert(5, descriptor());
        assert_eq!(cache.cached.len(), 2);
        assert!(cache.pin(6, descriptor()) && !cache.pin(7, descriptor()));
        assert!(cache.get(6).is_some());
    }
}
