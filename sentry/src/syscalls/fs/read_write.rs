//! read(2), write(2) and their relatives.

use alloc::sync::Arc;

use super::vectors::buffers;
use crate::{
    errno::{Errno, Result},
    fs::inotify::Events,
    io::Limited,
    kernel::{Capabilities, Current, Resource},
    memory::PAGE_SIZE,
    mm::{UserAddress, UserBuffers},
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{AttributeChange, Blocking, FileKind, OpenFile, OpenFlags, Path, permission},
};

/// Flags of preadv2(2) that only tell about urgency and durability: what is written here is as
/// durable as it gets.
const RWF_HINTS: u32 = 0x1 | 0x2 | 0x4;
const RWF_NOWAIT: u32 = 0x8;
const RWF_APPEND: u32 = 0x10;

/// [`read`] where it takes no waiting.
pub fn try_read(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    count: usize,
) -> Option<SyscallResult> {
    match current.files.get(descriptor) {
        Ok(open) => try_read_into(current, &open, None, (buffer, count)),
        Err(errno) => Some(Err(errno)),
    }
}

/// read(2).
///
/// # Errors
/// As read(2).
pub async fn read(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    count: usize,
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    let buffers = UserBuffers::single(&current.mm, buffer, count);
    read_into(current, &open, None, buffers, Blocking::of(&open)).await
}

/// [`write()`] where it takes no waiting: to a pipe that has room.
pub fn try_write(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    count: usize,
) -> Option<SyscallResult> {
    let open = current.files.get(descriptor).ok()?;
    let room_in_page = PAGE_SIZE as u64 - buffer.0 % PAGE_SIZE as u64;
    if count as u64 > room_in_page || !open.file.writes_whole() || !open.flags().writable() {
        return None;
    }
    let mut buffers = UserBuffers::single(&current.mm, buffer, count);
    let outcome = current.write_at_once(&open, &mut buffers)?;
    note_written(current, &open, outcome.unwrap_or(0));
    Some(outcome.map(|count| count as u64))
}

/// write(2).
///
/// # Errors
/// As write(2).
pub async fn write(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    count: usize,
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    let buffers = UserBuffers::single(&current.mm, buffer, count);
    write_from(current, &open, None, buffers, Blocking::of(&open)).await
}

/// [`pread64`] where it takes no waiting.
pub fn try_pread64(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    count: usize,
    offset: i64,
) -> Option<SyscallResult> {
    match positioned(current, descriptor, offset) {
        Ok((open, offset)) => try_read_into(current, &open, Some(offset), (buffer, count)),
        Err(errno) => Some(Err(errno)),
    }
}

/// pread(2).
///
/// # Errors
/// As pread(2).
pub async fn pread64(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    count: usize,
    offset: i64,
) -> SyscallResult {
    let (open, offset) = positioned(current, descriptor, offset)?;
    let buffers = UserBuffers::single(&current.mm, buffer, count);
    read_into(current, &open, Some(offset), buffers, Blocking::of(&open)).await
}

/// pwrite(2).
///
/// # Errors
/// As pwrite(2).
pub async fn pwrite64(
    current: &mut Current,
    descriptor: FileDescriptor,
    buffer: UserAddress,
    count: usize,
    offset: i64,
) -> SyscallResult {
    let (open, offset) = positioned(current, descriptor, offset)?;
    let buffers = UserBuffers::single(&current.mm, buffer, count);
    write_from(current, &open, Some(offset), buffers, Blocking::of(&open)).await
}

/// readv(2).
///
/// # Errors
/// As readv(2).
pub async fn readv(
    current: &mut Current,
    descriptor: FileDescriptor,
    vectors: UserAddress,
    count: u64,
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    let buffers = buffers(current, vectors, count).await?;
    read_into(current, &open, None, buffers, Blocking::of(&open)).await
}

/// writev(2).
///
/// # Errors
/// As writev(2).
pub async fn writev(
    current: &mut Current,
    descriptor: FileDescriptor,
    vectors: UserAddress,
    count: u64,
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    let buffers = buffers(current, vectors, count).await?;
    write_from(current, &open, None, buffers, Blocking::of(&open)).await
}

/// preadv(2).
///
/// # Errors
/// As preadv(2).
pub async fn preadv(
    current: &mut Current,
    descriptor: FileDescriptor,
    vectors: UserAddress,
    count: u64,
    offset: i64,
) -> SyscallResult {
    let (open, offset) = positioned(current, descriptor, offset)?;
    let buffers = buffers(current, vectors, count).await?;
    read_into(current, &open, Some(offset), buffers, Blocking::of(&open)).await
}

/// pwritev(2).
///
/// # Errors
/// As pwritev(2).
pub async fn pwritev(
    current: &mut Current,
    descriptor: FileDescriptor,
    vectors: UserAddress,
    count: u64,
    offset: i64,
) -> SyscallResult {
    let (open, offset) = positioned(current, descriptor, offset)?;
    let buffers = buffers(current, vectors, count).await?;
    write_from(current, &open, Some(offset), buffers, Blocking::of(&open)).await
}

/// preadv2(2).
///
/// # Errors
/// As preadv2(2).
pub async fn preadv2(
    current: &mut Current,
    descriptor: FileDescriptor,
    vectors: UserAddress,
    count: u64,
    offset: i64,
    _offset_high: u64,
    flags: u32,
) -> SyscallResult {
    let (open, offset) = positioned_or_current(current, descriptor, offset)?;
    if flags & !(RWF_HINTS | RWF_NOWAIT) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let blocking = if flags & RWF_NOWAIT != 0 { Blocking::Never } else { Blocking::of(&open) };
    let buffers = buffers(current, vectors, count).await?;
    read_into(current, &open, offset, buffers, blocking).await
}

/// pwritev2(2).
///
/// # Errors
/// As pwritev2(2).
pub async fn pwritev2(
    current: &mut Current,
    descriptor: FileDescriptor,
    vectors: UserAddress,
    count: u64,
    offset: i64,
    _offset_high: u64,
    flags: u32,
) -> SyscallResult {
    let (open, offset) = positioned_or_current(current, descriptor, offset)?;
    if flags & !(RWF_HINTS | RWF_NOWAIT | RWF_APPEND) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let blocking = if flags & RWF_NOWAIT != 0 { Blocking::Never } else { Blocking::of(&open) };
    let buffers = buffers(current, vectors, count).await?;
    if flags & RWF_APPEND == 0 || open.flags().contains(OpenFlags::APPEND) {
        return write_from(current, &open, offset, buffers, blocking).await;
    }
    // The position stays when the data goes to the end (pwritev2(2), RWF_APPEND).
    let appending =
        OpenFile::new(open.file.clone(), open.path.clone(), open.flags() | OpenFlags::APPEND);
    write_from(current, &appending, Some(0), buffers, blocking).await
}

/// The file, which has to have a position, and the offset.
fn positioned(
    current: &Current,
    descriptor: FileDescriptor,
    offset: i64,
) -> Result<(Arc<OpenFile>, u64)> {
    let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let open = current.files.get(descriptor)?;
    if !open.file.is_seekable() {
        return Err(Errno::ESPIPE);
    }
    Ok((open, offset))
}

/// The same, with the file's own position if the offset is -1.
fn positioned_or_current(
    current: &Current,
    descriptor: FileDescriptor,
    offset: i64,
) -> Result<(Arc<OpenFile>, Option<u64>)> {
    if offset == -1 {
        return Ok((current.files.get(descriptor)?, None));
    }
    let (open, offset) = positioned(current, descriptor, offset)?;
    Ok((open, Some(offset)))
}

fn try_read_into(
    current: &Current,
    open: &OpenFile,
    offset: Option<u64>,
    (buffer, count): (UserAddress, usize),
) -> Option<SyscallResult> {
    if !open.flags().readable() {
        return Some(Err(Errno::EBADF));
    }
    let mut buffers = UserBuffers::single(&current.mm, buffer, count);
    let outcome = current.read_at_once(open, offset, &mut buffers)?;
    note_read(current, open, outcome.unwrap_or(0));
    Some(outcome.map(|count| count as u64))
}

async fn read_into(
    current: &Current,
    open: &OpenFile,
    offset: Option<u64>,
    mut buffers: UserBuffers<'_>,
    blocking: Blocking,
) -> SyscallResult {
    if !open.flags().readable() {
        return Err(Errno::EBADF);
    }
    let outcome = current.read_file(open, offset, &mut buffers, blocking).await;
    note_read(current, open, outcome.unwrap_or(0));
    Ok(outcome? as u64)
}

async fn write_from(
    current: &Current,
    open: &OpenFile,
    offset: Option<u64>,
    mut buffers: UserBuffers<'_>,
    blocking: Blocking,
) -> SyscallResult {
    if !open.flags().writable() {
        return Err(Errno::EBADF);
    }
    let is_regular = |path: &Path| path.inode().kind() == FileKind::Regular;
    let outcome = if open.path.as_ref().is_some_and(is_regular) {
        write_regular(current, open, offset, buffers, blocking).await
    } else {
        current.write_file(open, offset, &mut buffers, blocking).await
    };
    note_written(current, open, outcome.unwrap_or(0));
    Ok(outcome? as u64)
}

/// Counts a call that has read `count` bytes, and tells those who watch the file.
pub(super) fn note_read(current: &Current, open: &OpenFile, count: usize) {
    current.task.accounting.count_read(count);
    if count > 0 {
        open.tell(Events::ACCESS);
    }
}

/// Counts a call that has written `count` bytes, and tells those who watch the file.
pub(super) fn note_written(current: &Current, open: &OpenFile, count: usize) {
    current.task.accounting.count_written(count);
    if count > 0 {
        open.tell(Events::MODIFY);
    }
}

/// Writes to a regular file as far as RLIMIT_FSIZE lets it; takes its set-id bits.
async fn write_regular(
    current: &Current,
    open: &OpenFile,
    offset: Option<u64>,
    mut buffers: UserBuffers<'_>,
    blocking: Blocking,
) -> Result<usize> {
    let room = room_below_limit(current, open, offset)?;
    let mut buffers = Limited::new(&mut buffers, room);
    let count = current.write_file(open, offset, &mut buffers, blocking).await?;
    if count > 0 && !current.credentials().has(Capabilities::FSETID) {
        clear_set_id(open).await?;
    }
    Ok(count)
}

/// Bytes that RLIMIT_FSIZE lets be written.
///
/// # Errors
/// EFBIG, after SIGXFSZ, if there are none.
fn room_below_limit(current: &Current, open: &OpenFile, offset: Option<u64>) -> Result<usize> {
    let limit = current.process().limit(Resource::FileSize).soft;
    if limit == crate::kernel::Limit::INFINITY {
        return Ok(usize::MAX);
    }
    let end = || open.path.as_ref()?.inode().cached_attributes().map(|attributes| attributes.size);
    let position = match offset {
        _ if open.flags().contains(OpenFlags::APPEND) => end().unwrap_or(0),
        Some(offset) => offset,
        None => *open.offset().lock(),
    };
    if position >= limit {
        return Err(exceed_file_size(current));
    }
    Ok(usize::try_from(limit - position).unwrap_or(usize::MAX))
}

/// Sends SIGXFSZ and answers EFBIG (setrlimit(2), RLIMIT_FSIZE).
pub(super) fn exceed_file_size(current: &Current) -> Errno {
    use crate::kernel::signal::{Signal, SignalInfo};
    current.task.send(SignalInfo::kernel(Signal::XFSZ));
    Errno::EFBIG
}

/// Takes the set-id bits from a file that someone else than root has written to.
async fn clear_set_id(open: &OpenFile) -> Result<()> {
    let Some(path) = &open.path else { return Ok(()) };
    let attributes = path.inode().attributes().await?;
    if let Some(permissions) = permission::without_set_id(attributes.permissions) {
        let change = AttributeChange { permissions: Some(permissions), ..Default::default() };
        path.inode().set_attributes(change).await?;
    }
    Ok(())
}
