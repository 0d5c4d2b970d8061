//! Dentries: the cache of names.
//!
//! A dentry is one name of a directory together with the inode it leads to. The inode of a dentry
//! never changes: a name that leads elsewhere gets a new dentry. What a directory is known not to
//! contain is cached too, as [`Cached::Absent`].
//!
//! Lock order: `children` of a directory, then `children` of another by address, then `place` of a
//! dentry. The cache's own lock is a leaf.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use spin::{Once, RwLock, mutex::SpinMutex};

use super::{Caching, Inode, SleepMutex, dentry_cache::DentryCache};

/// One component of a path, shared by whoever names it.
pub type Name = Arc<[u8]>;

/// A name and what it leads to.
pub struct Dentry {
    /// What it names.
    pub inode: Arc<dyn Inode>,
    /// How long its children stay true.
    pub caching: Caching,
    /// Held while entries of this directory are made, moved or removed.
    pub changes: SleepMutex,
    place: SpinMutex<Place>,
    children: RwLock<Children>,
    /// Mounts on this dentry, in all namespaces.
    mounts: AtomicU32,
    /// Found since the cache last looked for something to drop.
    used: AtomicBool,
    link_target: Once<Arc<[u8]>>,
    /// To be asked for again: others have changed names in its directory.
    doubted: AtomicBool,
    /// The inode's [`Inode::foreign_changes`] that the children know of.
    foreign_changes: AtomicU64,
    cache: Arc<DentryCache>,
}

/// Where a dentry is; a rename changes it.
struct Place {
    /// `None` for the root of a file system.
    parent: Option<Arc<Dentry>>,
    name: Name,
    removed: bool,
}

#[derive(Default)]
struct Children {
    entries: HashMap<Name, Option<Arc<Dentry>>, FxBuildHasher>,
    /// Counts changes, so that an answer from before a change is not cached after it.
    generation: u64,
}

/// What the cache knows of a name.
pub enum Cached {
    /// It is this.
    Present(Arc<Dentry>),
    /// The directory has no such name.
    Absent,
    /// Nothing: ask the inode.
    Unknown,
}

impl Dentry {
    /// The root of a file system.
    pub fn new_root(inode: Arc<dyn Inode>, cache: Arc<DentryCache>) -> Arc<Self> {
        let place = Place { parent: None, name: Arc::from(&b"/"[..]), removed: false };
        Arc::new(Self::with_place(inode, place, cache))
    }

    fn with_place(inode: Arc<dyn Inode>, place: Place, cache: Arc<DentryCache>) -> Self {
        Self {
            caching: inode.caching(),
            doubted: AtomicBool::new(false),
            foreign_changes: AtomicU64::new(inode.foreign_changes()),
            inode,
            changes: SleepMutex::new(),
            place: SpinMutex::new(place),
            children: RwLock::default(),
            mounts: AtomicU32::new(0),
            used: AtomicBool::new(true),
            link_target: Once::new(),
            cache,
        }
    }

    /// A dentry below this one that the cache does not know.
    pub fn uncached_child(self: &Arc<Self>, name: Name, inode: Arc<dyn Inode>) -> Arc<Self> {
        let place = Place { parent: Some(self.clone()), name, removed: false };
        Arc::new(Self::with_place(inode, place, self.cache.clone()))
    }

    /// A dentry of a file in the file system of `directory` that cannot be found by its `name`
    /// (O_TMPFILE, memfd_create(2)).
    pub fn unnamed(directory: &Arc<Self>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Self> {
        let name = Arc::from(name);
        let place = Place { parent: Some(directory.clone()), name, removed: true };
        Arc::new(Self::with_place(inode, place, directory.cache.clone()))
    }

    /// The directory it is in; `None` for the root of a file system.
    pub fn parent(&self) -> Option<Arc<Self>> {
        self.place.lock().parent.clone()
    }

    /// Its name in its directory.
    pub fn name(&self) -> Name {
        self.place.lock().name.clone()
    }

    /// Whether its name has been removed.
    pub fn is_removed(&self) -> bool {
        self.place.lock().removed
    }

    /// Whether it is `ancestor` or below it.
    pub fn is_within(self: &Arc<Self>, ancestor: &Arc<Self>) -> bool {
        let mut at = Some(self.clone());
        while let Some(dentry) = at {
            if Arc::ptr_eq(&dentry, ancestor) {
                return true;
            }
            at = dentry.parent();
        }
        false
    }

    /// Whether something is mounted here in some namespace.
    #[inline]
    pub fn is_mount_point(&self) -> bool {
        self.mounts.load(Ordering::Acquire) != 0
    }

    /// The target of a symbolic link, if it was read before.
    pub fn link_target(&self) -> Option<Arc<[u8]>> {
        self.link_target.get().cloned()
    }

    /// Remembers the target of a symbolic link.
    pub fn set_link_target(&self, target: &[u8]) {
        self.link_target.call_once(|| Arc::from(target));
    }

    /// The cache it is counted in.
    pub fn cache(&self) -> &Arc<DentryCache> {
        &self.cache
    }

    /// What the cache knows of `name`. What others may change is believed only where something is
    /// mounted on it.
    #[inline]
    pub fn cached_child(&self, name: &[u8]) -> Cached {
        if self.caching == Caching::Checked {
            self.notice_foreign_changes();
        }
        match self.children.read().entries.get(name) {
            Some(Some(child)) if self.vouches_for(child) || child.is_mount_point() => {
                if !child.used.load(Ordering::Relaxed) {
                    child.used.store(true, Ordering::Relaxed);
                }
                Cached::Present(child.clone())
            }
            Some(None) if self.keeps_names() => Cached::Absent,
            _ => Cached::Unknown,
        }
    }

    const fn keeps_names(&self) -> bool {
        matches!(self.caching, Caching::Stable | Caching::Checked)
    }

    fn vouches_for(&self, child: &Self) -> bool {
        self.keeps_names() && !child.doubted.load(Ordering::Relaxed)
    }

    /// Whether the names in this directory may be used as they are known.
    #[inline]
    pub fn names_are_current(&self) -> bool {
        self.caching != Caching::Checked || self.inode.names_are_current()
    }

    /// If others have changed names: forgets what is absent and doubts what is present, which may
    /// turn out to be the same.
    fn notice_foreign_changes(&self) {
        let changes = self.inode.foreign_changes();
        if self.foreign_changes.load(Ordering::Acquire) == changes {
            return;
        }
        let mut children = self.children.write();
        children.generation += 1;
        children.entries.retain(|_, child| child.is_some());
        for child in children.entries.values().flatten() {
            child.doubted.store(true, Ordering::Relaxed);
        }
        self.foreign_changes.store(changes, Ordering::Release);
    }

    /// Taken before the inode is asked; see [`Self::learn`].
    pub fn generation(&self) -> u64 {
        self.children.read().generation
    }

    /// Records what the inode said of `name`: the inode, or that there is none. Returns the dentry
    /// of the inode, or `Err` if the directory has changed since `generation` so that the answer
    /// may be stale: ask again.
    pub fn learn(
        self: &Arc<Self>,
        name: &[u8],
        answer: Option<Arc<dyn Inode>>,
        generation: u64,
    ) -> Result<Option<Arc<Self>>, StaleAnswer> {
        if self.caching == Caching::Volatile {
            return Ok(answer.map(|inode| self.uncached_child(Arc::from(name), inode)));
        }
        let mut children = self.children.write();
        if children.generation != generation {
            return Err(StaleAnswer);
        }
        if let Some(Some(known)) = children.entries.get(name)
            && answer.as_ref().is_some_and(|inode| Arc::ptr_eq(inode, &known.inode))
        {
            known.doubted.store(false, Ordering::Relaxed);
            return Ok(Some(known.clone()));
        }
        let name: Name = Arc::from(name);
        let child = answer.map(|inode| self.uncached_child(name.clone(), inode));
        let old = children.entries.insert(name.clone(), child.clone());
        drop(children);
        if let Some(Some(old)) = old {
            old.place.lock().removed = true;
        }
        self.cache.added(self, name);
        Ok(child)
    }

    /// Records that `name` now is `inode`, which this sandbox has just made or linked.
    pub fn add(self: &Arc<Self>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Self> {
        let name: Name = Arc::from(name);
        let child = self.uncached_child(name.clone(), inode);
        let mut children = self.children.write();
        children.generation += 1;
        if self.caching != Caching::Volatile {
            children.entries.insert(name.clone(), Some(child.clone()));
            drop(children);
            self.cache.added(self, name);
        }
        child
    }

    /// Records that `child` has been removed from this directory.
    pub fn remove(&self, child: &Arc<Self>) {
        let mut children = self.children.write();
        children.generation += 1;
        let mut place = child.place.lock();
        place.removed = true;
        if let Some(entry) = children.entries.get_mut(&place.name) {
            *entry = None;
        }
    }

    /// Records that `child` has moved from this directory to `name` in `new_directory`, replacing
    /// what was there. The caller holds both `changes` locks.
    pub fn rename(self: &Arc<Self>, child: &Arc<Self>, new_directory: &Arc<Self>, name: &[u8]) {
        let name: Name = Arc::from(name);
        self.set_entry(&child.name(), None);
        if let Some(replaced) = new_directory.set_entry(&name, Some(child.clone())) {
            replaced.place.lock().removed = true;
        }
        *child.place.lock() =
            Place { parent: Some(new_directory.clone()), name: name.clone(), removed: false };
        self.cache.added(new_directory, name);
    }

    /// Records that two dentries have changed places (RENAME_EXCHANGE).
    pub fn exchange(first: &Arc<Self>, second: &Arc<Self>) {
        let (Some(first_parent), Some(second_parent)) = (first.parent(), second.parent()) else {
            return;
        };
        let (first_name, second_name) = (first.name(), second.name());
        first_parent.set_entry(&first_name, Some(second.clone()));
        second_parent.set_entry(&second_name, Some(first.clone()));
        *first.place.lock() =
            Place { parent: Some(second_parent), name: second_name, removed: false };
        *second.place.lock() =
            Place { parent: Some(first_parent), name: first_name, removed: false };
    }

    fn set_entry(&self, name: &Name, child: Option<Arc<Self>>) -> Option<Arc<Self>> {
        let mut children = self.children.write();
        children.generation += 1;
        if self.caching == Caching::Volatile {
            return None;
        }
        children.entries.insert(name.clone(), child).flatten()
    }

    /// Notes a mount on this dentry. It and the directories above it stay in the cache from now
    /// on, even where names are not cached, so that walks find the mount.
    pub(super) fn add_mount(self: &Arc<Self>) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
        let mut below = self.clone();
        while let Some(parent) = below.parent() {
            if parent.caching != Caching::Stable {
                below.mounts.fetch_add(u32::from(!Arc::ptr_eq(&below, self)), Ordering::AcqRel);
            }
            parent.children.write().entries.insert(below.name(), Some(below.clone()));
            below = parent;
        }
    }

    /// Notes that a mount on this dentry is gone.
    pub(super) fn remove_mount(self: &Arc<Self>) {
        self.mounts.fetch_sub(1, Ordering::AcqRel);
        let mut below = self.clone();
        while let Some(parent) = below.parent() {
            if parent.caching != Caching::Stable {
                below.mounts.fetch_sub(u32::from(!Arc::ptr_eq(&below, self)), Ordering::AcqRel);
            }
            below = parent;
        }
    }

    /// Drops the entry `name` from the cache unless it is in use. True if it is gone.
    pub(super) fn drop_unused(&self, name: &[u8]) -> bool {
        let mut children = self.children.write();
        if let Some(Some(child)) = children.entries.get(name) {
            let wanted = child.used.swap(false, Ordering::Relaxed);
            if wanted || child.is_mount_point() || Arc::strong_count(child) > 1 {
                return false;
            }
        }
        let gone = children.entries.remove(name);
        drop(children);
        drop(gone);
        true
    }

    /// Drops everything cached below this dentry; for a file system that goes away.
    pub fn forget_descendants(&self) {
        let mut pending: Vec<Arc<Self>> = Vec::new();
        pending.extend(self.take_children());
        while let Some(dentry) = pending.pop() {
            pending.extend(dentry.take_children());
        }
    }

    fn take_children(&self) -> Vec<Arc<Self>> {
        let mut children = self.children.write();
        children.generation += 1;
        children.entries.drain().filter_map(|(_, child)| child).collect()
    }
}

/// The directory changed while it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleAnswer;

/// A dentry's place in the queue of candidates to drop.
pub(super) struct Slot {
    pub directory: Weak<Dentry>,
    pub name: Name,
}
