//! Moved names: rename(2), renameat2(2).

use alloc::{sync::Arc, vec::Vec};

use super::{check_changeable, check_removable, lookup_optional};
use crate::{
    errno::{Errno, Result},
    fs::inotify::Move,
    vfs::{
        AccessMode, Dentry, FileKind, Last, Path, RenameMode, SleepGuard, WalkContext, WalkFlags,
        lookup_child, permission, walk_parent,
    },
};

/// One side of a rename: the directory, the name in it, and whether a slash follows.
struct Side {
    directory: Path,
    name: Vec<u8>,
    slash: bool,
}

/// Locks that keep both directories as they are.
struct Locks<'a> {
    _moves: Option<SleepGuard<'a>>,
    _first: SleepGuard<'a>,
    _second: Option<SleepGuard<'a>>,
}

/// renameat2(2): moves `old` (from `old_start`) to `new` (from `new_start`).
///
/// # Errors
/// As renameat2(2).
pub async fn rename(
    context: &WalkContext<'_>,
    (old_start, old): (&Path, &[u8]),
    (new_start, new): (&Path, &[u8]),
    mode: RenameMode,
) -> Result<()> {
    let old = side(context, old_start, old).await?;
    let new = side(context, new_start, new).await?;
    if !Arc::ptr_eq(&old.directory.mount, &new.directory.mount) {
        return Err(Errno::EXDEV);
    }
    let (from, to) = (&old.directory.dentry, &new.directory.dentry);
    let _locks = lock_both(from, to).await;
    let source = lookup_child(from, &old.name).await?;
    let target = lookup_optional(to, &new.name).await?;
    check_shape(&source, target.as_ref(), &old, &new, mode)?;
    if target.as_ref().is_some_and(|target| Arc::ptr_eq(&target.inode, &source.inode)) {
        return Ok(());
    }
    check_rights(context, &source, target.as_ref(), &old, &new).await?;
    // Nothing is made in a directory while it is replaced.
    let replaced = target
        .as_ref()
        .filter(|target| mode == RenameMode::Replace && target.inode.kind() == FileKind::Directory);
    let _replaced_changes = match replaced {
        Some(directory) => Some(directory.changes.lock().await),
        None => None,
    };
    let watches = &context.caller.kernel.vfs.watches;
    let replaces_last = match &target {
        Some(target) if !watches.is_empty() => is_last_name(target).await?,
        _ => false,
    };
    from.inode.rename(&old.name, &to.inode, &new.name, mode).await?;
    let ends = [(from, &*old.name), (to, &*new.name)];
    watches.tell_moved(&Move { from: ends[0], to: ends[1], moved: &source });
    match &target {
        Some(target) if mode == RenameMode::Exchange => {
            Dentry::exchange(&source, target);
            watches.tell_moved(&Move { from: ends[1], to: ends[0], moved: target });
        }
        target => {
            from.rename(&source, to, &new.name);
            if let Some(target) = target {
                watches.tell_unlinked(target, replaces_last);
            }
        }
    }
    if let Some(directory) = replaced {
        directory.forget_descendants();
    }
    Ok(())
}

/// Whether the file is gone when this name of it is.
async fn is_last_name(dentry: &Arc<Dentry>) -> Result<bool> {
    let attributes = dentry.inode.attributes().await?;
    Ok(attributes.kind == FileKind::Directory || attributes.links <= 1)
}

async fn side(context: &WalkContext<'_>, start: &Path, name: &[u8]) -> Result<Side> {
    let (directory, last) = walk_parent(context, start, name, WalkFlags::empty()).await?;
    match last {
        Last::Name { name, directory: slash } => Ok(Side { directory, name, slash }),
        Last::Dot | Last::DotDot | Last::Root => Err(Errno::EBUSY),
    }
}

/// Locks two directories; if they differ, after the lock that keeps the shape of the tree. An
/// ancestor comes before its descendant, as where a directory is removed; the others may come in
/// any order because nobody else holds two such locks (Linux,
/// Documentation/filesystems/directory-locking.rst).
async fn lock_both<'a>(one: &'a Arc<Dentry>, other: &'a Arc<Dentry>) -> Locks<'a> {
    if Arc::ptr_eq(one, other) {
        return Locks { _moves: None, _first: one.changes.lock().await, _second: None };
    }
    let moves = one.cache().directory_moves.lock().await;
    let (first, second) = if one.is_within(other) { (other, one) } else { (one, other) };
    Locks {
        _moves: Some(moves),
        _first: first.changes.lock().await,
        _second: Some(second.changes.lock().await),
    }
}

/// Checks what the two ends are, whoever asks.
fn check_shape(
    source: &Arc<Dentry>,
    target: Option<&Arc<Dentry>>,
    old: &Side,
    new: &Side,
    mode: RenameMode,
) -> Result<()> {
    let is_directory = |dentry: &Arc<Dentry>| dentry.inode.kind() == FileKind::Directory;
    match (mode, target) {
        (RenameMode::NoReplace, Some(_)) => return Err(Errno::EEXIST),
        (RenameMode::Exchange, None) => return Err(Errno::ENOENT),
        _ => {}
    }
    if new.directory.dentry.is_within(source) {
        return Err(Errno::EINVAL);
    }
    if target.is_some_and(|target| old.directory.dentry.is_within(target)) {
        let exchange = mode == RenameMode::Exchange;
        return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    if !is_directory(source) && (old.slash || new.slash && mode != RenameMode::Exchange) {
        return Err(Errno::ENOTDIR);
    }
    match target {
        Some(target) if mode == RenameMode::Exchange => {
            if new.slash && !is_directory(target) {
                Err(Errno::ENOTDIR)
            } else {
                Ok(())
            }
        }
        Some(target) if is_directory(source) && !is_directory(target) => Err(Errno::ENOTDIR),
        Some(target) if !is_directory(source) && is_directory(target) => Err(Errno::EISDIR),
        _ => Ok(()),
    }
}

async fn check_rights(
    context: &WalkContext<'_>,
    source: &Arc<Dentry>,
    target: Option<&Arc<Dentry>>,
    old: &Side,
    new: &Side,
) -> Result<()> {
    let from = check_changeable(context, &old.directory).await?;
    let to = check_changeable(context, &new.directory).await?;
    check_removable(context, &from, source).await?;
    if let Some(target) = target {
        check_removable(context, &to, target).await?;
    }
    // A directory that changes its parent has its `..` rewritten.
    if source.inode.kind() == FileKind::Directory
        && !Arc::ptr_eq(&old.directory.dentry, &new.directory.dentry)
    {
        let attributes = source.inode.attributes().await?;
        permission::check(context.caller.credentials, &attributes, AccessMode::WRITE)?;
    }
    Ok(())
}
