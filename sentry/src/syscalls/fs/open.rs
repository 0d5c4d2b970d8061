//! open(2), close(2) and their relatives.

use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{AT_FDCWD, Names, install, read_name, start};
use crate::{
    errno::{Errno, Result},
    kernel::{Current, WaitReason},
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{
        OpenFile, OpenFlags, WalkFlags,
        operations::{self, OpenRequest, Opened},
        try_walk,
    },
};

/// struct open_how of openat2(2).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

const RESOLVE_NO_XDEV: u64 = 1;
const RESOLVE_NO_MAGICLINKS: u64 = 2;
const RESOLVE_NO_SYMLINKS: u64 = 4;
const RESOLVE_BENEATH: u64 = 8;
const RESOLVE_IN_ROOT: u64 = 16;
const RESOLVE_CACHED: u64 = 32;

/// close_range(2).
const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// open(2).
///
/// # Errors
/// As open(2).
pub async fn open(
    current: &mut Current,
    name: UserAddress,
    flags: u32,
    mode: u32,
) -> SyscallResult {
    openat(current, FileDescriptor(AT_FDCWD), name, flags, mode).await
}

/// creat(2).
///
/// # Errors
/// As creat(2).
pub async fn creat(current: &mut Current, name: UserAddress, mode: u32) -> SyscallResult {
    let flags = OpenFlags::CREATE | OpenFlags::WRITE_ONLY | OpenFlags::TRUNCATE;
    openat(current, FileDescriptor(AT_FDCWD), name, flags.bits(), mode).await
}

/// openat(2).
///
/// # Errors
/// As openat(2).
pub async fn openat(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    flags: u32,
    mode: u32,
) -> SyscallResult {
    let flags = OpenFlags::from_bits_truncate(flags);
    let creates = flags.intersects(OpenFlags::CREATE | OpenFlags::TEMPORARY_FILE);
    // The bits of O_TMPFILE include O_DIRECTORY; alone they are O_DIRECTORY.
    let permissions = if creates { (mode & 0o7777) as u16 } else { 0 };
    let request = OpenRequest { flags: effective(flags)?, permissions, ..Default::default() };
    open_request(current, directory, name, request).await
}

/// openat2(2).
///
/// # Errors
/// As openat2(2).
pub async fn openat2(
    current: &mut Current,
    directory: FileDescriptor,
    name: UserAddress,
    how: UserAddress,
    size: usize,
) -> SyscallResult {
    if size < size_of::<OpenHow>() {
        return Err(Errno::EINVAL);
    }
    check_rest_zero(current, how, size).await?;
    let how: OpenHow = current.mm.read(how).await?;
    let flags = u32::try_from(how.flags).map_err(|_| Errno::EINVAL)?;
    let flags = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let creates = flags.intersects(OpenFlags::CREATE | OpenFlags::TEMPORARY_FILE);
    if how.mode & !0o7777 != 0 || (!creates && how.mode != 0) {
        return Err(Errno::EINVAL);
    }
    let path_flags =
        OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NO_FOLLOW | OpenFlags::CLOSE_ON_EXEC;
    if flags.contains(OpenFlags::PATH) && !path_flags.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let request = OpenRequest {
        flags: effective(flags)?,
        permissions: (how.mode & 0o7777) as u16,
        resolve: resolve_flags(how.resolve)?,
    };
    if how.resolve & RESOLVE_CACHED != 0 {
        // Creation and truncation are never done from the cache (openat2(2)).
        let slow = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::TEMPORARY_FILE;
        if flags.intersects(slow) || !is_cached(current, directory, name, request).await? {
            return Err(Errno::EAGAIN);
        }
    }
    open_request(current, directory, name, request).await
}

/// close(2).
///
/// # Errors
/// EBADF.
pub fn close(current: &mut Current, descriptor: FileDescriptor) -> SyscallResult {
    drop(current.files.close(descriptor)?);
    Ok(0)
}

/// close_range(2).
///
/// # Errors
/// EINVAL.
pub fn close_range(current: &mut Current, first: u32, last: u32, flags: u32) -> SyscallResult {
    super::check_flags(flags, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)?;
    if first > last {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        current.set_files(current.files.duplicate());
    }
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        current.files.set_close_on_exec_range(first, last);
    } else {
        drop(current.files.close_range(first, last));
    }
    Ok(0)
}

/// The flags as open(2) understands them.
fn effective(flags: OpenFlags) -> Result<OpenFlags> {
    if flags.contains(OpenFlags::PATH) {
        let kept = OpenFlags::PATH
            | OpenFlags::DIRECTORY
            | OpenFlags::NO_FOLLOW
            | OpenFlags::CLOSE_ON_EXEC;
        return Ok(flags & kept);
    }
    if flags.contains(OpenFlags::TEMPORARY_FILE) {
        let directory = flags.contains(OpenFlags::DIRECTORY);
        if !directory || !flags.writable() || flags.contains(OpenFlags::CREATE) {
            return Err(Errno::EINVAL);
        }
    }
    if flags.contains(OpenFlags::CREATE | OpenFlags::DIRECTORY) {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}

fn resolve_flags(resolve: u64) -> Result<WalkFlags> {
    let known = [
        (RESOLVE_NO_XDEV, WalkFlags::NO_CROSSING),
        (RESOLVE_NO_MAGICLINKS, WalkFlags::NO_MAGIC_LINKS),
        (RESOLVE_NO_SYMLINKS, WalkFlags::NO_LINKS),
        (RESOLVE_BENEATH, WalkFlags::BENEATH),
        (RESOLVE_IN_ROOT, WalkFlags::IN_ROOT),
        (RESOLVE_CACHED, WalkFlags::empty()),
    ];
    let all = known.iter().fold(0, |all, (bit, _)| all | bit);
    let both = RESOLVE_BENEATH | RESOLVE_IN_ROOT;
    if resolve & !all != 0 || resolve & both == both {
        return Err(Errno::EINVAL);
    }
    let chosen = known.iter().filter(|(bit, _)| resolve & bit != 0);
    Ok(chosen.fold(WalkFlags::empty(), |flags, (_, flag)| flags | *flag))
}

/// Fields of a newer struct open_how must be zero (openat2(2), Extensibility).
async fn check_rest_zero(current: &Current, how: UserAddress, size: usize) -> Result<()> {
    let known = size_of::<OpenHow>();
    if size > crate::memory::PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    let rest: Vec<u8> = current.mm.read_array(how.offset(known as u64)?, size - known).await?;
    if rest.iter().any(|byte| *byte != 0) { Err(Errno::E2BIG) } else { Ok(()) }
}

/// Whether a walk would do with cached names alone (RESOLVE_CACHED).
async fn is_cached(
    current: &Current,
    directory: FileDescriptor,
    name: UserAddress,
    request: OpenRequest,
) -> Result<bool> {
    let name = read_name(current, name).await?;
    let start = start(current, directory, &name)?;
    let names = Names::new(current);
    let mut how = request.resolve;
    how.set(WalkFlags::FOLLOW, !request.flags.contains(OpenFlags::NO_FOLLOW));
    Ok(try_walk(&names.context(current), &start, &name, how).is_some())
}

async fn open_request(
    current: &Current,
    directory: FileDescriptor,
    name: UserAddress,
    request: OpenRequest,
) -> SyscallResult {
    let name = read_name(current, name).await?;
    let start = start(current, directory, &name)?;
    let names = Names::new(current);
    let context = names.context(current);
    let open = match operations::open(&context, &start, &name, request).await? {
        Opened::File(open) => open,
        Opened::Fifo { key, path } => {
            let opening = current.kernel.fifos.open(key, request.flags);
            let file = current
                .wait(WaitReason::Stream, None, opening)
                .await
                .map_err(|_| Errno::ERESTARTSYS)??;
            let flags = operations::status_flags(request.flags);
            let open = OpenFile::new(file, Some(path), flags);
            open.tell_opened(&current.kernel.vfs.watches);
            open
        }
    };
    install(current, open, request.flags.contains(OpenFlags::CLOSE_ON_EXEC))
}
