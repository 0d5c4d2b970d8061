//! What a process's names start from: root, working directory, umask.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU16, Ordering};

use spin::mutex::SpinMutex;

use super::{Namespace, Path};

/// The file-system context that clone(2) CLONE_FS shares. The lock is a leaf.
pub struct FsContext {
    places: SpinMutex<Places>,
    umask: AtomicU16,
}

#[derive(Clone)]
struct Places {
    namespace: Arc<Namespace>,
    root: Path,
    working_directory: Path,
}

impl FsContext {
    /// Root and working directory at the root of `namespace`.
    pub fn new(namespace: Arc<Namespace>, umask: u16) -> Arc<Self> {
        let root = namespace.root().root_path().topmost();
        let places = Places { namespace, working_directory: root.clone(), root };
        Arc::new(Self { places: SpinMutex::new(places), umask: AtomicU16::new(umask & 0o777) })
    }

    /// A context of its own with the same contents.
    pub fn duplicate(&self) -> Arc<Self> {
        Arc::new(Self {
            places: SpinMutex::new(self.places.lock().clone()),
            umask: AtomicU16::new(self.umask()),
        })
    }

    /// The mount namespace.
    pub fn namespace(&self) -> Arc<Namespace> {
        self.places.lock().namespace.clone()
    }

    /// Where absolute names start.
    pub fn root(&self) -> Path {
        self.places.lock().root.clone()
    }

    /// Where relative names start.
    pub fn working_directory(&self) -> Path {
        self.places.lock().working_directory.clone()
    }

    /// Changes the root (chroot(2)).
    pub fn set_root(&self, root: Path) {
        let old = core::mem::replace(&mut self.places.lock().root, root);
        drop(old);
    }

    /// Changes the working directory (chdir(2)).
    pub fn set_working_directory(&self, directory: Path) {
        let old = core::mem::replace(&mut self.places.lock().working_directory, directory);
        drop(old);
    }

    /// Permission bits that new files do not get.
    pub fn umask(&self) -> u16 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Sets the umask and returns the old one.
    pub fn set_umask(&self, umask: u16) -> u16 {
        self.umask.swap(umask & 0o777, Ordering::Relaxed)
    }
}
