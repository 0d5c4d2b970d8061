//! A stub process as an address space.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sentry::{memory::PhysicalMemory, platform::Protection};

use super::pending::PendingChanges;
use crate::{
    calls::Copies,
    stub::{BatchEnd, CommandPages},
    sys::{self, Tid},
};

/// Why user code cannot run in an address space now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The host did not make a mapping.
    Unbacked,
    /// The stub process is gone.
    Lost,
}

/// A stub process. Its leader thread is traced by the keeper and always stopped; each executor
/// that runs user code in it has a thread of its own there.
///
/// Lock order: an executor's stub threads, then the state of one process.
#[derive(Debug)]
pub struct StubProcess {
    /// Unlike a process id, never used again.
    serial: u64,
    leader: Tid,
    page: u32,
    commands: Arc<CommandPages>,
    state: Mutex<State>,
    retired: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    pending: PendingChanges,
    /// Number of executors in user mode here.
    running: u32,
    /// The stub threads besides the leader.
    threads: Vec<Tid>,
    lost: bool,
}

impl State {
    /// Kills the process led by `leader`.
    fn lose(&mut self, leader: Tid) {
        sys::kill(leader);
        self.lost = true;
    }
}

/// Executes the first commands of a process's command page, in one of its threads.
pub type RunBatch<'a> = &'a mut dyn FnMut(usize) -> BatchEnd;

impl StubProcess {
    /// The process led by `leader`, with nothing mapped but its command page `page`.
    pub fn new(
        serial: u64,
        leader: Tid,
        page: u32,
        commands: Arc<CommandPages>,
        copies: Option<Copies>,
    ) -> Self {
        let state = State { pending: PendingChanges::new(copies), ..State::default() };
        let (state, retired) = (Mutex::new(state), AtomicBool::new(false));
        Self { serial, leader, page, commands, state, retired }
    }

    /// Its serial number.
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// Its process id, and the id of its first thread.
    pub const fn leader(&self) -> Tid {
        self.leader
    }

    /// Its command page.
    pub const fn page(&self) -> u32 {
        self.page
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Maps sandbox memory from `offset` in `range`.
    pub fn map(&self, range: Range<u64>, offset: u64, protection: Protection, run: RunBatch<'_>) {
        let mut state = self.state();
        if state.pending.map(range, offset, protection) {
            self.flush_if_running(&mut state, run);
        }
    }

    /// Unmaps `range`; user code cannot reach it any more.
    pub fn unmap(&self, range: Range<u64>, run: RunBatch<'_>) {
        let mut state = self.state();
        state.pending.unmap(range);
        self.flush_if_running(&mut state, run);
    }

    /// Changes the protection of what is mapped in `range`, for user code that runs now too.
    pub fn protect(&self, range: Range<u64>, protection: Protection, run: RunBatch<'_>) {
        let mut state = self.state();
        state.pending.protect(range, protection);
        self.flush_if_running(&mut state, run);
    }

    /// Makes all changes; user code of one more executor may then run until [`Self::leave`].
    pub fn enter(&self, run: RunBatch<'_>) -> Result<(), Refusal> {
        let mut state = self.state();
        self.flush(&mut state, run)?;
        state.running += 1;
        Ok(())
    }

    /// Makes all changes, for an executor that has not left since it entered.
    pub fn reenter(&self, run: RunBatch<'_>) -> Result<(), Refusal> {
        self.flush(&mut self.state(), run)
    }

    /// What `look` finds among the patched pages, if there are any.
    pub fn copies<T>(&self, look: impl FnOnce(&Copies) -> Option<T>) -> Option<T> {
        self.state().pending.copies().and_then(look)
    }

    /// User code has made a call by a stop, of the instruction before `rip`; `memory` is sandbox
    /// memory.
    pub fn count_call(&self, rip: u64, memory: &PhysicalMemory) {
        self.state().pending.count_call(rip, memory);
    }

    /// An executor has left user mode; `lost` tells that it found the process gone.
    pub fn leave(&self, lost: bool) {
        let mut state = self.state();
        state.running -= 1;
        state.lost |= lost;
    }

    /// Has thread `tid` for an executor.
    pub fn add_thread(&self, tid: Tid) {
        self.state().threads.push(tid);
    }

    /// Runs `action` while nobody else uses the command page.
    pub fn with_command_page<T>(&self, action: impl FnOnce() -> T) -> T {
        let _state = self.state();
        action()
    }

    /// Kills the process: it is of no use any more.
    pub fn abandon(&self) {
        self.state().lose(self.leader);
    }

    /// Prepares for another address space. False if the process is gone.
    pub fn recycle(&self) -> bool {
        let mut state = self.state();
        state.pending.recycle();
        !state.lost
    }

    /// The process will not be used again; the threads to reap, besides the leader.
    pub fn retire(&self) -> Vec<Tid> {
        self.retired.store(true, Ordering::Relaxed);
        std::mem::take(&mut self.state().threads)
    }

    /// Whether the process will not be used again.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether the host has made all changes.
    pub fn is_settled(&self) -> bool {
        self.state().pending.is_empty()
    }

    /// Makes all changes now, if nobody is at it: what the next to enter would wait for.
    pub fn settle(&self, run: RunBatch<'_>) {
        if let Ok(mut state) = self.state.try_lock() {
            // Whoever enters learns of a refusal.
            let _ = self.flush(&mut state, run);
        }
    }

    fn flush_if_running(&self, state: &mut State, run: RunBatch<'_>) {
        if state.running > 0 {
            // Whoever runs next learns of a refusal: the process is lost, or the access faults.
            let _ = self.flush(state, run);
        }
    }

    /// Has the host make all changes.
    fn flush(&self, state: &mut State, run: RunBatch<'_>) -> Result<(), Refusal> {
        let mut result = Ok(());
        let mut was_reset = false;
        while !state.lost && !state.pending.is_empty() {
            let count = self.commands.write(self.page, state.pending.commands());
            match run(count) {
                BatchEnd::Done => state.pending.complete(count),
                BatchEnd::Failed { completed, errno } => {
                    state.pending.complete(completed);
                    if errno == libc::ENOMEM as u64 && !was_reset {
                        // Perhaps vm.max_map_count, which an empty space is far from.
                        state.pending.reset_and_retry();
                        was_reset = true;
                    } else if state.pending.give_up_copies() {
                        // They are for speed only.
                    } else if state.pending.give_up_mapping() {
                        result = Err(Refusal::Unbacked);
                    } else {
                        // Access that cannot be taken away any other way.
                        state.lose(self.leader);
                    }
                }
                BatchEnd::Lost => state.lost = true,
            }
        }
        if state.lost { Err(Refusal::Lost) } else { result }
    }
}
