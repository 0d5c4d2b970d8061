//! open(2).

use alloc::{boxed::Box, format, sync::Arc};

use super::{
    attributes::{check_access, set_size},
    create::{Created, create_child, new_inode},
};
use crate::{
    errno::{Errno, Result},
    fs::dev::open_device,
    vfs::{
        AccessMode, Attributes, Dentry, File, FileKind, InodeKey, Last, MountFlags, NewNode,
        OpenFile, OpenFlags, Path, WalkContext, WalkFlags, anonymous::is_anonymous, lookup_child,
        permission, walk, walk::Walker,
    },
};

/// What is to be opened, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenRequest {
    /// Flags of open(2).
    pub flags: OpenFlags,
    /// Permission bits of a new file, before the umask.
    pub permissions: u16,
    /// Restrictions of openat2(2).
    pub resolve: WalkFlags,
}

/// Outcome of [`open`].
pub enum Opened {
    /// The file is open.
    File(Arc<OpenFile>),
    /// It is a FIFO: the caller opens it with `Kernel::fifos`, in a wait that signals end, and
    /// makes the description.
    Fifo {
        /// Which.
        key: InodeKey,
        /// Where.
        path: Path,
    },
}

/// An O_PATH description: a place, and nothing to do with its contents.
struct Place;

impl File for Place {}

/// Opens `name`, from `start`.
///
/// # Errors
/// As open(2).
pub async fn open(
    context: &WalkContext<'_>,
    start: &Path,
    name: &[u8],
    request: OpenRequest,
) -> Result<Opened> {
    let flags = request.flags;
    let mut how = request.resolve;
    how.set(WalkFlags::FOLLOW, !flags.contains(OpenFlags::NO_FOLLOW));
    how.set(WalkFlags::DIRECTORY, flags.contains(OpenFlags::DIRECTORY));
    if flags.contains(OpenFlags::PATH) {
        let path = walk(context, start, name, how).await?;
        return Ok(Opened::File(OpenFile::new(Arc::new(Place), Some(path), flags)));
    }
    if flags.contains(OpenFlags::TEMPORARY_FILE) {
        return Box::pin(open_temporary(context, start, name, request, how)).await;
    }
    if flags.contains(OpenFlags::CREATE) {
        return Box::pin(open_or_create(context, start, name, request)).await;
    }
    let path = walk(context, start, name, how).await?;
    open_path(context, path, flags).await
}

/// Opens a regular file, directory or device by name, for the kernel's own use (execve(2), boot).
///
/// # Errors
/// As open(2); EACCES for a FIFO.
pub async fn open_regular(
    context: &WalkContext<'_>,
    start: &Path,
    name: &[u8],
    flags: OpenFlags,
) -> Result<Arc<OpenFile>> {
    let request = OpenRequest { flags, ..OpenRequest::default() };
    match open(context, start, name, request).await? {
        Opened::File(file) => Ok(file),
        Opened::Fifo { .. } => Err(Errno::EACCES),
    }
}

async fn open_or_create(
    context: &WalkContext<'_>,
    start: &Path,
    name: &[u8],
    request: OpenRequest,
) -> Result<Opened> {
    let flags = request.flags;
    let mut walker = Walker::new(*context, start, name, request.resolve, true)?;
    loop {
        walker.run().await?;
        let (directory, last) = walker.parent();
        let Last::Name { name, directory: false } = last else { return Err(Errno::EISDIR) };
        let child = match lookup_child(&directory.dentry, &name).await {
            Ok(child) => child,
            Err(Errno::ENOENT) => {
                let node = NewNode::Regular;
                let permissions = request.permissions;
                match create_child(context, &directory, &name, node, permissions).await? {
                    Created::New(dentry) => {
                        let path = Path { mount: directory.mount, dentry };
                        return open_checked(context, path, flags).await;
                    }
                    Created::Exists => continue,
                }
            }
            Err(errno) => return Err(errno),
        };
        if flags.contains(OpenFlags::EXCLUSIVE) {
            return Err(Errno::EEXIST);
        }
        if child.inode.kind() != FileKind::SymbolicLink {
            let path = walker.child(child)?;
            return open_path(context, path, flags).await;
        }
        if flags.contains(OpenFlags::NO_FOLLOW) {
            return Err(Errno::ELOOP);
        }
        if let Some(path) = walker.read_last_link(&child).await? {
            return open_path(context, path, flags).await;
        }
    }
}

/// Makes and opens a file without a name (O_TMPFILE).
async fn open_temporary(
    context: &WalkContext<'_>,
    start: &Path,
    name: &[u8],
    request: OpenRequest,
    how: WalkFlags,
) -> Result<Opened> {
    let directory = walk(context, start, name, how | WalkFlags::DIRECTORY).await?;
    let attributes = super::check_changeable(context, &directory).await?;
    let new = new_inode(context, &attributes, NewNode::Regular, request.permissions);
    let inode = directory.inode().create_unnamed(new).await?;
    let name = format!("#{}", inode.attributes().await?.inode);
    let dentry = Dentry::unnamed(&directory.dentry, name.as_bytes(), inode);
    open_checked(context, Path { mount: directory.mount, dentry }, request.flags).await
}

/// Opens what a walk has found.
///
/// # Errors
/// As open(2).
pub async fn open_path(context: &WalkContext<'_>, path: Path, flags: OpenFlags) -> Result<Opened> {
    let kind = path.inode().kind();
    match kind {
        FileKind::SymbolicLink => return Err(Errno::ELOOP),
        FileKind::Directory if flags.writable() || flags.contains(OpenFlags::CREATE) => {
            return Err(Errno::EISDIR);
        }
        FileKind::CharacterDevice | FileKind::BlockDevice
            if path.mount.flags().contains(MountFlags::NO_DEVICES) =>
        {
            return Err(Errno::EACCES);
        }
        _ if kind != FileKind::Directory && flags.contains(OpenFlags::DIRECTORY) => {
            return Err(Errno::ENOTDIR);
        }
        _ => {}
    }
    let attributes = check_access(context, &path, wanted(flags)).await?;
    if flags.contains(OpenFlags::NO_ACCESS_TIME)
        && !permission::is_owner(context.caller.credentials, &attributes)
    {
        return Err(Errno::EPERM);
    }
    if flags.contains(OpenFlags::TRUNCATE) && kind == FileKind::Regular {
        set_size(context, &path, &attributes, 0).await?;
    }
    open_unchecked(context, path, flags, &attributes).await
}

/// What opening with `flags` does with a file.
fn wanted(flags: OpenFlags) -> AccessMode {
    let mut wanted = AccessMode::empty();
    wanted.set(AccessMode::READ, flags.readable());
    wanted.set(AccessMode::WRITE, flags.writable() || flags.contains(OpenFlags::TRUNCATE));
    wanted
}

/// Opens a file that was just made: its permissions do not bind its maker.
async fn open_checked(context: &WalkContext<'_>, path: Path, flags: OpenFlags) -> Result<Opened> {
    let attributes = path.inode().attributes().await?;
    open_unchecked(context, path, flags, &attributes).await
}

async fn open_unchecked(
    context: &WalkContext<'_>,
    path: Path,
    flags: OpenFlags,
    attributes: &Attributes,
) -> Result<Opened> {
    let file = match path.inode().clone().open(context.caller, flags).await {
        // A node that is a name for something elsewhere.
        Err(Errno::ENXIO) => match attributes.kind {
            FileKind::CharacterDevice => {
                open_device(context.caller, attributes.device_node, flags)?
            }
            FileKind::Fifo => return Ok(Opened::Fifo { key: attributes.key(), path }),
            _ => return Err(Errno::ENXIO),
        },
        outcome => outcome?,
    };
    let path = (!is_anonymous(&path)).then_some(path);
    let open = OpenFile::new(file, path, status_flags(flags));
    open.tell_opened(&context.caller.kernel.vfs.watches);
    Ok(Opened::File(open))
}

/// The flags that stay with the description (F_GETFL).
pub(crate) fn status_flags(flags: OpenFlags) -> OpenFlags {
    let transient = OpenFlags::CREATE
        | OpenFlags::EXCLUSIVE
        | OpenFlags::NO_CONTROLLING_TERMINAL
        | OpenFlags::TRUNCATE
        | OpenFlags::CLOSE_ON_EXEC;
    (flags - transient) | OpenFlags::LARGE_FILE
}
