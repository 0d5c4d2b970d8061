//! Removed names: unlink(2), rmdir(2).

use super::{check_changeable, check_removable};
use crate::{
    errno::{Errno, Result},
    fs::inotify::Events,
    vfs::{FileKind, Last, Path, WalkContext, WalkFlags, lookup_child, walk_parent},
};

/// unlink(2).
///
/// # Errors
/// As unlink(2).
pub async fn unlink(context: &WalkContext<'_>, start: &Path, name: &[u8]) -> Result<()> {
    let (directory, last) = walk_parent(context, start, name, WalkFlags::empty()).await?;
    let Last::Name { name, directory: need_directory } = last else {
        return Err(Errno::EISDIR);
    };
    let dentry = &directory.dentry;
    let _changes = dentry.changes.lock().await;
    let victim = lookup_child(dentry, &name).await?;
    let attributes = check_changeable(context, &directory).await?;
    if victim.inode.kind() == FileKind::Directory {
        return Err(Errno::EISDIR);
    }
    if need_directory {
        return Err(Errno::ENOTDIR);
    }
    check_removable(context, &attributes, &victim).await?;
    let watches = &context.caller.kernel.vfs.watches;
    let is_last = !watches.is_empty() && victim.inode.attributes().await?.links <= 1;
    dentry.inode.unlink(&name, &victim.inode).await?;
    dentry.remove(&victim);
    watches.tell_unlinked(&victim, is_last);
    watches.tell_entry(dentry, &name, Events::DELETE, false);
    Ok(())
}

/// rmdir(2).
///
/// # Errors
/// As rmdir(2).
pub async fn remove_directory(context: &WalkContext<'_>, start: &Path, name: &[u8]) -> Result<()> {
    let (directory, last) = walk_parent(context, start, name, WalkFlags::empty()).await?;
    let name = match last {
        Last::Name { name, .. } => name,
        Last::Dot => return Err(Errno::EINVAL),
        Last::DotDot => return Err(Errno::ENOTEMPTY),
        Last::Root => return Err(Errno::EBUSY),
    };
    let dentry = &directory.dentry;
    let _changes = dentry.changes.lock().await;
    let victim = lookup_child(dentry, &name).await?;
    let attributes = check_changeable(context, &directory).await?;
    if victim.inode.kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    check_removable(context, &attributes, &victim).await?;
    // Held so that nothing is made in it between the file system's check and the new dentry state.
    let _victim_changes = victim.changes.lock().await;
    dentry.inode.remove_directory(&name, &victim.inode).await?;
    dentry.remove(&victim);
    victim.forget_descendants();
    let watches = &context.caller.kernel.vfs.watches;
    watches.tell_unlinked(&victim, true);
    watches.tell_entry(dentry, &name, Events::DELETE, true);
    Ok(())
}
