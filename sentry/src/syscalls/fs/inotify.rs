//! inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2).

use alloc::sync::Arc;

use super::{AT_FDCWD, AT_SYMLINK_NOFOLLOW, Names, place};
use crate::{
    errno::{Errno, Result},
    fs::inotify::{Events, Inotify},
    kernel::Current,
    mm::UserAddress,
    syscalls::{
        FileDescriptor, SyscallResult,
        ipc::{NewDescriptor, answer},
    },
    vfs::{AccessMode, FileKind, OpenFile, OpenFlags, operations},
};

/// inotify_init(2).
///
/// # Errors
/// As inotify_init(2).
pub fn inotify_init(current: &mut Current) -> SyscallResult {
    inotify_init1(current, 0)
}

/// inotify_init1(2).
///
/// # Errors
/// As inotify_init1(2).
pub fn inotify_init1(current: &mut Current, flags: u32) -> SyscallResult {
    let new = NewDescriptor::new(flags, 0)?.with_access(OpenFlags::empty());
    let instance = Inotify::new(&current.kernel.vfs.watches, current.credentials().uid)?;
    answer(new.install(current, instance)?)
}

/// inotify_add_watch(2).
///
/// # Errors
/// As inotify_add_watch(2).
pub async fn inotify_add_watch(
    current: &mut Current,
    descriptor: FileDescriptor,
    name: UserAddress,
    mask: u32,
) -> SyscallResult {
    let events = Events::from_bits_truncate(mask);
    if !events.intersects(Events::WATCHABLE)
        || events.contains(Events::MASK_ADD | Events::MASK_CREATE)
    {
        return Err(Errno::EINVAL);
    }
    let open = current.files.get(descriptor)?;
    let instance = instance(&open)?;
    let names = Names::new(current);
    let dont_follow = events.contains(Events::DONT_FOLLOW);
    let flags = if dont_follow { AT_SYMLINK_NOFOLLOW } else { 0 };
    let path = place(current, &names, FileDescriptor(AT_FDCWD), name, flags).await?;
    if events.contains(Events::ONLY_DIRECTORY) && path.inode().kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    operations::check_access(&names.context(current), &path, AccessMode::READ).await?;
    Ok(u64::from(instance.watch(&path, events)?.unsigned_abs()))
}

/// inotify_rm_watch(2).
///
/// # Errors
/// As inotify_rm_watch(2).
pub fn inotify_rm_watch(
    current: &mut Current,
    descriptor: FileDescriptor,
    watch: i32,
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    if instance(&open)?.forget(watch) { Ok(0) } else { Err(Errno::EINVAL) }
}

fn instance(open: &Arc<OpenFile>) -> Result<&Inotify> {
    open.downcast().ok_or(Errno::EINVAL)
}
