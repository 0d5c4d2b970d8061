//! Changed attributes: chmod(2), chown(2), utimensat(2), truncate(2), and access(2).

use crate::{
    errno::{Errno, Result},
    fs::inotify::Events,
    vfs::{
        AccessMode, AttributeChange, Attributes, FileKind, MountFlags, Path, Timestamp,
        WalkContext, permission,
    },
};

/// What becomes of a timestamp (utimensat(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeChange {
    /// It stays (UTIME_OMIT).
    Keep,
    /// The present (UTIME_NOW).
    Now,
    /// This.
    At(Timestamp),
}

/// Checks that `wanted` may be done with `path` (access(2)).
///
/// # Errors
/// EACCES, EROFS.
pub async fn check_access(
    context: &WalkContext<'_>,
    path: &Path,
    wanted: AccessMode,
) -> Result<Attributes> {
    let attributes = path.inode().attributes().await?;
    let flags = path.mount.flags();
    let regular = attributes.kind == FileKind::Regular;
    if wanted.contains(AccessMode::EXECUTE) && regular && flags.contains(MountFlags::NO_EXECUTE) {
        return Err(Errno::EACCES);
    }
    permission::check(context.caller.credentials, &attributes, wanted)?;
    let special = matches!(
        attributes.kind,
        FileKind::Fifo | FileKind::Socket | FileKind::CharacterDevice | FileKind::BlockDevice
    );
    if wanted.contains(AccessMode::WRITE) && !special {
        path.mount.check_writable()?;
    }
    Ok(attributes)
}

/// chmod(2).
///
/// # Errors
/// EPERM, EROFS, EOPNOTSUPP for a symbolic link.
pub async fn change_mode(context: &WalkContext<'_>, path: &Path, permissions: u16) -> Result<()> {
    path.mount.check_writable()?;
    let attributes = path.inode().attributes().await?;
    if attributes.kind == FileKind::SymbolicLink {
        return Err(Errno::EOPNOTSUPP);
    }
    let credentials = context.caller.credentials;
    let permissions = permission::of_chmod(credentials, &attributes, permissions & 0o7777)?;
    let change = AttributeChange { permissions: Some(permissions), ..Default::default() };
    set(context, path, change).await
}

/// chown(2); what is `None` stays.
///
/// # Errors
/// EPERM, EROFS.
pub async fn change_owner(
    context: &WalkContext<'_>,
    path: &Path,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<()> {
    path.mount.check_writable()?;
    let attributes = path.inode().attributes().await?;
    let change = permission::of_chown(context.caller.credentials, &attributes, uid, gid)?;
    set(context, path, change).await
}

/// utimensat(2): sets the times of last access and modification.
///
/// # Errors
/// EACCES, EPERM, EROFS.
pub async fn set_times(
    context: &WalkContext<'_>,
    path: &Path,
    accessed: TimeChange,
    modified: TimeChange,
) -> Result<()> {
    if (accessed, modified) == (TimeChange::Keep, TimeChange::Keep) {
        return Ok(());
    }
    path.mount.check_writable()?;
    let attributes = path.inode().attributes().await?;
    let credentials = context.caller.credentials;
    if !permission::is_owner(credentials, &attributes) {
        if (accessed, modified) != (TimeChange::Now, TimeChange::Now) {
            return Err(Errno::EPERM);
        }
        permission::check(credentials, &attributes, AccessMode::WRITE)?;
    }
    let now = context.caller.kernel.platform.realtime_nanoseconds();
    let time = |change| match change {
        TimeChange::Keep => None,
        TimeChange::Now => Some(Timestamp::from_nanoseconds(now)),
        TimeChange::At(time) => Some(time),
    };
    let change = AttributeChange {
        accessed: time(accessed),
        modified: time(modified),
        ..Default::default()
    };
    set(context, path, change).await
}

/// truncate(2).
///
/// # Errors
/// EACCES, EISDIR, EINVAL, EROFS, and what the file system says.
pub async fn truncate(context: &WalkContext<'_>, path: &Path, size: u64) -> Result<()> {
    match path.inode().kind() {
        FileKind::Regular => {}
        FileKind::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    let attributes = check_access(context, path, AccessMode::WRITE).await?;
    set_size(context, path, &attributes, size).await
}

/// Sets the size of a file whose write permission has been checked; the set-id bits go.
pub(crate) async fn set_size(
    context: &WalkContext<'_>,
    path: &Path,
    attributes: &Attributes,
    size: u64,
) -> Result<()> {
    let now = context.caller.kernel.platform.realtime_nanoseconds();
    let change = AttributeChange {
        size: Some(size),
        permissions: permission::without_set_id(attributes.permissions),
        modified: Some(Timestamp::from_nanoseconds(now)),
        ..Default::default()
    };
    set(context, path, change).await
}

async fn set(context: &WalkContext<'_>, path: &Path, change: AttributeChange) -> Result<()> {
    let events = if change.size.is_some() { Events::MODIFY } else { Events::ATTRIB };
    path.inode().set_attributes(change).await?;
    context.caller.kernel.vfs.watches.tell(&path.dentry, events);
    Ok(())
}
