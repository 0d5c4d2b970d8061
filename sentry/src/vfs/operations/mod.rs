//! What system calls, execve(2) and the boot do with names and inodes, permission checks included.
//!
//! Every operation takes a [`super::WalkContext`]: on whose behalf it acts. Changes of a directory
//! run under its `changes` lock, from the look-up of the name to the new dentry, so that two tasks
//! never both create, move or remove one name.

mod attributes;
mod create;
mod extended;
mod open;
mod remove;
mod rename;

pub(crate) use attributes::set_size;
pub use attributes::{TimeChange, change_mode, change_owner, check_access, set_times, truncate};
pub use create::{create_node, link, make_directory, make_symbolic_link};
pub use extended::{
    VALUE_LIMIT as XATTR_VALUE_LIMIT, list_xattrs, read_xattr, remove_xattr, set_xattr,
};
pub(crate) use open::status_flags;
pub use open::{OpenRequest, Opened, open, open_path, open_regular};
pub use remove::{remove_directory, unlink};
pub use rename::rename;

use alloc::{sync::Arc, vec::Vec};

use super::{AccessMode, Attributes, Dentry, Path, WalkContext, lookup_child, permission};
use crate::errno::{Errno, Result};

/// Checks that entries of `directory` may be made and removed; answers its attributes.
async fn check_changeable(context: &WalkContext<'_>, directory: &Path) -> Result<Attributes> {
    directory.mount.check_writable()?;
    let attributes = directory.inode().attributes().await?;
    let wanted = AccessMode::WRITE | AccessMode::EXECUTE;
    permission::check(context.caller.credentials, &attributes, wanted)?;
    Ok(attributes)
}

/// Checks that `victim` may be removed from or moved out of `directory`.
async fn check_removable(
    context: &WalkContext<'_>,
    directory: &Attributes,
    victim: &Arc<Dentry>,
) -> Result<()> {
    let attributes = victim.inode.attributes().await?;
    permission::check_sticky(context.caller.credentials, directory, &attributes)?;
    if victim.is_mount_point() {
        return Err(Errno::EBUSY);
    }
    Ok(())
}

/// The dentry called `name`, or `None` if there is none.
async fn lookup_optional(directory: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Dentry>>> {
    match lookup_child(directory, name).await {
        Ok(child) => Ok(Some(child)),
        Err(Errno::ENOENT) if !directory.is_removed() => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The target of the symbolic link at `path`, or the text of a magic link (readlink(2)).
///
/// # Errors
/// EINVAL if it is none, and what the file system says.
pub async fn read_link(context: &WalkContext<'_>, path: &Path) -> Result<Vec<u8>> {
    match path.dentry.link_target() {
        Some(target) => Ok(target.to_vec()),
        None => path.inode().read_link(context.caller).await,
    }
}
