//! A stub thread: a tracee of one executor in one stub process.

use std::{
    io,
    time::{Duration, Instant},
};

use rustix::thread::CpuSet;
use sentry::platform::{Exception, ExtendedState, Registers, Trap, UserContext};

use super::{code, gate, registers, stop};
use crate::{
    calls::{Found, Handed, Link, Pace},
    placement,
    space::StubProcess,
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
    /// Where it may run.
    location: Location,
    /// Where it hands over calls, if it can.
    link: Option<Link>,
    /// The call that it has handed over and waits for, if it runs: what the sentry saw.
    handed: Option<Registers>,
    /// It has been resumed to hand over calls.
    is_armed: bool,
    pace: Pace,
}

/// On which processors a stub thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Location {
    Anywhere,
    /// On this one only.
    On(usize),
    /// On any but this one.
    ApartFrom(usize),
}

impl StubThread {
    /// Takes over thread `tid`, which waits for a tracer.
    pub fn take_over(tid: Tid, link: Option<Link>) -> io::Result<Self> {
        sys::seize(tid)?;
        sys::interrupt(tid)?;
        while sys::wait(tid) != Report::Event {
            // A signal came first; the stop asked for follows it.
            sys::resume(tid, Resume::Executing)?;
        }
        Ok(Self {
            tracee: Tracee(tid),
            known: None,
            owner: None,
            location: Location::Anywhere,
            link,
            handed: None,
            is_armed: false,
            pace: Pace::new(),
        })
    }

    /// Its thread id.
    pub const fn tid(&self) -> Tid {
        self.tracee.0
    }

    /// Makes it run on `processor` and no other.
    pub fn move_to(&mut self, processor: usize) {
        if self.location != Location::On(processor) {
            self.location = Location::On(processor);
            placement::move_stub(self.tid(), processor);
        }
    }

    /// Makes it run on any of the `others`, which are all but `processor`.
    pub fn move_apart(&mut self, processor: usize, others: &CpuSet) {
        if self.location != Location::ApartFrom(processor) {
            self.location = Location::ApartFrom(processor);
            placement::move_stub_to_any(self.tid(), others);
        }
    }

    /// Whether it is to hand over calls when it runs next.
    pub fn hands_over(&self, process: &StubProcess) -> bool {
        self.pace.is_fast()
            && self.link.is_some()
            && process.copies(|copies| copies.has_gate().then_some(())).is_some()
    }

    /// Whether it runs though the sentry does not run user code: it waits for the answer to a call
    /// that it has handed over, or so it says.
    pub const fn is_loose(&self) -> bool {
        self.handed.is_some()
    }

    /// Stops it, if it is loose.
    pub fn halt(&mut self) {
        if self.handed.take().is_none() {
            return;
        }
        self.known = None;
        self.pace.stopped(true);
        if sys::poll(self.tid()).is_none() {
            // If it is gone, that is what the wait tells.
            let _ = sys::interrupt(self.tid());
            sys::wait(self.tid());
        }
    }

    /// Executes the first `count` commands of the command page.
    pub fn run_batch(&mut self, count: usize) -> BatchEnd {
        self.halt();
        self.known = None;
        self.tracee.run_batch(count)
    }

    /// Loads registers and vector state of `context`, or leaves them where they are, if the thread
    /// waits for the answer to a call of this task. A trap means that this is impossible.
    pub fn load(&mut self, context: &UserContext, process: &StubProcess) -> Result<(), Trap> {
        if let Some(handed) = &self.handed {
            if self.holds(&context.extended) && is_answer(handed, &context.registers) {
                return Ok(());
            }
            self.halt();
        }
        self.load_extended(&context.extended)?;
        let hands_over = self.hands_over(process);
        self.load_registers(&context.registers, hands_over)
    }

    fn load_registers(&mut self, registers: &Registers, hands_over: bool) -> Result<(), Trap> {
        let mut wanted = registers::to_host(registers);
        self.is_armed = hands_over;
        if let Some(link) = &self.link {
            link.area.arm(link.memory(), hands_over);
            // That is how the gate finds the area. A program that uses GS itself makes its calls by
            // stops.
            if hands_over && wanted.gs_base == 0 {
                wanted.gs_base = link.area.address();
            }
        }
        if self.known != Some(wanted) {
            self.known = None;
            sys::set_registers(self.tid(), &wanted).map_err(refusal)?;
            self.known = Some(wanted);
        }
        Ok(())
    }

    /// Runs user code until it traps.
    pub fn run(&mut self, registers: &mut Registers, process: &StubProcess) -> Trap {
        self.try_run(registers, process).unwrap_or(Trap::Lost)
    }

    fn try_run(&mut self, registers: &mut Registers, process: &StubProcess) -> io::Result<Trap> {
        if let Some(trap) = self.go_on(registers, process)? {
            return Ok(trap);
        }
        let report = match self.next_event() {
            Event::Request => match self.take(registers, process) {
                Some(trap) => return Ok(trap),
                None => {
                    // No stub makes such a request, but a program can.
                    sys::interrupt(self.tid())?;
                    sys::wait(self.tid())
                }
            },
            Event::Stop(report) => report,
        };
        self.stopped(report, registers, process)
    }

    /// Resumes it, or answers its call. A trap if it stopped otherwise than by that call, which
    /// cannot be answered any more.
    fn go_on(&mut self, registers: &Registers, process: &StubProcess) -> io::Result<Option<Trap>> {
        if self.handed.take().is_some()
            && let Some(link) = &self.link
        {
            if link.area.answer(link.memory(), registers.rip, registers.rax) {
                return Ok(None);
            }
            self.known = None;
            let report = sys::wait(self.tid());
            self.pace.stopped(true);
            match report {
                Report::Syscall => {}
                Report::Ended => return Ok(Some(Trap::Lost)),
                Report::Signal(_) | Report::Event => return Ok(Some(Trap::Interrupted)),
            }
            let hands_over = self.hands_over(process);
            if let Err(trap) = self.load_registers(registers, hands_over) {
                return Ok(Some(trap));
            }
        }
        sys::resume(self.tid(), Resume::Emulating)?;
        Ok(None)
    }

    /// Waits for the next request or stop. After a while without any it sleeps.
    fn next_event(&self) -> Event {
        const ROUNDS: u32 = 20;
        const LOOKS: u32 = 64;
        let Some(link) = self.link.as_ref().filter(|_| self.is_armed) else {
            return Event::Stop(sys::wait(self.tid()));
        };
        for _ in 0..ROUNDS {
            for _ in 0..LOOKS {
                match link.area.look(link.memory()) {
                    Found::Nothing => std::hint::spin_loop(),
                    Found::Request => return Event::Request,
                    Found::Abandoned => return Event::Stop(sys::wait(self.tid())),
                }
            }
            if let Some(report) = sys::poll(self.tid()) {
                return Event::Stop(report);
            }
        }
        if !link.area.sleep(link.memory()) && link.area.look(link.memory()) == Found::Request {
            return Event::Request;
        }
        Event::Stop(sys::wait(self.tid()))
    }

    /// Takes the call that it has handed over; `None` if it makes no sense.
    fn take(&mut self, registers: &mut Registers, process: &StubProcess) -> Option<Trap> {
        let link = self.link.as_ref()?;
        let Handed { slot, registers: handed } = link.area.handed(link.memory());
        let site = process.copies(|copies| copies.site_of_slot_at(slot))?;
        *registers = handed;
        let trap = gate::call(site, u64::from(site.number), registers);
        self.handed = Some(*registers);
        self.pace.handed();
        Some(trap)
    }

    /// What the stop that `report` tells of means. `registers` are what user code was to go on with
    /// when it was resumed.
    fn stopped(
        &mut self,
        report: Report,
        registers: &mut Registers,
        process: &StubProcess,
    ) -> io::Result<Trap> {
        if report == Report::Ended {
            return Ok(Trap::Lost);
        }
        let tid = self.tid();
        let host = self.known.get_or_insert_default();
        sys::registers(tid, host)?;
        let before = *registers;
        registers::from_host(host, registers);
        let Some(link) = &self.link else {
            return Ok(stop::trap(tid, report, host, registers));
        };
        if registers.gs_base == link.area.address() {
            registers.gs_base = 0;
        }
        let stop = gate::Stop { tid, report, host, before, link };
        let (trap, by_slot) = stop.trap(registers, process);
        self.pace.stopped(by_slot);
        Ok(trap)
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
            self.halt();
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

/// What a running stub thread does next.
enum Event {
    /// It hands over a call.
    Request,
    /// It stops.
    Stop(Report),
}

/// Whether `wanted` is how `handed` goes on after its call: only the result is new.
fn is_answer(handed: &Registers, wanted: &Registers) -> bool {
    Registers { rax: handed.rax, original_rax: handed.original_rax, ..*wanted } == *handed
}

/// The trap for state that the host does not accept: what the processor raises when it loads it.
fn refusal(error: io::Error) -> Trap {
    match error.raw_os_error() {
        Some(libc::ESRCH) => Trap::Lost,
        _ => Trap::Exception(Exception::GeneralProtection),
    }
}
