//! Memory of other processes (process_vm_readv(2), process_vm_writev(2)).

use alloc::{sync::Arc, vec};

use crate::{
    errno::{Errno, Result},
    kernel::Current,
    memory::PAGE_SIZE,
    mm::{Iovecs, Mm, UserAddress, read_iovecs},
    syscalls::SyscallResult,
};

/// Buffers of one side, and how far they were used.
struct Side {
    mm: Arc<Mm>,
    buffers: Iovecs,
    index: usize,
}

impl Side {
    /// The next bytes, up to the end of a page: so much is copied whole or not at all.
    fn next(&mut self) -> Option<(UserAddress, usize)> {
        while self.buffers.get(self.index)?.length == 0 {
            self.index += 1;
        }
        let buffer = self.buffers.get(self.index)?;
        let in_page = PAGE_SIZE as u64 - buffer.base % PAGE_SIZE as u64;
        let length = usize::try_from(buffer.length.min(in_page)).ok()?;
        Some((UserAddress(buffer.base), length))
    }

    fn advance(&mut self, count: usize) {
        if let Some(buffer) = self.buffers.get_mut(self.index) {
            buffer.base = buffer.base.saturating_add(count as u64);
            buffer.length -= count as u64;
        }
    }
}

/// Where the buffers of both sides are described.
struct Request {
    pid: i32,
    local: (UserAddress, u64),
    remote: (UserAddress, u64),
    flags: u64,
}

impl Request {
    /// The own side, and the other process's.
    async fn sides(&self, current: &Current) -> Result<(Side, Side)> {
        if self.flags != 0 {
            return Err(Errno::EINVAL);
        }
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let local = read_iovecs(&current.mm, self.local.0, count(self.local.1)).await?;
        let remote = read_iovecs(&current.mm, self.remote.0, count(self.remote.1)).await?;
        let pid = u32::try_from(self.pid).map_err(|_| Errno::ESRCH)?;
        let task = current.processes().task(pid).ok_or(Errno::ESRCH)?;
        if !task.process.may_be_inspected(current) {
            return Err(Errno::EPERM);
        }
        let mm = task.mm().ok_or(Errno::ESRCH)?;
        let local = Side { mm: current.mm.clone(), buffers: local, index: 0 };
        Ok((local, Side { mm, buffers: remote, index: 0 }))
    }
}

/// Copies until one side is used up, or a page is missing; bytes copied.
async fn copy(mut from: Side, mut to: Side) -> SyscallResult {
    let mut total = 0;
    let mut piece = vec![0; PAGE_SIZE];
    while let (Some((source, available)), Some((target, room))) = (from.next(), to.next()) {
        let count = available.min(room);
        let bytes = piece.get_mut(..count).unwrap_or_default();
        let copied = match from.mm.copy_in(source, bytes).await {
            Ok(()) => to.mm.copy_out(target, bytes).await,
            Err(errno) => Err(errno),
        };
        match copied {
            Ok(()) => total += count as u64,
            Err(_) if total > 0 => break,
            Err(errno) => return Err(errno),
        }
        from.advance(count);
        to.advance(count);
    }
    Ok(total)
}

/// process_vm_readv(2).
pub async fn process_vm_readv(
    current: &mut Current,
    pid: i32,
    local: UserAddress,
    local_count: u64,
    remote: UserAddress,
    remote_count: u64,
    flags: u64,
) -> SyscallResult {
    let request =
        Request { pid, local: (local, local_count), remote: (remote, remote_count), flags };
    let (local, remote) = request.sides(current).await?;
    copy(remote, local).await
}

/// process_vm_writev(2).
pub async fn process_vm_writev(
    current: &mut Current,
    pid: i32,
    local: UserAddress,
    local_count: u64,
    remote: UserAddress,
    remote_count: u64,
    flags: u64,
) -> SyscallResult {
    let request =
        Request { pid, local: (local, local_count), remote: (remote, remote_count), flags };
    let (local, remote) = request.sides(current).await?;
    copy(local, remote).await
}
