//! Extended attributes (xattr(7)): who may see and set which.

use alloc::vec::Vec;

use crate::{
    errno::{Errno, Result},
    fs::inotify::Events,
    kernel::Capabilities,
    vfs::{AccessMode, Attributes, FileKind, Path, WalkContext, XattrMode, permission},
};

/// Longest name in bytes (XATTR_NAME_MAX).
const NAME_LIMIT: usize = 255;
/// Largest value in bytes (XATTR_SIZE_MAX).
pub const VALUE_LIMIT: usize = 65536;

/// getxattr(2).
///
/// # Errors
/// As getxattr(2), except ERANGE.
pub async fn read_xattr(context: &WalkContext<'_>, path: &Path, name: &[u8]) -> Result<Vec<u8>> {
    check_name(name)?;
    let attributes = path.inode().attributes().await?;
    check_right(context, &attributes, name, AccessMode::READ)?;
    path.inode().xattr(name).await
}

/// setxattr(2).
///
/// # Errors
/// As setxattr(2).
pub async fn set_xattr(
    context: &WalkContext<'_>,
    path: &Path,
    name: &[u8],
    value: &[u8],
    mode: XattrMode,
) -> Result<()> {
    check_name(name)?;
    if value.len() > VALUE_LIMIT {
        return Err(Errno::E2BIG);
    }
    path.mount.check_writable()?;
    let attributes = path.inode().attributes().await?;
    check_right(context, &attributes, name, AccessMode::WRITE)?;
    path.inode().set_xattr(name, value, mode).await?;
    context.caller.kernel.vfs.watches.tell(&path.dentry, Events::ATTRIB);
    Ok(())
}

/// listxattr(2): the names the caller may see.
///
/// # Errors
/// As listxattr(2), except ERANGE.
pub async fn list_xattrs(context: &WalkContext<'_>, path: &Path) -> Result<Vec<Vec<u8>>> {
    let mut names = path.inode().xattr_names().await?;
    if !context.caller.credentials.has(Capabilities::SYS_ADMIN) {
        names.retain(|name| !name.starts_with(b"trusted."));
    }
    Ok(names)
}

/// removexattr(2).
///
/// # Errors
/// As removexattr(2).
pub async fn remove_xattr(context: &WalkContext<'_>, path: &Path, name: &[u8]) -> Result<()> {
    check_name(name)?;
    path.mount.check_writable()?;
    let attributes = path.inode().attributes().await?;
    check_right(context, &attributes, name, AccessMode::WRITE)?;
    path.inode().remove_xattr(name).await?;
    context.caller.kernel.vfs.watches.tell(&path.dentry, Events::ATTRIB);
    Ok(())
}

fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > NAME_LIMIT {
        return Err(Errno::ERANGE);
    }
    let known = [&b"user."[..], b"trusted.", b"security."];
    if !known.iter().any(|prefix| name.len() > prefix.len() && name.starts_with(prefix)) {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok(())
}

/// Whether the caller may read or write attributes of the class of `name`.
fn check_right(
    context: &WalkContext<'_>,
    file: &Attributes,
    name: &[u8],
    wanted: AccessMode,
) -> Result<()> {
    let credentials = context.caller.credentials;
    let writes = wanted == AccessMode::WRITE;
    if name.starts_with(b"user.") {
        if !matches!(file.kind, FileKind::Regular | FileKind::Directory) {
            return Err(if writes { Errno::EPERM } else { Errno::ENODATA });
        }
        let sticky = file.kind == FileKind::Directory && file.permissions & permission::STICKY != 0;
        if writes && sticky && !permission::is_owner(credentials, file) {
            return Err(Errno::EPERM);
        }
        return permission::check(credentials, file, wanted);
    }
    let needed = if name == b"security.capability" {
        Capabilities::SETFCAP
    } else {
        Capabilities::SYS_ADMIN
    };
    match (credentials.has(needed), writes) {
        (true, _) => Ok(()),
        (false, true) => Err(Errno::EPERM),
        (false, false) if name.starts_with(b"trusted.") => Err(Errno::ENODATA),
        (false, false) => Ok(()),
    }
}
