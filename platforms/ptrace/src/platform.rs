//! The platform itself: the parts put together.

use std::{
    collections::HashMap,
    io::Write,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use guest_abi::device::QueueId;
use rustix::fs::FallocateFlags;
use sentry::{
    errno::Result,
    memory::{Frame, PAGE_SIZE, PhysicalMemory},
    platform::{
        AddressSpaceId, ClockParameters, Exception, ExecutorId, FaultAround, Platform, Protection,
        Trap, UserContext,
    },
};

use crate::{
    calls::{self, CallPages},
    clock::{self, TscClock},
    config::{Config, Error},
    executor::{self, Executor, NEVER, Threads, ring},
    placement,
    space::{Refusal, RunBatch, StubProcess},
    spaces::Spaces,
    stub::{StubThread, USER_ADDRESS_LIMIT},
    sys,
};

/// User code in ptraced stub processes, the sentry in this process.
///
/// Make it after the process has its final user ids and namespaces (the stubs inherit both, and
/// tracing them needs equal ones), and before its seccomp filter (stubs have their own).
///
/// The thread that first calls `run_user` or `idle` for an executor is that executor from then on:
/// it traces the executor's stub threads, and stubs it has entered end when it ends.
///
/// Nobody in the process may wait for children it did not make (`waitpid(-1)`).
#[derive(Debug)]
pub struct PtracePlatform {
    memory: PhysicalMemory,
    memory_file: OwnedFd,
    executors: Arc<[Executor]>,
    spaces: Spaces,
    kicks: HashMap<QueueId, OwnedFd>,
    clock: TscClock,
    halted: AtomicBool,
}

impl PtracePlatform {
    /// Makes the platform: maps its memory, starts the keeper thread and the template process.
    ///
    /// # Errors
    /// [`Error`] says what the host refused.
    pub fn new(config: Config) -> Result<Arc<Self>, Error> {
        if config.executors == 0 {
            return Err(Error::Configuration("no executors"));
        }
        let memory = map_memory(&config)?;
        sys::suppress_stop_notifications().map_err(Error::host("sigaction"))?;
        let executors: Result<Vec<_>, _> =
            (0..config.executors).map(|_| Executor::new(&config.calls)).collect();
        let executors: Arc<[_]> = executors.map_err(Error::host("eventfd or epoll"))?.into();
        let hands_over = config.hands_over_calls && calls::is_supported() && placement::can_part();
        let calls = hands_over.then(CallPages::new).transpose()?.map(Arc::new);
        let spaces = Spaces::new(&config.memory, executors.clone(), &config.calls, calls)?;
        Ok(Arc::new(Self {
            memory,
            memory_file: config.memory,
            executors,
            spaces,
            kicks: config.kicks.into_iter().collect(),
            clock: TscClock::new(config.trusts_tsc),
            halted: AtomicBool::new(false),
        }))
    }

    /// Has the keeper thread do `job` and waits for its result; `None` if the keeper is no more. For
    /// its seccomp filter: the keeper starts no process of its own after this platform is made.
    pub fn on_keeper<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.spaces.keeper().call(job)
    }

    /// Tells executor threads apart; the platform is behind an `Arc`, so it does not move.
    fn identity(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn executor(&self, executor: ExecutorId) -> Option<&Executor> {
        self.executors.get(usize::from(executor.0))
    }

    /// The executor that the calling thread is.
    fn current_executor(&self) -> Option<&Executor> {
        executor::current(self.identity()).and_then(|number| self.executor(ExecutorId(number)))
    }

    /// Calls `change` with the process of `space` and the cheapest way to run a batch there: the
    /// calling executor's own stub thread, or else the keeper's.
    fn change(&self, space: AddressSpaceId, change: impl FnOnce(&StubProcess, RunBatch<'_>)) {
        let Some(process) = self.spaces.get(space) else {
            return;
        };
        let mut threads = self.current_executor().map(Executor::threads);
        match threads.as_mut().and_then(|threads| threads.get(&process)) {
            Some(thread) => change(&process, &mut |count| thread.run_batch(count)),
            None => change(&process, &mut |count| self.spaces.run_batch(&process, count)),
        }
    }

    /// The executor's thread in `process`, made if it has none yet, where it is to run next.
    fn thread<'a>(
        &self,
        threads: &'a mut Threads,
        process: &Arc<StubProcess>,
        executor: u16,
    ) -> Option<&'a mut StubThread> {
        if threads.get(process).is_none() {
            threads.add(process, self.spaces.make_thread(process, executor)?);
        }
        let thread = threads.get(process)?;
        let ticks = self.spaces.keeper().ticks();
        if thread.is_loose() {
            // It runs where it is.
        } else if thread.hands_over(process) {
            if let Some((apart_from, others)) = placement::part(ticks) {
                thread.move_apart(apart_from, &others);
            }
        } else if let Some(processor) = placement::settle(ticks) {
            thread.move_to(processor);
        }
        Some(thread)
    }

    /// Runs user code with everything looked up and all mappings made.
    fn run_thread(
        &self,
        executor: &Executor,
        process: &StubProcess,
        thread: &mut StubThread,
        context: &mut UserContext,
        deadline: u64,
    ) -> Trap {
        let start = clock::monotonic();
        if deadline <= start {
            return Trap::Interrupted;
        }
        if let Err(trap) = thread.load(context, process) {
            return trap;
        }
        let tid = thread.tid();
        let trap = executor.in_user_mode(process.leader(), tid, deadline, || {
            self.spaces.keeper().watch(deadline);
            thread.run(&mut context.registers, process)
        });
        match trap {
            Trap::Syscall if thread.is_loose() => executor.note_handed_over(),
            Trap::Syscall => process.count_call(context.registers.rip, &self.memory),
            _ => {}
        }
        context.user_nanoseconds = clock::monotonic().saturating_sub(start);
        trap
    }

    /// Number of calls that user code has handed over without a stop, for tests and benchmarks.
    pub fn handed_over_calls(&self) -> u64 {
        self.executors.iter().map(Executor::handed_over).sum()
    }

    /// Time of a resume under PTRACE_SYSEMU and the stop that follows, without any register
    /// access: the floor under every system call on this host. Averages over `rounds`. To be
    /// called on the thread of `executor`; `None` if the stub fails.
    pub fn measure_bare_stop(
        &self,
        executor: ExecutorId,
        rounds: u32,
    ) -> Option<std::time::Duration> {
        let slot = self.executor(executor)?;
        executor::bind(self.identity(), executor.0);
        let space = self.create_address_space(Frame(0)).ok()?;
        let process = self.spaces.get(space)?;
        let result = self
            .thread(&mut slot.threads(), &process, executor.0)
            .and_then(|thread| thread.measure_bare_rounds(rounds).ok());
        self.destroy_address_space(space);
        result
    }
}

/// Maps sandbox memory and the device windows.
fn map_memory(config: &Config) -> Result<PhysicalMemory, Error> {
    let map = |file: &OwnedFd, base, size: u64| {
        let size = usize::try_from(size).ok().filter(|size| *size > 0 && size % PAGE_SIZE == 0);
        let size = size.ok_or(Error::Configuration("memory size is not a page multiple"))?;
        sys::map_region(file.as_fd(), base, size).map_err(Error::host("mmap"))
    };
    let ram = map(&config.memory, guest_abi::memory_map::RAM_BASE, config.memory_size)?;
    let windows: Result<Vec<_>, _> =
        config.windows.iter().map(|window| map(&window.file, window.base, window.size)).collect();
    Ok(PhysicalMemory::new(ram, windows?))
}

/// Why user code does not run.
const fn trap_for(refusal: Refusal) -> Trap {
    match refusal {
        Refusal::Unbacked => Trap::Exception(Exception::BusError),
        Refusal::Lost => Trap::Lost,
    }
}

/// The `pages` pages from `address`.
fn range(address: u64, pages: usize) -> std::ops::Range<u64> {
    address..address.saturating_add((pages as u64).saturating_mul(PAGE_SIZE as u64))
}

impl Platform for PtracePlatform {
    fn memory(&self) -> &PhysicalMemory {
        &self.memory
    }

    fn executor_count(&self) -> u16 {
        u16::try_from(self.executors.len()).unwrap_or(u16::MAX)
    }

    fn user_address_limit(&self) -> u64 {
        USER_ADDRESS_LIMIT
    }

    /// A fault costs as much as copying some twenty pages.
    fn fault_around(&self) -> FaultAround {
        FaultAround { zeros: 16, file: 512, copies: 8 }
    }

    fn create_address_space(&self, _root: Frame) -> Result<AddressSpaceId> {
        self.spaces.create()
    }

    fn destroy_address_space(&self, space: AddressSpaceId) {
        if let Some(executor) = self.current_executor() {
            executor.threads().leave();
        }
        let Some(retired) = self.spaces.remove(space) else {
            return;
        };
        if let Some(executor) = self.current_executor() {
            executor.threads().remove(&retired);
        }
        self.spaces.end(&retired);
    }

    fn map(
        &self,
        space: AddressSpaceId,
        address: u64,
        frame: Frame,
        pages: usize,
        protection: Protection,
    ) {
        self.change(space, |process, run| {
            process.map(range(address, pages), frame.address(), protection, run);
        });
    }

    fn unmap(&self, space: AddressSpaceId, address: u64, pages: usize) {
        self.change(space, |process, run| process.unmap(range(address, pages), run));
    }

    fn protect(&self, space: AddressSpaceId, address: u64, pages: usize, protection: Protection) {
        self.change(space, |process, run| process.protect(range(address, pages), protection, run));
    }

    fn run_user(
        &self,
        executor: ExecutorId,
        space: AddressSpaceId,
        context: &mut UserContext,
        deadline: Option<u64>,
    ) -> Trap {
        context.user_nanoseconds = 0;
        let Some((slot, process)) = self.executor(executor).zip(self.spaces.get(space)) else {
            return Trap::Lost;
        };
        if slot.take_interrupt() || self.halted.load(Ordering::SeqCst) {
            return Trap::Interrupted;
        }
        executor::bind(self.identity(), executor.0);
        let mut threads = slot.threads();
        let is_in = threads.is_in(&process);
        if !threads.get(&process).is_some_and(|thread| thread.holds(&context.extended)) {
            threads.save_extended(&context.extended);
        }
        let Some(thread) = self.thread(&mut threads, &process, executor.0) else {
            return Trap::Lost;
        };
        let run = &mut |count| thread.run_batch(count);
        let entered = if is_in { process.reenter(run) } else { process.enter(run) };
        let trap = match entered {
            Ok(()) => self.run_thread(slot, &process, thread, context, deadline.unwrap_or(NEVER)),
            Err(refusal) => {
                threads.leave();
                return trap_for(refusal);
            }
        };
        threads.stay_or_leave(&process, trap == Trap::Lost);
        trap
    }

    fn save_extended_state(&self, executor: ExecutorId, context: &mut UserContext) {
        if let Some(executor) = self.executor(executor) {
            executor.threads().save_extended(&context.extended);
        }
    }

    fn extended_state_size(&self) -> usize {
        self.spaces.extended_state().size
    }

    fn extended_state_features(&self) -> u64 {
        self.spaces.extended_state().features
    }

    fn interrupt(&self, executor: ExecutorId) {
        if let Some(executor) = self.executor(executor) {
            executor.interrupt();
        }
    }

    /// Its stub thread may wait in the space for the answer to a call.
    fn leave_address_space(&self, executor: ExecutorId) {
        if let Some(executor) = self.executor(executor) {
            executor.threads().leave();
        }
    }

    fn idle(&self, executor: ExecutorId, deadline: Option<u64>) {
        let Some(slot) = self.executor(executor) else {
            return;
        };
        executor::bind(self.identity(), executor.0);
        slot.threads().leave();
        if !self.halted.load(Ordering::SeqCst) {
            slot.idle(deadline);
        }
    }

    fn monotonic_nanoseconds(&self) -> u64 {
        clock::monotonic()
    }

    fn realtime_nanoseconds(&self) -> u64 {
        clock::realtime()
    }

    fn clock_parameters(&self) -> Option<ClockParameters> {
        self.clock.parameters()
    }

    fn kick(&self, queue: QueueId) {
        if let Some(eventfd) = self.kicks.get(&queue) {
            ring(eventfd.as_fd());
        }
    }

    fn release_frames(&self, first: Frame, count: usize) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let bytes = range(first.address(), count);
        let length = bytes.end - bytes.start;
        if rustix::fs::fallocate(&self.memory_file, flags, bytes.start, length).is_err() {
            // The contents must read as zero all the same.
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let _ = self.memory.zero(bytes.start, length);
        }
    }

    fn emergency_log(&self, line: &str) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    fn halt(&self) {
        self.halted.store(true, Ordering::SeqCst);
        for executor in &*self.executors {
            executor.interrupt();
        }
    }
}
