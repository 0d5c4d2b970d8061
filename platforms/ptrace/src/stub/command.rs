//! Commands: host system calls that a stub executes for its tracer, and the pages they are in.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Mutex, PoisonError},
};

use sentry::{
    errno::{Errno, Result},
    memory::{PAGE_SIZE, PhysicalMemory},
};

use super::{CALLS_DESCRIPTOR, COMMAND_DESCRIPTOR, COMMAND_PAGE, MEMORY_DESCRIPTOR};
use crate::{
    config::{Error, stub_memory},
    sys,
};

/// Most stub processes one sandbox can have; what bounds the command memory (sparse, 256 MiB).
pub const MAX_PROCESSES: u32 = 65_536;

/// Most commands of a batch: what one page holds.
pub const BATCH_COMMANDS: usize = PAGE_SIZE / COMMAND_BYTES;

/// Bytes of a command: number, six arguments, one word unused.
const COMMAND_BYTES: usize = 64;

/// One host system call: its number and arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command([u64; 7]);

impl Command {
    /// Maps sandbox memory from byte `offset` at `address`.
    pub fn map(address: u64, length: u64, protection: i32, offset: u64, populate: bool) -> Self {
        let populate = if populate { libc::MAP_POPULATE } else { 0 };
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | populate;
        Self::call(
            libc::SYS_mmap,
            [address, length, word(protection), word(flags), word(MEMORY_DESCRIPTOR), offset],
        )
    }

    /// Maps one page of the call pages, from byte `offset`, at `address`.
    pub fn map_calls(address: u64, protection: i32, offset: u64) -> Self {
        let flags = word(libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_POPULATE);
        let (length, descriptor) = (PAGE_SIZE as u64, word(CALLS_DESCRIPTOR));
        Self::call(libc::SYS_mmap, [address, length, word(protection), flags, descriptor, offset])
    }

    /// Unmaps a range.
    pub fn unmap(address: u64, length: u64) -> Self {
        Self::call(libc::SYS_munmap, [address, length, 0, 0, 0, 0])
    }

    /// Changes the protection of a range, all of which must be mapped.
    pub fn protect(address: u64, length: u64, protection: i32) -> Self {
        Self::call(libc::SYS_mprotect, [address, length, word(protection), 0, 0, 0])
    }

    /// Maps command page `page` in place of the one inherited at fork.
    pub fn map_commands(page: u32) -> Self {
        let flags = word(libc::MAP_SHARED | libc::MAP_FIXED);
        let offset = u64::from(page) * PAGE_SIZE as u64;
        let length = PAGE_SIZE as u64;
        let descriptor = word(COMMAND_DESCRIPTOR);
        Self::call(
            libc::SYS_mmap,
            [COMMAND_PAGE, length, word(libc::PROT_READ), flags, descriptor, offset],
        )
    }

    /// Makes a copy of the calling process, a child of the same parent.
    pub fn fork() -> Self {
        let flags = libc::CLONE_PARENT | libc::CLONE_FILES | libc::CLONE_FS | libc::SIGCHLD;
        Self::call(libc::SYS_clone, [word(flags), 0, 0, 0, 0, 0])
    }

    /// Makes another thread of the calling process.
    pub fn clone_thread() -> Self {
        let shared = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
        let flags = shared | libc::CLONE_FILES | libc::CLONE_FS | libc::CLONE_SYSVSEM;
        Self::call(libc::SYS_clone, [word(flags), 0, 0, 0, 0, 0])
    }

    /// Asks to be killed when the parent thread ends; fork(2) does not inherit that.
    pub fn die_with_parent() -> Self {
        let option = word(libc::PR_SET_PDEATHSIG);
        Self::call(libc::SYS_prctl, [option, word(libc::SIGKILL), 0, 0, 0, 0])
    }

    /// Ends the registration of restartable sequences.
    pub fn unregister_rseq(registered: sys::RseqConfiguration) -> Self {
        const RSEQ_FLAG_UNREGISTER: u64 = 1;
        let size = u64::from(registered.size);
        let signature = u64::from(registered.signature);
        Self::call(
            libc::SYS_rseq,
            [registered.address, size, RSEQ_FLAG_UNREGISTER, signature, 0, 0],
        )
    }

    fn call(number: libc::c_long, arguments: [u64; 6]) -> Self {
        let [first, second, third, fourth, fifth, sixth] = arguments;
        Self([number.cast_unsigned(), first, second, third, fourth, fifth, sixth])
    }
}

/// An int as the kernel takes it from a register.
fn word(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

/// The memory of all command pages, one page a stub process.
#[derive(Debug)]
pub struct CommandPages {
    file: OwnedFd,
    memory: PhysicalMemory,
    free: Mutex<FreePages>,
}

#[derive(Debug, Default)]
struct FreePages {
    returned: Vec<u32>,
    never_used: u32,
}

impl CommandPages {
    /// Makes the memory; no page is in use.
    pub fn new() -> Result<Self, Error> {
        let size = u64::from(MAX_PROCESSES) * PAGE_SIZE as u64;
        let (file, memory) = stub_memory("stub-commands", size)?;
        Ok(Self { file, memory, free: Mutex::default() })
    }

    /// The memory, for the template to inherit.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Takes a page for a new process. `EAGAIN` if all are in use.
    pub fn allocate(&self) -> Result<u32> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = free.returned.pop() {
            return Ok(page);
        }
        if free.never_used == MAX_PROCESSES {
            return Err(Errno::EAGAIN);
        }
        free.never_used += 1;
        Ok(free.never_used - 1)
    }

    /// Gives back the page of a process that is no more.
    pub fn release(&self, page: u32) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).returned.push(page);
    }

    /// Writes the first commands of a batch to `page`; answers how many fitted.
    pub fn write(&self, page: u32, commands: impl Iterator<Item = Command>) -> usize {
        let base = u64::from(page) * PAGE_SIZE as u64;
        let mut count = 0;
        for command in commands.take(BATCH_COMMANDS) {
            let mut bytes = [0; 56];
            for (place, value) in bytes.chunks_exact_mut(8).zip(command.0) {
                place.copy_from_slice(&value.to_le_bytes());
            }
            let written = self.memory.write(base + (count * COMMAND_BYTES) as u64, &bytes);
            debug_assert!(written.is_ok(), "pages are handed out only inside the memory");
            count += 1;
        }
        count
    }
}
