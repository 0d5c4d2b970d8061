//! Who watches which file, and how the virtual file system tells them.
//!
//! A file is known by its inode in memory, which a watch keeps there. While nobody watches
//! anything, telling costs one load.
//!
//! Lock order: `files`, then the state of an [`Inotify`]. Nobody is told with `files` locked.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use spin::{RwLock, mutex::SpinMutex};

use super::{Event, Events, Inotify};
use crate::{
    errno::{Errno, Result},
    vfs::{Dentry, FileKind, Inode, Name},
};

/// Most watches in the sandbox (fs.inotify.max_user_watches).
pub const MAX_WATCHES: usize = 65536;
/// Most instances of one user (fs.inotify.max_user_instances).
pub const MAX_INSTANCES: usize = 128;

/// All watches.
#[derive(Default)]
pub struct Watches {
    files: RwLock<HashMap<usize, Vec<Watch>, FxBuildHasher>>,
    count: AtomicUsize,
    instances: SpinMutex<Vec<Weak<Inotify>>>,
    last_cookie: AtomicU32,
}

/// One watch of one file.
struct Watch {
    owner: Weak<Inotify>,
    descriptor: i32,
    events: Events,
}

/// What identifies a file.
pub(super) fn key(inode: &Arc<dyn Inode>) -> usize {
    Arc::as_ptr(inode).cast::<()>().addr()
}

/// A rename of `source` between directories.
pub struct Move<'a> {
    /// Where it was.
    pub from: (&'a Arc<Dentry>, &'a [u8]),
    /// Where it is.
    pub to: (&'a Arc<Dentry>, &'a [u8]),
    /// What was moved.
    pub moved: &'a Arc<Dentry>,
}

impl Watches {
    /// Whether nobody watches anything, so that nobody needs to be told.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// `events` happened to a file: tells those who watch it or the directory it is in.
    #[inline]
    pub fn tell(&self, dentry: &Dentry, events: Events) {
        if !self.is_empty() {
            self.tell_both(dentry, events);
        }
    }

    /// Something happened to the entry `name` of `directory`, which is a directory itself if
    /// `is_directory`.
    pub fn tell_entry(&self, directory: &Dentry, name: &[u8], events: Events, is_directory: bool) {
        if !self.is_empty() {
            let events = with_kind(events, is_directory);
            self.send(key(&directory.inode), Some(Name::from(name)), events, 0);
        }
    }

    /// A file got or lost a name; if `is_last` it is gone.
    pub fn tell_unlinked(&self, dentry: &Dentry, is_last: bool) {
        if self.is_empty() {
            return;
        }
        let is_directory = dentry.inode.kind() == FileKind::Directory;
        if !is_directory {
            self.send(key(&dentry.inode), None, Events::ATTRIB, 0);
        }
        if is_last {
            // Linux does not say here that it was a directory.
            self.send(key(&dentry.inode), None, Events::DELETE_SELF, 0);
            self.forget_file(&dentry.inode);
        }
    }

    /// A file was moved.
    pub fn tell_moved(&self, change: &Move<'_>) {
        if self.is_empty() {
            return;
        }
        let is_directory = change.moved.inode.kind() == FileKind::Directory;
        let cookie = self.last_cookie.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let sides = [(change.from, Events::MOVED_FROM), (change.to, Events::MOVED_TO)];
        for ((directory, name), events) in sides {
            let events = with_kind(events, is_directory);
            self.send(key(&directory.inode), Some(Name::from(name)), events, cookie);
        }
        let events = with_kind(Events::MOVE_SELF, is_directory);
        self.send(key(&change.moved.inode), None, events, 0);
    }

    #[cold]
    fn tell_both(&self, dentry: &Dentry, events: Events) {
        let events = with_kind(events, dentry.inode.kind() == FileKind::Directory);
        if let Some(parent) = dentry.parent() {
            let removed = dentry.is_removed();
            self.send_unless(key(&parent.inode), Some(dentry.name()), events, 0, removed);
        }
        self.send(key(&dentry.inode), None, events, 0);
    }

    fn send(&self, file: usize, name: Option<Name>, events: Events, cookie: u32) {
        self.send_unless(file, name, events, cookie, false);
    }

    /// Queues the event with all who watch `file` for it; if `is_unlinked`, not with those who do
    /// not want to hear of names that are gone.
    fn send_unless(
        &self,
        file: usize,
        name: Option<Name>,
        events: Events,
        cookie: u32,
        is_unlinked: bool,
    ) {
        let wants = |watch: &&Watch| {
            let excluded = is_unlinked && watch.events.contains(Events::EXCLUDE_UNLINKED);
            watch.events.intersects(events & Events::WATCHABLE) && !excluded
        };
        let told: SmallVec<[(Arc<Inotify>, i32, bool); 4]> = {
            let files = self.files.read();
            let Some(watches) = files.get(&file) else { return };
            let owner = |watch: &Watch| {
                let once = watch.events.contains(Events::ONE_SHOT);
                watch.owner.upgrade().map(|owner| (owner, watch.descriptor, once))
            };
            watches.iter().filter(wants).filter_map(owner).collect()
        };
        for (owner, descriptor, once) in told {
            owner.queue(Event { watch: descriptor, events, cookie, name: name.clone() });
            if once {
                owner.forget(descriptor);
            }
        }
    }

    /// Ends all watches of a file that is gone.
    fn forget_file(&self, inode: &Arc<dyn Inode>) {
        let owners: Vec<(Arc<Inotify>, i32)> = {
            let files = self.files.read();
            let watches = files.get(&key(inode)).into_iter().flatten();
            watches.filter_map(|watch| Some((watch.owner.upgrade()?, watch.descriptor))).collect()
        };
        for (owner, descriptor) in owners {
            owner.forget(descriptor);
        }
    }

    /// Registers an instance of user `uid`.
    ///
    /// # Errors
    /// EMFILE if the user has too many.
    pub(super) fn add_instance(&self, instance: &Arc<Inotify>) -> Result<()> {
        let mut instances = self.instances.lock();
        instances.retain(|other| other.strong_count() > 0);
        let owned = instances.iter().filter_map(Weak::upgrade);
        if owned.filter(|other| other.uid == instance.uid).count() >= MAX_INSTANCES {
            return Err(Errno::EMFILE);
        }
        instances.push(Arc::downgrade(instance));
        Ok(())
    }

    /// Adds a watch.
    ///
    /// # Errors
    /// ENOSPC if there are too many.
    pub(super) fn add(
        &self,
        file: usize,
        owner: Weak<Inotify>,
        descriptor: i32,
        events: Events,
    ) -> Result<()> {
        let mut files = self.files.write();
        if self.count.load(Ordering::Relaxed) >= MAX_WATCHES {
            return Err(Errno::ENOSPC);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        files.entry(file).or_default().push(Watch { owner, descriptor, events });
        Ok(())
    }

    /// Changes what a watch is for.
    pub(super) fn change(
        &self,
        file: usize,
        owner: &Inotify,
        change: impl FnOnce(Events) -> Events,
    ) {
        let mut files = self.files.write();
        let mut watches = files.get_mut(&file).into_iter().flatten();
        if let Some(watch) = watches.find(|watch| is_of(watch, owner)) {
            watch.events = change(watch.events);
        }
    }

    /// Removes the watch of `owner`.
    pub(super) fn remove(&self, file: usize, owner: &Inotify) {
        let mut files = self.files.write();
        let Some(watches) = files.get_mut(&file) else { return };
        let before = watches.len();
        watches.retain(|watch| !is_of(watch, owner));
        self.count.fetch_sub(before - watches.len(), Ordering::Relaxed);
        if watches.is_empty() {
            files.remove(&file);
        }
    }
}

fn is_of(watch: &Watch, owner: &Inotify) -> bool {
    core::ptr::eq(watch.owner.as_ptr(), owner)
}

fn with_kind(events: Events, is_directory: bool) -> Events {
    if is_directory { events | Events::IS_DIRECTORY } else { events }
}
