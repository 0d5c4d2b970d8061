//! Calls that move data from file to file: sendfile(2), copy_file_range(2), splice(2), tee(2),
//! vmsplice(2).

use alloc::{sync::Arc, vec};

use super::{
    read_write::{note_read, note_written},
    vectors::buffers,
};
use crate::{
    errno::{Errno, Result},
    fs::pipe::PipeEnd,
    io,
    kernel::{Current, PollEvents},
    mm::{MAX_TRANSFER, UserAddress},
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{Blocking, File, FileKind, OpenFile, OpenFlags, WritePosition},
};

/// Bytes moved at once.
const CHUNK: usize = 64 << 10;
const SPLICE_F_NONBLOCK: u32 = 2;
const SPLICE_F_ALL: u32 = 0xf;

/// One end of a transfer.
struct End {
    open: Arc<OpenFile>,
    /// Where to go on; `None` for a stream.
    offset: Option<u64>,
    /// Where the caller keeps the offset; NULL if it is the position of the file.
    kept_at: UserAddress,
}

impl End {
    /// The end at `descriptor`, at the offset kept at `kept_at` or at the file's position.
    async fn new(
        current: &Current,
        descriptor: FileDescriptor,
        kept_at: UserAddress,
    ) -> Result<Self> {
        let open = current.files.get(descriptor)?;
        let seekable = open.file.is_seekable();
        let offset = if !kept_at.is_null() {
            if !seekable {
                return Err(Errno::ESPIPE);
            }
            let offset: i64 = current.mm.read(kept_at).await?;
            Some(u64::try_from(offset).map_err(|_| Errno::EINVAL)?)
        } else if seekable {
            Some(*open.offset().lock())
        } else {
            None
        };
        Ok(Self { open, offset, kept_at })
    }

    fn advance(&mut self, count: usize) {
        self.offset = self.offset.map(|offset| offset.saturating_add(count as u64));
    }

    /// Stores the offset where it came from.
    async fn finish(self, current: &Current) -> Result<()> {
        let Some(offset) = self.offset else { return Ok(()) };
        if self.kept_at.is_null() {
            *self.open.offset().lock() = offset;
            return Ok(());
        }
        current.mm.write(self.kept_at, &offset).await
    }

    fn is_regular(&self) -> bool {
        let path = self.open.path.as_ref();
        path.is_some_and(|path| path.inode().kind() == FileKind::Regular)
    }
}

/// sendfile(2).
///
/// # Errors
/// As sendfile(2).
pub async fn sendfile(
    current: &mut Current,
    to: FileDescriptor,
    from: FileDescriptor,
    offset: UserAddress,
    count: usize,
) -> SyscallResult {
    let source = End::new(current, from, offset).await?;
    let target = End::new(current, to, UserAddress(0)).await?;
    if source.offset.is_none() || target.open.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    transfer(current, source, target, count, false).await
}

/// copy_file_range(2), also between file systems.
///
/// # Errors
/// As copy_file_range(2).
pub async fn copy_file_range(
    current: &mut Current,
    from: FileDescriptor,
    from_offset: UserAddress,
    to: FileDescriptor,
    to_offset: UserAddress,
    count: usize,
    flags: u32,
) -> SyscallResult {
    super::check_flags(flags, 0)?;
    let source = End::new(current, from, from_offset).await?;
    let target = End::new(current, to, to_offset).await?;
    if !source.is_regular() || !target.is_regular() {
        return Err(Errno::EINVAL);
    }
    if target.open.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EBADF);
    }
    if overlaps(&source, &target, count) {
        return Err(Errno::EINVAL);
    }
    transfer(current, source, target, count, false).await
}

/// Whether both ends are the same bytes of the same file.
fn overlaps(source: &End, target: &End, count: usize) -> bool {
    let inode = |end: &End| end.open.path.as_ref().map(|path| path.inode().clone());
    let (Some(one), Some(other)) = (inode(source), inode(target)) else { return false };
    let (Some(from), Some(to)) = (source.offset, target.offset) else { return false };
    Arc::ptr_eq(&one, &other) && from.abs_diff(to) < count as u64
}

/// splice(2).
///
/// # Errors
/// As splice(2).
pub async fn splice(
    current: &mut Current,
    from: FileDescriptor,
    from_offset: UserAddress,
    to: FileDescriptor,
    to_offset: UserAddress,
    count: usize,
    flags: u32,
) -> SyscallResult {
    super::check_flags(flags, SPLICE_F_ALL)?;
    let source = End::new(current, from, from_offset).await?;
    let target = End::new(current, to, to_offset).await?;
    let is_pipe = |end: &End| end.open.downcast::<PipeEnd>().is_some();
    if !(is_pipe(&source) || is_pipe(&target)) || Arc::ptr_eq(&source.open, &target.open) {
        return Err(Errno::EINVAL);
    }
    if target.open.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    transfer(current, source, target, count, flags & SPLICE_F_NONBLOCK != 0).await
}

/// tee(2), by copying.
///
/// # Errors
/// As tee(2).
pub async fn tee(
    current: &mut Current,
    from: FileDescriptor,
    to: FileDescriptor,
    count: usize,
    flags: u32,
) -> SyscallResult {
    super::check_flags(flags, SPLICE_F_ALL)?;
    if count == 0 {
        return Ok(0);
    }
    let (source, target) = (current.files.get(from)?, current.files.get(to)?);
    if !source.flags().readable() || !target.flags().writable() {
        return Err(Errno::EBADF);
    }
    let ends = source.downcast::<PipeEnd>().zip(target.downcast::<PipeEnd>());
    let (reader, writer) = ends.ok_or(Errno::EINVAL)?;
    if reader.shares_pipe_with(writer) {
        return Err(Errno::EINVAL);
    }
    let nonblocking = flags & SPLICE_F_NONBLOCK != 0;
    let blocking = |open| if nonblocking { Blocking::Never } else { Blocking::of(open) };
    let look = || reader.try_peek(count.min(CHUNK));
    let bytes = current.retry(reader, PollEvents::IN, blocking(&source), look).await?;
    if bytes.is_empty() {
        return Ok(0);
    }
    let memory = current.kernel.platform.memory();
    let attempt = || writer.try_write(WritePosition::At(0), &mut io::Bytes::new(memory, &bytes));
    let written = current.retry(writer, PollEvents::OUT, blocking(&target), attempt).await;
    let written = written.inspect_err(|errno| current.note_broken_pipe(writer, *errno))?;
    Ok(written.count as u64)
}

/// vmsplice(2), by copying.
///
/// # Errors
/// As vmsplice(2).
pub async fn vmsplice(
    current: &mut Current,
    descriptor: FileDescriptor,
    vectors: UserAddress,
    count: u64,
    flags: u32,
) -> SyscallResult {
    super::check_flags(flags, SPLICE_F_ALL)?;
    let open = current.files.get(descriptor)?;
    if open.downcast::<PipeEnd>().is_none() {
        return Err(Errno::EBADF);
    }
    let mut buffers = buffers(current, vectors, count).await?;
    let nonblocking = flags & SPLICE_F_NONBLOCK != 0;
    let blocking = if nonblocking { Blocking::Never } else { Blocking::of(&open) };
    let moved = if open.flags().writable() {
        current.write_file(&open, None, &mut buffers, blocking).await?
    } else {
        current.read_file(&open, None, &mut buffers, blocking).await?
    };
    Ok(moved as u64)
}

/// Moves up to `count` bytes. A stream is drained of what it has; a file is read to its end.
async fn transfer(
    current: &Current,
    mut source: End,
    mut target: End,
    count: usize,
    nonblocking: bool,
) -> SyscallResult {
    if !source.open.flags().readable() || !target.open.flags().writable() {
        return Err(Errno::EBADF);
    }
    let mut left = count.min(MAX_TRANSFER);
    let mut moved = 0_u64;
    let mut buffer = vec![0; CHUNK.min(left)];
    while left > 0 {
        let may_wait = !nonblocking && moved == 0;
        let step = move_chunk(current, &mut source, &mut target, &mut buffer, left, may_wait).await;
        match step {
            Ok(0) => break,
            Ok(count) => {
                moved += count as u64;
                left -= count;
            }
            Err(_) if moved > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    let total = usize::try_from(moved).unwrap_or(usize::MAX);
    note_read(current, &source.open, total);
    note_written(current, &target.open, total);
    source.finish(current).await?;
    target.finish(current).await?;
    Ok(moved)
}

/// Moves what one reading gives. What was read from a stream is written even if that has to wait:
/// it cannot be put back.
async fn move_chunk(
    current: &Current,
    source: &mut End,
    target: &mut End,
    buffer: &mut [u8],
    left: usize,
    may_wait: bool,
) -> Result<usize> {
    let memory = current.kernel.platform.memory();
    let room = buffer.len().min(left);
    let space = buffer.get_mut(..room).unwrap_or_default();
    let blocking = if may_wait { Blocking::of(&source.open) } else { Blocking::Never };
    let mut destination = io::Buffer::new(memory, space);
    let read = current.read_file(&source.open, source.offset, &mut destination, blocking).await?;
    let filled = buffer.get(..read).unwrap_or_default();
    let seekable = source.offset.is_some();
    let blocking = if seekable { Blocking::of(&target.open) } else { Blocking::Forever };
    let mut bytes = io::Bytes::new(memory, filled);
    let written = current.write_file(&target.open, target.offset, &mut bytes, blocking).await?;
    source.advance(written);
    target.advance(written);
    Ok(written)
}
