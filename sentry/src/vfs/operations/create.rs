//! New names: mkdir(2), mknod(2), symlink(2), link(2).

use alloc::{sync::Arc, vec::Vec};

use super::{check_changeable, lookup_optional};
use crate::{
    errno::{Errno, Result},
    fs::inotify::Events,
    kernel::Capabilities,
    vfs::{
        Dentry, FileKind, Last, NewInode, NewNode, Path, WalkContext, WalkFlags, permission,
        walk_parent,
    },
};

/// Outcome of [`create_child`].
pub(super) enum Created {
    /// It was made.
    New(Arc<Dentry>),
    /// The name is taken.
    Exists,
}

/// Makes `name` in `directory` unless it exists.
pub(super) async fn create_child(
    context: &WalkContext<'_>,
    directory: &Path,
    name: &[u8],
    node: NewNode,
    permissions: u16,
) -> Result<Created> {
    let dentry = &directory.dentry;
    let _changes = dentry.changes.lock().await;
    if lookup_optional(dentry, name).await?.is_some() {
        return Ok(Created::Exists);
    }
    let parent = check_changeable(context, directory).await?;
    let new = new_inode(context, &parent, node, permissions);
    let inode = dentry.inode.create(name, new).await?;
    let is_directory = inode.kind() == FileKind::Directory;
    let child = dentry.add(name, inode);
    context.caller.kernel.vfs.watches.tell_entry(dentry, name, Events::CREATE, is_directory);
    Ok(Created::New(child))
}

/// The identity of a new inode in a directory with attributes `parent`.
pub(super) fn new_inode(
    context: &WalkContext<'_>,
    parent: &crate::vfs::Attributes,
    node: NewNode,
    permissions: u16,
) -> NewInode {
    let permissions = match node {
        NewNode::SymbolicLink(_) => 0o777,
        _ => permissions & !context.umask,
    };
    let is_directory = matches!(node, NewNode::Directory);
    let credentials = context.caller.credentials;
    let (uid, gid, permissions) =
        permission::of_new_file(credentials, parent, is_directory, permissions);
    NewInode { node, permissions, uid, gid }
}

/// Directory and name that a new entry is to have.
async fn new_place(
    context: &WalkContext<'_>,
    start: &Path,
    name: &[u8],
    may_end_in_slash: bool,
) -> Result<(Path, Vec<u8>)> {
    let (directory, last) = walk_parent(context, start, name, WalkFlags::empty()).await?;
    match last {
        Last::Name { name, directory: true } if !may_end_in_slash => {
            match lookup_optional(&directory.dentry, &name).await? {
                Some(_) => Err(Errno::EEXIST),
                None => Err(Errno::ENOENT),
            }
        }
        Last::Name { name, .. } => Ok((directory, name)),
        Last::Dot | Last::DotDot | Last::Root => Err(Errno::EEXIST),
    }
}

async fn create_new(
    context: &WalkContext<'_>,
    directory: &Path,
    name: &[u8],
    node: NewNode,
    permissions: u16,
) -> Result<Path> {
    match create_child(context, directory, name, node, permissions).await? {
        Created::New(dentry) => Ok(Path { mount: directory.mount.clone(), dentry }),
        Created::Exists => Err(Errno::EEXIST),
    }
}

/// mkdir(2).
///
/// # Errors
/// As mkdir(2).
pub async fn make_directory(
    context: &WalkContext<'_>,
    start: &Path,
    name: &[u8],
    permissions: u16,
) -> Result<Path> {
    let (directory, name) = new_place(context, start, name, true).await?;
    let permissions = permissions & (0o777 | permission::STICKY);
    create_new(context, &directory, &name, NewNode::Directory, permissions).await
}

/// mknod(2): makes `node`, which is neither a directory nor a symbolic link.
///
/// # Errors
/// As mknod(2).
pub async fn create_node(
    context: &WalkContext<'_>,
    start: &Path,
    name: &[u8],
    node: NewNode,
    permissions: u16,
) -> Result<Path> {
    let (directory, name) = new_place(context, start, name, false).await?;
    let device = matches!(node, NewNode::CharacterDevice(_) | NewNode::BlockDevice(_));
    if device && !context.caller.credentials.has(Capabilities::MKNOD) {
        return Err(Errno::EPERM);
    }
    create_new(context, &directory, &name, node, permissions).await
}

/// symlink(2).
///
/// # Errors
/// As symlink(2).
pub async fn make_symbolic_link(
    context: &WalkContext<'_>,
    start: &Path,
    name: &[u8],
    target: &[u8],
) -> Result<Path> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    let (directory, name) = new_place(context, start, name, false).await?;
    create_new(context, &directory, &name, NewNode::SymbolicLink(target.to_vec()), 0o777).await
}

/// link(2): makes `name` another name of `target`.
///
/// # Errors
/// As link(2).
pub async fn link(
    context: &WalkContext<'_>,
    target: &Path,
    start: &Path,
    name: &[u8],
) -> Result<()> {
    let (directory, name) = new_place(context, start, name, false).await?;
    if !Arc::ptr_eq(&directory.mount, &target.mount) {
        return Err(Errno::EXDEV);
    }
    let dentry = &directory.dentry;
    let _changes = dentry.changes.lock().await;
    if lookup_optional(dentry, &name).await?.is_some() {
        return Err(Errno::EEXIST);
    }
    check_changeable(context, &directory).await?;
    if target.inode().kind() == FileKind::Directory {
        return Err(Errno::EPERM);
    }
    dentry.inode.link(&name, target.inode()).await?;
    dentry.add(&name, target.inode().clone());
    let watches = &context.caller.kernel.vfs.watches;
    watches.tell_unlinked(&target.dentry, false);
    watches.tell_entry(dentry, &name, Events::CREATE, false);
    Ok(())
}
