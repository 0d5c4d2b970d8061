//! What the virtual file system keeps for the whole kernel.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use spin::Once;

use super::{DentryCache, DeviceNumber, Locks, Mount, MountFlags};
use crate::{
    fs::{
        inotify::Watches,
        tmpfs::{Options, Store, Tmpfs},
    },
    kernel::Kernel,
};

/// State of the virtual file system.
pub struct Vfs {
    /// Cached names of all file systems.
    pub dentries: Arc<DentryCache>,
    /// Advisory locks of all files.
    pub locks: Arc<Locks>,
    /// Who watches which file.
    pub watches: Arc<Watches>,
    next_minor: AtomicU32,
    memory_files: Once<(Arc<Store>, Arc<Mount>)>,
}

impl Vfs {
    /// Where the files of memfd_create(2) live: a tmpfs that no name leads to.
    pub fn memory_files(&self, kernel: &Kernel) -> (Arc<Store>, Arc<Mount>) {
        let make = || {
            let file_system = Tmpfs::new(kernel, Options::default());
            let store = file_system.store().clone();
            (store, Mount::new(file_system, &self.dentries, "memfd", MountFlags::empty()))
        };
        self.memory_files.call_once(make).clone()
    }

    /// A device number for a file system that has no device (`st_dev`).
    pub fn allocate_device(&self) -> DeviceNumber {
        DeviceNumber { major: 0, minor: self.next_minor.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Default for Vfs {
    fn default() -> Self {
        Self {
            dentries: Arc::default(),
            locks: Arc::default(),
            watches: Arc::default(),
            next_minor: AtomicU32::new(1),
            memory_files: Once::new(),
        }
    }
}
