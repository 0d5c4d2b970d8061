//! A stub thread: a tracee of one executor in one stub process.

use std::{
    io,
    time::{Duration, Instant},
};

use sentry::platform::{Exception, ExtendedState, Registers, Trap, UserContext};

use super::{code, registers, stop};
use crate::{
    placement,
    sys::{self, HostRegisters, Report, Resume, Tid},
};

/// A stopped thread of a stub process, traced by the calling thread.
#[derive(Clone, Copy, Debug)]
pub struct Tracee(pub Tid);

/// How a batch of commands ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEnd {
    /// All were executed.
    Done,
    /// One failed, and those after it were not executed.
    Failed {
        /// Number of commands that succeeded.
        completed: usize,
        /// Error number of the one that failed.
        errno: u64,
    },
    /// The stub process is gone.
    Lost,
}

impl Tracee {
    /// Executes the first `count` commands of the command page. The registers are lost.
    pub fn run_batch(self, count: usize) -> BatchEnd {
        self.try_run_batch(count).unwrap_or(BatchEnd::Lost)
    }

    fn try_run_batch(self, count: usize) -> io::Result<BatchEnd> {
        self.start_batch(count)?;
        loop {
            if let Some(end) = self.batch_end(count, sys::wait(self.0))? {
                return Ok(end);
            }
        }
    }

    /// Starts a batch of `count` commands.
    pub fn start_batch(self, count: usize) -> io::Result<()> {
        sys::set_registers(self.0, &registers::for_batch(count))?;
        sys::resume(self.0, Resume::Executing)
    }

    /// How the batch of `count` commands ended, if `report` tells that. Otherwise lets it go on:
    /// a new child is announced, or someone on the host sent a signal, which must not disturb.
    pub fn batch_end(self, count: usize, report: Report) -> io::Result<Option<BatchEnd>> {
        if report == Report::Ended {
            return Ok(Some(BatchEnd::Lost));
        }
        let mut now = HostRegisters::default();
        sys::registers(self.0, &mut now)?;
        if now.rip != code::AFTER_BATCH {
            sys::resume(self.0, Resume::Executing)?;
            return Ok(None);
        }
        let left = usize::try_from(now.r13).unwrap_or(count).min(count);
        Ok(Some(match left {
            0 => BatchEnd::Done,
            _ => BatchEnd::Failed { completed: count - left, errno: now.rax.wrapping_neg() },
        }))
    }

    /// Moves it to the processor that the calling thread is pinned to, if it is.
    pub fn bring(self) -> Self {
        placement::bring(self.0);
        self
    }

    /// Lets a thread that the calling thread traces go, to wait for another tracer.
    pub fn release(self) -> io::Result<()> {
        sys::set_registers(self.0, &registers::for_pause())?;
        sys::detach(self.0)
    }
}

/// A stub thread of an executor, and what the executor knows of it.
#[derive(Debug)]
pub struct StubThread {
    tracee: Tracee,
    /// Its registers, if known.
    known: Option<HostRegisters>,
    /// The task whose vector state it holds.
    owner: Option<ExtendedState>,
    /// The only processor it may run on.
    processor: Option<usize>,
}

impl StubThread {
    /// Takes over thread `tid`, which waits for a tracer.
    pub fn take_over(tid: Tid) -> io::Result<Self> {
        sys::seize(tid)?;
        sys::interrupt(tid)?;
        while sys::wait(tid) != Report::Event {
            // A signal came first; the stop asked for follows it.
            sys::resume(tid, Resume::Executing)?;
        }
        Ok(Self { tracee: Tracee(tid), known: None, owner: None, processor: None })
    }

    /// Its thread id.
    pub const fn tid(&self) -> Tid {
        self.tracee.0
    }

    /// Makes it run on `processor` and no other.
    pub fn move_to(&mut self, processor: usize) {
        if self.processor != Some(processor) {
            self.processor = Some(processor);
            placement::move_stub(self.tid(), processor);
        }
    }

    /// Executes the first `count` commands of the command page.
    pub fn run_batch(&mut self, count: usize) -> BatchEnd {
        self.known = None;
        self.tracee.run_batch(count)
    }

    /// Loads registers and vector state of `context`. A trap means that this is impossible.
    pub fn load(&mut self, context: &UserContext) -> Result<(), Trap> {
        self.load_extended(&context.extended)?;
        let wanted = registers::to_host(&context.registers);
        if self.known != Some(wanted) {
            self.known = None;
            sys::set_registers(self.tid(), &wanted).map_err(refusal)?;
            self.known = Some(wanted);
        }
        Ok(())
    }

    /// Runs user code until it traps.
    pub fn run(&mut self, registers: &mut Registers) -> Trap {
        self.try_run(registers).unwrap_or(Trap::Lost)
    }

    fn try_run(&mut self, registers: &mut Registers) -> io::Result<Trap> {
        sys::resume(self.tid(), Resume::Emulating)?;
        let report = sys::wait(self.tid());
        if report == Report::Ended {
            return Ok(Trap::Lost);
        }
        let host = self.known.get_or_insert_default();
        sys::registers(self.tracee.0, host)?;
        registers::from_host(host, registers);
        Ok(stop::trap(self.tracee.0, report, host, registers))
    }

    /// Average time of a resume under emulation and the next stop, over `rounds` system calls.
    pub fn measure_bare_rounds(&mut self, rounds: u32) -> io::Result<Duration> {
        self.known = None;
        sys::set_registers(self.tid(), &registers::for_pause())?;
        let start = Instant::now();
        for _ in 0..rounds {
            sys::resume(self.tid(), Resume::Emulating)?;
            sys::wait(self.tid());
        }
        Ok(start.elapsed() / rounds.max(1))
    }

    /// Whether `state` is live in this thread.
    pub fn holds(&self, state: &ExtendedState) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.is_same(state))
    }

    /// Brings the vector state that is live here back to its owner, and forgets it.
    pub fn save_extended(&mut self) {
        let Some(owner) = self.owner.take() else {
            return;
        };
        let mut area = owner.lock();
        if area.live {
            area.live = false;
            // Of a stub that is gone nothing can be saved; its task ends anyway.
            let _ = sys::extended_state(self.tracee.0, &mut area.bytes);
        }
    }

    fn load_extended(&mut self, state: &ExtendedState) -> Result<(), Trap> {
        if self.holds(state) {
            return Ok(());
        }
        self.save_extended();
        let mut area = state.lock();
        if let Err(error) = sys::set_extended_state(self.tracee.0, &area.bytes) {
            // Go on as Linux does after a signal frame with an invalid area: from initial state.
            let initial = ExtendedState::initial(area.bytes.len());
            area.bytes.clone_from(&initial.lock().bytes);
            return Err(refusal(error));
        }
        area.live = true;
        drop(area);
        self.owner = Some(state.clone());
        Ok(())
    }
}

/// The trap for state that the host does not accept: what the processor raises when it loads it.
fn refusal(error: io::Error) -> Trap {
    match error.raw_os_error() {
        Some(libc::ESRCH) => Trap::Lost,
        _ => Trap::Exception(Exception::GeneralProtection),
    }
}
