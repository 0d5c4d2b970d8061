//! Which socket a name means.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use spin::mutex::SpinMutex;

use super::{UnixSocket, in_flight::InFlight};
use crate::{
    errno::{Errno, Result},
    vfs::InodeKey,
};

/// What all unix sockets of the sandbox share.
#[derive(Default)]
pub struct UnixSockets {
    names: SpinMutex<Names>,
    /// Descriptors sent and not received.
    pub(super) in_flight: InFlight,
}

/// The lock is a leaf.
#[derive(Default)]
struct Names {
    abstracts: HashMap<Vec<u8>, Weak<UnixSocket>, FxBuildHasher>,
    inodes: HashMap<InodeKey, Weak<UnixSocket>, FxBuildHasher>,
    next_automatic: u32,
}

/// How many names binding without a name chooses from: five hexadecimal digits (unix(7)).
const AUTOMATIC_NAMES: u32 = 1 << 20;

impl UnixSockets {
    /// The socket with abstract name `name`.
    pub fn find_abstract(&self, name: &[u8]) -> Option<Arc<UnixSocket>> {
        self.names.lock().abstracts.get(name).and_then(Weak::upgrade)
    }

    /// The socket bound to the inode `key`.
    pub fn find_inode(&self, key: InodeKey) -> Option<Arc<UnixSocket>> {
        self.names.lock().inodes.get(&key).and_then(Weak::upgrade)
    }

    /// Gives `socket` the abstract name `name`.
    ///
    /// # Errors
    /// EADDRINUSE.
    pub(super) fn add_abstract(&self, name: &[u8], socket: Weak<UnixSocket>) -> Result<()> {
        self.names.lock().add(name.to_vec(), socket)
    }

    /// Gives `socket` an abstract name that is free, and returns it.
    ///
    /// # Errors
    /// ENOSPC if none is free.
    pub(super) fn add_automatic(&self, socket: &Weak<UnixSocket>) -> Result<Vec<u8>> {
        let mut names = self.names.lock();
        for _ in 0..AUTOMATIC_NAMES {
            names.next_automatic = (names.next_automatic + 1) % AUTOMATIC_NAMES;
            let name = alloc::format!("{:05x}", names.next_automatic).into_bytes();
            if names.add(name.clone(), socket.clone()).is_ok() {
                return Ok(name);
            }
        }
        Err(Errno::ENOSPC)
    }

    /// Binds `socket` to the inode `key`.
    pub(super) fn add_inode(&self, key: InodeKey, socket: Weak<UnixSocket>) {
        let mut names = self.names.lock();
        names.inodes.retain(|_, socket| socket.strong_count() > 0);
        names.inodes.insert(key, socket);
    }

    /// Frees an abstract name.
    pub(super) fn remove_abstract(&self, name: &[u8]) {
        self.names.lock().abstracts.remove(name);
    }

    /// Frees the inode `key`.
    pub(super) fn remove_inode(&self, key: InodeKey) {
        self.names.lock().inodes.remove(&key);
    }
}

impl Names {
    fn add(&mut self, name: Vec<u8>, socket: Weak<UnixSocket>) -> Result<()> {
        let taken = self.abstracts.get(&name).is_some_and(|other| other.strong_count() > 0);
        if taken {
            return Err(Errno::EADDRINUSE);
        }
        self.abstracts.insert(name, socket);
        Ok(())
    }
}
