//! What the virtual file system keeps for the whole kernel.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use super::{DentryCache, DeviceNumber};

/// State of the virtual file system.
pub struct Vfs {
    /// Cached names of all file systems.
    pub dentries: Arc<DentryCache>,
    next_minor: AtomicU32,
}

impl Vfs {
    /// A device number for a file system that has no device (`st_dev`).
    pub fn allocate_device(&self) -> DeviceNumber {
        DeviceNumber { major: 0, minor: self.next_minor.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Default for Vfs {
    fn default() -> Self {
        Self { dentries: Arc::default(), next_minor: AtomicU32::new(1) }
    }
}
