//! File descriptor tables.

use alloc::{sync::Arc, vec::Vec};

use spin::{Once, mutex::SpinMutex};

use super::{LockOwner, Locks, OpenFile, OpenFlags};
use crate::{
    errno::{Errno, Result},
    syscalls::FileDescriptor,
};

/// The most descriptors a process may have, whatever its limit (fs.nr_open).
pub const MAX_DESCRIPTORS: u64 = 1 << 20;

/// The descriptors that clone(2) CLONE_FILES shares. The lock is a leaf; files are dropped outside
/// it.
#[derive(Default)]
pub struct FdTable {
    slots: SpinMutex<Slots>,
    /// Where record locks of the process are to be given up.
    locks: Once<Arc<Locks>>,
}

#[derive(Clone, Default)]
struct Slots {
    entries: Vec<Option<Entry>>,
    /// No slot below this is free.
    lowest_free: usize,
}

#[derive(Clone)]
struct Entry {
    file: Arc<OpenFile>,
    close_on_exec: bool,
}

impl FdTable {
    /// An empty table.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A table of its own with the same descriptors.
    pub fn duplicate(&self) -> Arc<Self> {
        let slots = self.slots.lock().clone();
        Arc::new(Self { slots: SpinMutex::new(slots), locks: Once::new() })
    }

    /// The file behind `descriptor`, for calls that use its contents.
    ///
    /// # Errors
    /// EBADF if it is not open, or open only as a place (O_PATH).
    #[inline]
    pub fn get(&self, descriptor: FileDescriptor) -> Result<Arc<OpenFile>> {
        let file = self.get_any(descriptor)?;
        if file.flags().contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        Ok(file)
    }

    /// The file behind `descriptor`, also if open only as a place (O_PATH).
    ///
    /// # Errors
    /// EBADF if it is not open.
    #[inline]
    pub fn get_any(&self, descriptor: FileDescriptor) -> Result<Arc<OpenFile>> {
        let slots = self.slots.lock();
        slots.entry(descriptor).map(|entry| entry.file.clone()).ok_or(Errno::EBADF)
    }

    /// Installs `file` at the lowest free descriptor.
    ///
    /// # Errors
    /// EMFILE if that would not be below `limit` (RLIMIT_NOFILE).
    pub fn install(
        &self,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        limit: u64,
    ) -> Result<FileDescriptor> {
        self.install_from(FileDescriptor(0), file, close_on_exec, limit)
    }

    /// Installs `file` at the lowest free descriptor from `minimum` on (fcntl(2) F_DUPFD).
    ///
    /// # Errors
    /// EMFILE if that would not be below `limit`; EINVAL if `minimum` is not.
    pub fn install_from(
        &self,
        minimum: FileDescriptor,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        limit: u64,
    ) -> Result<FileDescriptor> {
        let limit = usize::try_from(limit.min(MAX_DESCRIPTORS)).map_err(|_| Errno::EINVAL)?;
        let minimum = usize::try_from(minimum.0).map_err(|_| Errno::EINVAL)?;
        if minimum >= limit && minimum > 0 {
            return Err(Errno::EINVAL);
        }
        let mut slots = self.slots.lock();
        let index = slots.first_free(minimum);
        if index >= limit {
            return Err(Errno::EMFILE);
        }
        slots.put(index, Entry { file, close_on_exec });
        descriptor(index)
    }

    /// Installs `file` at `descriptor` and returns what it replaced (dup2(2)).
    ///
    /// # Errors
    /// EBADF if `descriptor` is not below `limit`.
    pub fn install_at(
        &self,
        descriptor: FileDescriptor,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        limit: u64,
    ) -> Result<Option<Arc<OpenFile>>> {
        let index = usize::try_from(descriptor.0).map_err(|_| Errno::EBADF)?;
        if u64::from(descriptor.0.unsigned_abs()) >= limit.min(MAX_DESCRIPTORS) {
            return Err(Errno::EBADF);
        }
        let old = self.slots.lock().put(index, Entry { file, close_on_exec });
        Ok(old.map(|entry| self.closed(entry.file)))
    }

    /// Closes `descriptor` and returns the file, which the caller drops.
    ///
    /// # Errors
    /// EBADF if it is not open.
    pub fn close(&self, descriptor: FileDescriptor) -> Result<Arc<OpenFile>> {
        let index = usize::try_from(descriptor.0).map_err(|_| Errno::EBADF)?;
        let entry = self.slots.lock().take(index).ok_or(Errno::EBADF)?;
        Ok(self.closed(entry.file))
    }

    /// Closes every descriptor from `first` to `last` and returns the files.
    pub fn close_range(&self, first: u32, last: u32) -> Vec<Arc<OpenFile>> {
        let in_range = |index: usize, _: &Entry| (first as usize..=last as usize).contains(&index);
        self.take_where(in_range)
    }

    /// Sets close-on-exec on every descriptor from `first` to `last`.
    pub fn set_close_on_exec_range(&self, first: u32, last: u32) {
        let mut slots = self.slots.lock();
        let skipped = slots.entries.iter_mut().enumerate().skip(first as usize);
        skipped
            .take_while(|(index, _)| *index <= last as usize)
            .filter_map(|(_, entry)| entry.as_mut())
            .for_each(|entry| entry.close_on_exec = true);
    }

    /// Closes what execve(2) closes and returns the files.
    pub fn close_on_exec(&self) -> Vec<Arc<OpenFile>> {
        self.take_where(|_, entry| entry.close_on_exec)
    }

    /// Closes everything and returns the files.
    pub fn close_all(&self) -> Vec<Arc<OpenFile>> {
        self.take_where(|_, _| true)
    }

    /// Whether `descriptor` is closed by execve(2).
    ///
    /// # Errors
    /// EBADF if it is not open.
    pub fn is_close_on_exec(&self, descriptor: FileDescriptor) -> Result<bool> {
        let slots = self.slots.lock();
        slots.entry(descriptor).map(|entry| entry.close_on_exec).ok_or(Errno::EBADF)
    }

    /// Sets whether `descriptor` is closed by execve(2).
    ///
    /// # Errors
    /// EBADF if it is not open.
    pub fn set_close_on_exec(&self, descriptor: FileDescriptor, value: bool) -> Result<()> {
        let index = usize::try_from(descriptor.0).map_err(|_| Errno::EBADF)?;
        let mut slots = self.slots.lock();
        let entry = slots.entries.get_mut(index).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
        entry.close_on_exec = value;
        Ok(())
    }

    /// The open descriptors, ascending (/proc/PID/fd).
    pub fn descriptors(&self) -> Vec<FileDescriptor> {
        let slots = self.slots.lock();
        let open = slots.entries.iter().enumerate().filter(|(_, entry)| entry.is_some());
        open.filter_map(|(index, _)| descriptor(index).ok()).collect()
    }

    fn take_where(&self, mut chosen: impl FnMut(usize, &Entry) -> bool) -> Vec<Arc<OpenFile>> {
        let mut slots = self.slots.lock();
        let mut taken = Vec::new();
        for index in 0..slots.entries.len() {
            let wanted = slots.entries.get(index).and_then(Option::as_ref);
            if wanted.is_some_and(|entry| chosen(index, entry)) {
                taken.extend(slots.take(index).map(|entry| entry.file));
            }
        }
        drop(slots);
        taken.iter().for_each(|file| self.release_locks(file));
        taken
    }

    /// It as the owner of locks.
    pub fn lock_owner(&self) -> LockOwner {
        LockOwner::Process(core::ptr::from_ref(self).addr())
    }

    /// Notes that the process may come to hold record locks.
    pub fn note_locks(&self, locks: &Arc<Locks>) {
        self.locks.call_once(|| locks.clone());
    }

    /// Gives up the record locks on a file of which a descriptor was closed: the process loses
    /// them even if it has others (fcntl_locking(2)).
    fn release_locks(&self, file: &OpenFile) {
        let Some(locks) = self.locks.get() else { return };
        let attributes = || file.path.as_ref()?.inode().cached_attributes();
        let key = file.locked().or_else(|| attributes().map(|attributes| attributes.key()));
        if let Some(key) = key {
            locks.release(key, self.lock_owner());
        }
    }

    fn closed(&self, file: Arc<OpenFile>) -> Arc<OpenFile> {
        self.release_locks(&file);
        file
    }
}

impl Drop for FdTable {
    fn drop(&mut self) {
        drop(self.close_all());
    }
}

impl Slots {
    #[inline]
    fn entry(&self, descriptor: FileDescriptor) -> Option<&Entry> {
        self.entries.get(usize::try_from(descriptor.0).ok()?)?.as_ref()
    }

    fn first_free(&mut self, minimum: usize) -> usize {
        let start = minimum.max(self.lowest_free);
        let free = self.entries.iter().skip(start).position(Option::is_none);
        let index = free.map_or(self.entries.len().max(start), |offset| start + offset);
        if minimum <= self.lowest_free {
            self.lowest_free = index;
        }
        index
    }

    fn put(&mut self, index: usize, entry: Entry) -> Option<Entry> {
        if index >= self.entries.len() {
            self.entries.resize(index + 1, None);
        }
        self.entries.get_mut(index)?.replace(entry)
    }

    fn take(&mut self, index: usize) -> Option<Entry> {
        let entry = self.entries.get_mut(index)?.take()?;
        self.lowest_free = self.lowest_free.min(index);
        Some(entry)
    }
}

fn descriptor(index: usize) -> Result<FileDescriptor> {
    i32::try_from(index).map(FileDescriptor).map_err(|_| Errno::EMFILE)
}
