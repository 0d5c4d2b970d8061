//! All address spaces of the sandbox, and the stub processes kept for new ones.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use sentry::{
    errno::{Errno, Result},
    platform::AddressSpaceId,
};

use crate::{
    calls::{CallPages, Copies, Link},
    config::Error,
    executor::Executor,
    keeper::{self, Keeper},
    space::StubProcess,
    stub::{BatchEnd, CommandPages, StubThread, Tracee},
    sys::{self, Tid},
};

/// Most processes kept for reuse: a fork with its threads costs more than unmapping everything.
const MOST_SPARE: usize = 16;

/// What the host calls the vector state of a task.
#[derive(Clone, Copy, Debug)]
pub struct ExtendedStateFormat {
    /// Bytes of the XSAVE area.
    pub size: usize,
    /// XCR0.
    pub features: u64,
}

/// The address spaces. Lock order: each lock here is held alone.
#[derive(Debug)]
pub struct Spaces {
    commands: Arc<CommandPages>,
    /// Where calls are handed over, if they are.
    calls: Option<Arc<CallPages>>,
    template: Tid,
    extended_state: ExtendedStateFormat,
    processes: RwLock<HashMap<AddressSpaceId, Arc<StubProcess>>>,
    spare: Mutex<Vec<Arc<StubProcess>>>,
    next_id: AtomicU64,
    keeper: Keeper,
}

impl Spaces {
    /// Starts the keeper and makes the template, whose descendants can map `memory`.
    pub fn new(
        memory: &OwnedFd,
        executors: Arc<[Executor]>,
        doorbells: &[OwnedFd],
        calls: Option<Arc<CallPages>>,
    ) -> Result<Self, Error> {
        let commands = Arc::new(CommandPages::new()?);
        let keeper =
            Keeper::start(executors, doorbells).map_err(Error::host("starting the keeper"))?;
        let memory = memory.try_clone().map_err(Error::host("dup"))?;
        let (shared, shared_calls) = (commands.clone(), calls.clone());
        let made = keeper.call(move || {
            use std::os::fd::AsFd;
            let calls = shared_calls.as_ref().map(|calls| calls.file());
            let files = [Some(memory.as_fd()), Some(shared.file()), calls];
            let template = keeper::make_template(files, &shared)?;
            Ok((template, extended_state_format(template)?))
        });
        let (template, extended_state) = made.ok_or(Error::Template("the keeper's start"))??;
        Ok(Self {
            commands,
            calls,
            template,
            extended_state,
            processes: RwLock::default(),
            spare: Mutex::default(),
            next_id: AtomicU64::new(1),
            keeper,
        })
    }

    /// The keeper.
    pub const fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// The format of vector state.
    pub const fn extended_state(&self) -> ExtendedStateFormat {
        self.extended_state
    }

    /// The process of `space`.
    pub fn get(&self, space: AddressSpaceId) -> Option<Arc<StubProcess>> {
        self.processes.read().unwrap_or_else(PoisonError::into_inner).get(&space).cloned()
    }

    /// Makes an empty address space. `EAGAIN` if the host makes no more processes.
    pub fn create(&self) -> Result<AddressSpaceId> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let process = spare.map_or_else(|| self.fork(), Ok)?;
        let space = AddressSpaceId(self.next_id.fetch_add(1, Ordering::Relaxed));
        self.processes.write().unwrap_or_else(PoisonError::into_inner).insert(space, process);
        Ok(space)
    }

    fn fork(&self) -> Result<Arc<StubProcess>> {
        let page = self.commands.allocate()?;
        let (template, commands) = (self.template, self.commands.clone());
        let leader = self.keeper.call(move || keeper::fork_process(template, &commands, page));
        let Some(leader) = leader.flatten() else {
            self.commands.release(page);
            return Err(Errno::EAGAIN);
        };
        let serial = self.next_id.fetch_add(1, Ordering::Relaxed);
        let copies = self.calls.clone().map(|calls| Copies::new(calls, page));
        Ok(Arc::new(StubProcess::new(serial, leader, page, self.commands.clone(), copies)))
    }

    /// Removes `space`. Answers its process if that is not worth keeping: [`Self::end`] it.
    pub fn remove(&self, space: AddressSpaceId) -> Option<Arc<StubProcess>> {
        let process =
            self.processes.write().unwrap_or_else(PoisonError::into_inner).remove(&space)?;
        if process.recycle() {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < MOST_SPARE {
                spare.push(process.clone());
                drop(spare);
                if !process.is_settled() {
                    self.empty_early(process);
                }
                return None;
            }
        }
        Some(process)
    }

    /// Has the keeper unmap what is in `process`, unless its next user comes first. The keeper waits
    /// for no lock in this.
    fn empty_early(&self, process: Arc<StubProcess>) {
        self.keeper.post(move || {
            let leader = Tracee(process.leader());
            process.settle(&mut |count| leader.bring().run_batch(count));
        });
    }

    /// Ends a process for good.
    pub fn end(&self, process: &StubProcess) {
        let threads = process.retire();
        let (leader, page, commands) = (process.leader(), process.page(), self.commands.clone());
        self.keeper.post(move || {
            keeper::end_process(leader, &threads);
            commands.release(page);
        });
    }

    /// Makes one more thread in `process`, for the calling thread, `executor`, to trace. If that fails, the
    /// process is lost.
    pub fn make_thread(&self, process: &StubProcess, executor: u16) -> Option<StubThread> {
        let link = || {
            let pages = self.calls.clone()?;
            Some(Link { pages, area: CallPages::area(process.page(), executor)? })
        };
        let thread = self.clone_thread(process);
        let thread = thread.and_then(|tid| StubThread::take_over(tid, link()).ok());
        if thread.is_none() {
            process.abandon();
        }
        thread
    }

    fn clone_thread(&self, process: &StubProcess) -> Option<Tid> {
        let (leader, page, commands) = (process.leader(), process.page(), self.commands.clone());
        let thread = process.with_command_page(|| {
            self.keeper.call(move || keeper::clone_thread(leader, &commands, page)).flatten()
        })?;
        process.add_thread(thread);
        Some(thread)
    }

    /// Executes the first `count` commands of the command page of `process` in its leader.
    pub fn run_batch(&self, process: &StubProcess, count: usize) -> BatchEnd {
        let leader = Tracee(process.leader());
        self.keeper.call(move || leader.bring().run_batch(count)).unwrap_or(BatchEnd::Lost)
    }
}

impl Drop for Spaces {
    /// Ends all processes. Executors run no more, or their stub threads could not be reaped.
    fn drop(&mut self) {
        let processes = self.processes.get_mut().unwrap_or_else(PoisonError::into_inner);
        let spare = self.spare.get_mut().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> =
            processes.drain().map(|(_, process)| process).chain(spare.drain(..)).collect();
        for process in all {
            self.end(&process);
        }
        let template = self.template;
        self.keeper.post(move || keeper::end_process(template, &[]));
    }
}

/// Asks the host how it lays out vector state (`<asm/user.h>`: XCR0 is in the software bytes).
fn extended_state_format(template: Tid) -> Result<ExtendedStateFormat, Error> {
    const XCR0_OFFSET: usize = 464;
    let mut area = vec![0; 64 << 10];
    let size = sys::extended_state(template, &mut area)
        .map_err(Error::host("ptrace(PTRACE_GETREGSET, NT_X86_XSTATE)"))?;
    let features = area.iter().skip(XCR0_OFFSET).take(8).rev();
    let features = features.fold(0, |word, byte| word << 8 | u64::from(*byte));
    Ok(ExtendedStateFormat { size, features })
}

#[cfg(test)]
mod tests {
    use sentry::platform::Protection;

    use super::*;
    use crate::create_sandbox_memory;

    #[test]
    fn the_keeper_empties_a_process_before_its_next_user() {
        let memory = create_sandbox_memory(1 << 20).unwrap();
        let spaces = Spaces::new(&memory, [].into(), &[], None).unwrap();
        let first = spaces.create().unwrap();
        let process = spaces.get(first).unwrap();
        let leader = process.leader();
        process.map(1 << 20..2 << 20, 0, Protection::READ, &mut |_| BatchEnd::Lost);
        assert!(spaces.remove(first).is_none());
        // Jobs are done in order.
        spaces.keeper().call(|| ()).unwrap();
        let process = spaces.get(spaces.create().unwrap()).unwrap();
        assert_eq!(process.leader(), leader);
        let mut batches = 0;
        let mut run = |_| {
            batches += 1;
            BatchEnd::Lost
        };
        assert_eq!(process.enter(&mut run), Ok(()));
        assert_eq!(batches, 0);
    }
}
