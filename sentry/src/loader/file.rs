//! Program files: opening, reading, and the identity they give.

use alloc::sync::Arc;

use crate::{
    errno::{Errno, Result},
    io::{Buffer, TryError},
    kernel::{Credentials, Kernel},
    vfs::{
        AccessMode, FileKind, MountFlags, OpenFile, OpenFlags, Path, WalkContext, WalkFlags,
        operations::check_access,
        permission::{SET_GROUP_ID, SET_USER_ID},
        walk,
    },
};

const GROUP_EXECUTE: u16 = 0o010;

/// Opens the program `name` from `directory`; execute permission is enough.
///
/// # Errors
/// EACCES if it is no regular file or not executable, and what walks fail with.
pub async fn open_program(
    context: &WalkContext<'_>,
    directory: &Path,
    name: &[u8],
) -> Result<Arc<OpenFile>> {
    let path = walk(context, directory, name, WalkFlags::FOLLOW).await?;
    open_program_path(context, path).await
}

/// Opens the program at `path`.
///
/// # Errors
/// As [`open_program`].
pub async fn open_program_path(context: &WalkContext<'_>, path: Path) -> Result<Arc<OpenFile>> {
    if path.inode().kind() != FileKind::Regular {
        return Err(Errno::EACCES);
    }
    check_access(context, &path, AccessMode::EXECUTE).await?;
    let flags = OpenFlags::empty();
    let file = path.inode().clone().open(context.caller, flags).await?;
    Ok(OpenFile::new(file, Some(path), flags))
}

/// Reads from `offset` until `bytes` is full or the file ends; answers how much.
///
/// # Errors
/// EIO, ENOMEM.
pub async fn read(
    kernel: &Kernel,
    file: &OpenFile,
    offset: u64,
    bytes: &mut [u8],
) -> Result<usize> {
    let mut done = 0;
    loop {
        let rest = bytes.get_mut(done..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(done);
        }
        let mut buffer = Buffer::new(kernel.platform.memory(), rest);
        let at = offset.checked_add(done as u64).ok_or(Errno::ENOEXEC)?;
        match file.file.try_read(at, &mut buffer) {
            Ok(0) => return Ok(done),
            Ok(count) => done += count,
            Err(TryError::NotResident { offset, length }) => {
                file.file.fetch(offset, length).await?;
            }
            Err(TryError::Failed(errno)) => return Err(errno),
            Err(TryError::WouldBlock | TryError::PageFault { .. }) => return Err(Errno::EIO),
        }
    }
}

/// The credentials of a task after it has executed `file`, and whether they make it "secure":
/// set-user-ID and set-group-ID bits count unless the mount or the task forbids it, or the task's
/// user namespace does not map the file's ids (execve(2), user_namespaces(7)).
///
/// # Errors
/// EIO.
pub async fn credentials_after(
    context: &WalkContext<'_>,
    file: &OpenFile,
) -> Result<(Credentials, bool)> {
    let old = context.caller.credentials;
    let mut new = old.clone();
    if let Some(path) = &file.path
        && !path.mount.flags().contains(MountFlags::NO_SET_ID)
        && !old.no_new_privileges
    {
        let attributes = path.inode().attributes().await?;
        let is_known = old.maps_ids(attributes.uid, attributes.gid);
        if is_known && attributes.permissions & SET_USER_ID != 0 {
            new.effective_uid = attributes.uid;
        }
        // Without group execute permission the bit once meant mandatory locking.
        let set_group = SET_GROUP_ID | GROUP_EXECUTE;
        if is_known && attributes.permissions & set_group == set_group {
            new.effective_gid = attributes.gid;
        }
    }
    let is_set_id = new.effective_uid != old.uid || new.effective_gid != old.gid;
    new.after_exec(old);
    Ok((new, is_set_id))
}
