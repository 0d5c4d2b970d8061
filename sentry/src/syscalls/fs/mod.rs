//! File calls: decode, ask [`crate::vfs`], encode.

pub mod attributes;
pub mod descriptors;
pub mod directory;
pub mod inotify;
pub mod io_control;
pub mod locks;
pub mod memfd;
pub mod mount;
pub mod names;
pub mod open;
pub mod read_write;
pub mod seek;
pub mod stat;
pub mod sync;
pub mod transfer;
pub mod xattr;

mod vectors;

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use super::FileDescriptor;
use crate::{
    errno::{Errno, Result},
    kernel::{Credentials, Current, Resource},
    mm::UserAddress,
    vfs::{Caller, OpenFile, PATH_MAX, Path, WalkContext, WalkFlags, try_walk, walk},
};

/// The working directory in place of a descriptor.
pub const AT_FDCWD: i32 = -100;
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_REMOVEDIR: u32 = 0x200;
const AT_EACCESS: u32 = 0x200;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
const AT_NO_AUTOMOUNT: u32 = 0x800;
const AT_EMPTY_PATH: u32 = 0x1000;

/// Where the names of one call start, and on whose behalf.
struct Names {
    credentials: Arc<Credentials>,
    root: Path,
    umask: u16,
}

impl Names {
    fn new(current: &Current) -> Self {
        Self {
            credentials: current.credentials(),
            root: current.fs.root(),
            umask: current.fs.umask(),
        }
    }

    fn context<'a>(&'a self, current: &'a Current) -> WalkContext<'a> {
        let caller = Caller {
            kernel: &current.kernel,
            task: Some(&current.task),
            credentials: &self.credentials,
        };
        WalkContext { caller, root: &self.root, umask: self.umask }
    }
}

/// The name at `address`.
///
/// # Errors
/// EFAULT, ENAMETOOLONG.
async fn read_name(current: &Current, address: UserAddress) -> Result<Vec<u8>> {
    current.mm.read_string(address, PATH_MAX).await?.ok_or(Errno::ENAMETOOLONG)
}

/// Where `name` starts, given the descriptor of an *at call.
///
/// # Errors
/// EBADF, ENOTDIR.
fn start(current: &Current, directory: FileDescriptor, name: &[u8]) -> Result<Path> {
    if name.first() == Some(&b'/') {
        return Ok(current.fs.root());
    }
    if directory.0 == AT_FDCWD {
        return Ok(current.fs.working_directory());
    }
    current.files.get_any(directory)?.path.clone().ok_or(Errno::ENOTDIR)
}

/// The place that an *at call with `flags` names.
///
/// # Errors
/// Those of a walk.
async fn place(
    current: &Current,
    names: &Names,
    directory: FileDescriptor,
    name: UserAddress,
    flags: u32,
) -> Result<Path> {
    let name = read_optional_name(current, name, flags).await?;
    let start = start(current, directory, &name)?;
    resolve(current, names, &start, &name, flags).await
}

/// Walks from `start`; on cached names without an asynchronous walk's state.
async fn resolve(
    current: &Current,
    names: &Names,
    start: &Path,
    name: &[u8],
    flags: u32,
) -> Result<Path> {
    let mut how = WalkFlags::empty();
    how.set(WalkFlags::FOLLOW, flags & AT_SYMLINK_NOFOLLOW == 0);
    how.set(WalkFlags::EMPTY, flags & AT_EMPTY_PATH != 0);
    let context = names.context(current);
    if let Some(found) = try_walk(&context, start, name, how) {
        return found;
    }
    Box::pin(walk(&context, start, name, how)).await
}

/// The name at `address`; empty for NULL with AT_EMPTY_PATH.
async fn read_optional_name(current: &Current, name: UserAddress, flags: u32) -> Result<Vec<u8>> {
    if name.is_null() && flags & AT_EMPTY_PATH != 0 {
        return Ok(Vec::new());
    }
    read_name(current, name).await
}

/// Fails with EINVAL if `flags` has others than `known`.
fn check_flags(flags: u32, known: u32) -> Result<()> {
    if flags & !known != 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

/// The place a descriptor was opened at.
///
/// # Errors
/// EBADF; `nameless` for a file without a name.
fn place_of(open: &OpenFile, nameless: Errno) -> Result<Path> {
    open.path.clone().ok_or(nameless)
}

/// RLIMIT_NOFILE.
fn descriptor_limit(current: &Current) -> u64 {
    current.process().limit(Resource::OpenFiles).soft
}

/// Installs `open` at the lowest free descriptor.
fn install(current: &Current, open: Arc<OpenFile>, close_on_exec: bool) -> Result<u64> {
    let limit = descriptor_limit(current);
    let descriptor = current.files.install(open, close_on_exec, limit)?;
    Ok(u64::from(descriptor.0.unsigned_abs()))
}
