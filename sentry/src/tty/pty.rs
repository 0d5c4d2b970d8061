//! Pseudo-terminals (pty(7)): a master end that plays the line, and their numbers.

use alloc::{
    boxed::Box,
    collections::BTreeMap,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use super::{Terminal, TerminalFile, ioctl};
use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryError, TryResult},
    kernel::{Current, Kernel, PollEvents, WaitQueue},
    vfs::{Caller, DeviceNumber, File, OpenFlags, WritePosition, Written},
};

/// Major number of /dev/pts/N (UNIX98_PTY_SLAVE_MAJOR).
pub const SLAVE_MAJOR: u32 = 136;

/// The most pseudo-terminals (NR_UNIX98_PTY_MAX is more; this bounds memory).
const MAX_PTYS: u32 = 4096;

/// The pseudo-terminals of a container, by number. The lock is a leaf.
#[derive(Default)]
pub struct PtyTable {
    slaves: SpinMutex<BTreeMap<u32, Slave>>,
}

struct Slave {
    line: Line,
    terminal: Arc<Terminal>,
    node: SlaveNode,
}

/// The other end of a slave.
enum Line {
    /// A master in the container.
    Master(Weak<Master>),
    /// The host.
    Console,
}

/// Owner and permissions of /dev/pts/N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlaveNode {
    /// Permission bits.
    pub permissions: u16,
    /// Owner: at first who opened the master.
    pub uid: u32,
    /// Group: at first tty.
    pub gid: u32,
}

/// Group id of tty, which container runtimes give to the `gid` option of devpts.
const TTY_GROUP: u32 = 5;

impl PtyTable {
    /// Opens a new pseudo-terminal and returns its master (opening /dev/ptmx).
    ///
    /// # Errors
    /// ENOSPC if there are too many.
    pub fn open_master(self: &Arc<Self>, caller: Caller<'_>) -> Result<Arc<Master>> {
        let mut slaves = self.slaves.lock();
        let number = free_number(&slaves)?;
        let terminal = Terminal::new(caller.kernel, slave_device(number));
        let master = Arc::new(Master {
            number,
            terminal: terminal.clone(),
            locked: AtomicBool::new(true),
            writing: SpinMutex::new(()),
            table: self.clone(),
        });
        let node = SlaveNode::of(caller.credentials.fs_uid);
        slaves
            .insert(number, Slave { line: Line::Master(Arc::downgrade(&master)), terminal, node });
        Ok(master)
    }

    /// Makes a terminal whose line is the host's, and gives it a number too: programs look for the
    /// name of their terminal (ttyname(3)). It belongs to user `uid`.
    ///
    /// # Errors
    /// ENOSPC if there are too many.
    pub fn add_console(self: &Arc<Self>, kernel: &Arc<Kernel>, uid: u32) -> Result<ConsoleNumber> {
        let mut slaves = self.slaves.lock();
        let number = free_number(&slaves)?;
        let terminal = Terminal::new(kernel, slave_device(number));
        let node = SlaveNode::of(uid);
        slaves.insert(number, Slave { line: Line::Console, terminal: terminal.clone(), node });
        Ok(ConsoleNumber { number, terminal, table: self.clone() })
    }

    /// Opens the slave `number` (opening /dev/pts/N).
    ///
    /// # Errors
    /// ENXIO if there is none; EIO while it is locked (unlockpt(3)).
    pub fn open_slave(
        &self,
        number: u32,
        caller: Caller<'_>,
        flags: OpenFlags,
    ) -> Result<Arc<dyn File>> {
        let (master, terminal) = {
            let slaves = self.slaves.lock();
            let slave = slaves.get(&number).ok_or(Errno::ENXIO)?;
            let master = match &slave.line {
                Line::Console => None,
                Line::Master(master) => Some(master.upgrade().ok_or(Errno::EIO)?),
            };
            (master, slave.terminal.clone())
        };
        if master.is_some_and(|master| master.is_locked()) {
            return Err(Errno::EIO);
        }
        TerminalFile::open(terminal, caller, flags)
    }

    /// The numbers in use, ascending.
    pub fn numbers(&self) -> Vec<u32> {
        self.slaves.lock().keys().copied().collect()
    }

    /// Owner and permissions of the slave `number`, if it exists.
    pub fn node(&self, number: u32) -> Option<SlaveNode> {
        self.slaves.lock().get(&number).map(|slave| slave.node)
    }

    /// Changes owner and permissions of the slave `number`, if it exists.
    pub fn change_node(&self, number: u32, change: impl FnOnce(&mut SlaveNode)) {
        if let Some(slave) = self.slaves.lock().get_mut(&number) {
            change(&mut slave.node);
        }
    }

    fn remove(&self, number: u32) {
        let removed = self.slaves.lock().remove(&number);
        drop(removed);
    }
}

impl SlaveNode {
    const fn of(uid: u32) -> Self {
        Self { permissions: 0o620, uid, gid: TTY_GROUP }
    }
}

const fn slave_device(number: u32) -> DeviceNumber {
    DeviceNumber { major: SLAVE_MAJOR, minor: number }
}

fn free_number(slaves: &BTreeMap<u32, Slave>) -> Result<u32> {
    (0..MAX_PTYS).find(|number| !slaves.contains_key(number)).ok_or(Errno::ENOSPC)
}

/// The number of a terminal whose line is the host's, for as long as this lives.
pub struct ConsoleNumber {
    number: u32,
    terminal: Arc<Terminal>,
    table: Arc<PtyTable>,
}

impl ConsoleNumber {
    /// N of /dev/pts/N.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The terminal.
    pub const fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }
}

impl Drop for ConsoleNumber {
    fn drop(&mut self) {
        self.table.remove(self.number);
        self.terminal.hang_up();
    }
}

/// The master end.
pub struct Master {
    number: u32,
    terminal: Arc<Terminal>,
    locked: AtomicBool,
    /// Serialises writers. Lock order: before the terminal's.
    writing: SpinMutex<()>,
    table: Arc<PtyTable>,
}

impl Master {
    /// N of /dev/pts/N (ptsname(3)).
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The terminal it is the line of.
    pub const fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }

    /// Whether the slave cannot be opened yet.
    pub fn is_locked(&self) -> bool {
        self.locked.load(Ordering::Relaxed)
    }

    /// Locks or unlocks the slave (TIOCSPTLCK).
    pub fn set_locked(&self, locked: bool) {
        self.locked.store(locked, Ordering::Relaxed);
    }
}

#[async_trait]
impl File for Master {
    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        if destination.remaining() == 0 {
            return Ok(0);
        }
        self.terminal.take_output(destination)
    }

    fn try_write(&self, _at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        // Bytes that were taken cannot be given back, so nobody else may use up the room.
        let _writing = self.writing.lock();
        let mut count = 0;
        while source.remaining() > 0 {
            let mut chunk = [0; 512];
            let limit = self.terminal.input_room().min(source.remaining()).min(chunk.len());
            let chunk = chunk.get_mut(..limit).unwrap_or_default();
            match source.take(chunk) {
                Ok(0) => break,
                Ok(taken) => count += self.terminal.receive(chunk.get(..taken).unwrap_or_default()),
                Err(error) if count == 0 => return Err(error),
                Err(_) => break,
            }
        }
        if count == 0 && source.remaining() > 0 {
            return Err(TryError::WouldBlock);
        }
        Ok(Written { count, end: 0 })
    }

    async fn ioctl(&self, current: &mut Current, command: u32, argument: u64) -> Result<u64> {
        ioctl::master(self, current, command, argument).await
    }

    fn poll(&self) -> PollEvents {
        self.terminal.line_events()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.terminal.line_queue())
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.table.remove(self.number);
        self.terminal.hang_up();
    }
}
