//! Areas: where a stub thread and its executor meet.
//!
//! Whose turn it is, is in the state:
//!
//! | state | means | goes to |
//! |---|---|---|
//! | `ASLEEP` | the executor will learn of stops only | `POLLING`, by the executor |
//! | `POLLING` | the executor waits for a request, and has answered the last | `REQUEST`, by the stub; `ASLEEP`, by the executor |
//! | `REQUEST` | the stub waits for an answer | `POLLING`, by the executor; `ABANDONED`, by the stub |
//! | `ABANDONED` | the stub makes the call by a stop | `POLLING` or `ASLEEP`, by the executor |
//!
//! Any thread of the stub process can write anything here at any time. So each word is read once,
//! and a state only ever decides what to look at next: whether a thread is stopped is asked of the
//! host.

use std::sync::atomic::{AtomicU64, Ordering};

use sentry::{memory::PhysicalMemory, platform::Registers};

use super::AREAS;

/// Bytes of an area: four cache lines.
const AREA_BYTES: u64 = 256;

/// Most executors that have an area in a process: what one page holds.
pub const MOST_AREAS: u64 = sentry::memory::PAGE_SIZE as u64 / AREA_BYTES;

/// Offsets of the words in an area; the state is the first.
pub const SLOT: u64 = 8;
pub const RIP: u64 = 16;
pub const RAX: u64 = 24;
pub const RSP: u64 = 32;
pub const RFLAGS: u64 = 40;
pub const FS_BASE: u64 = 48;
pub const PATIENCE: u64 = 56;
/// From here: rdi, rsi, rdx, r10, r8, r9, rbx, rbp, r12, r13, r14, r15.
pub const RDI: u64 = 64;

/// The states.
const ASLEEP: u64 = 0;
pub const POLLING: u64 = 1;
pub const REQUEST: u64 = 2;
pub const ABANDONED: u64 = 3;

/// The flags that user code can change (Intel SDM volume 1, section 3.4.3), and those always set.
const USER_FLAGS: u64 = 0x24_4dd5;
const FIXED_FLAGS: u64 = 0x202;

/// How often a stub looks for an answer, with a PAUSE between, before it gives up: about 30 us.
const STUB_PATIENCE: u64 = 2000;

/// A call that a stub has handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Address of its slot, as the stub says.
    pub slot: u64,
    /// Its registers. The stub does not tell rax, rcx, r11, rip and the GS base.
    pub registers: Registers,
}

/// What an executor finds when it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing yet.
    Nothing,
    /// A call.
    Request,
    /// The stub is about to stop.
    Abandoned,
}

/// The area of one executor in one stub process.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Where it is in the memory of call pages.
    offset: u64,
    /// Where it is in the stub.
    address: u64,
}

impl Area {
    /// The area of executor `number` in the page of areas at `offset`.
    pub fn new(offset: u64, number: u16) -> Option<Self> {
        let number = u64::from(number);
        let within = number * AREA_BYTES;
        (number < MOST_AREAS).then(|| Self { offset: offset + within, address: AREAS + within })
    }

    /// Its address in the stub, which is also its thread's GS base.
    pub const fn address(self) -> u64 {
        self.address
    }

    fn word(self, memory: &PhysicalMemory, offset: u64) -> &AtomicU64 {
        static NOWHERE: AtomicU64 = AtomicU64::new(ASLEEP);
        // Areas are inside the memory by construction.
        memory.atomic_u64(self.offset + offset).unwrap_or(&NOWHERE)
    }

    fn read(self, memory: &PhysicalMemory, offset: u64) -> u64 {
        self.word(memory, offset).load(Ordering::Relaxed)
    }

    fn exchange(self, memory: &PhysicalMemory, from: u64, to: u64) -> bool {
        let (success, failure) = (Ordering::SeqCst, Ordering::Relaxed);
        self.word(memory, 0).compare_exchange(from, to, success, failure).is_ok()
    }

    /// Prepares for the stub thread, which is stopped, to run; whether the executor will poll.
    pub fn arm(self, memory: &PhysicalMemory, polling: bool) {
        self.word(memory, PATIENCE).store(STUB_PATIENCE, Ordering::Relaxed);
        let state = if polling { POLLING } else { ASLEEP };
        self.word(memory, 0).store(state, Ordering::SeqCst);
    }

    /// Looks whether there is a call.
    pub fn look(self, memory: &PhysicalMemory) -> Found {
        match self.word(memory, 0).load(Ordering::Acquire) {
            REQUEST => Found::Request,
            ABANDONED => Found::Abandoned,
            _ => Found::Nothing,
        }
    }

    /// Polls no more. False if the stub has done something in the meantime.
    pub fn sleep(self, memory: &PhysicalMemory) -> bool {
        self.exchange(memory, POLLING, ASLEEP)
    }

    /// Whether a thread that waits has its answer.
    pub fn is_answered(self, memory: &PhysicalMemory) -> bool {
        matches!(self.word(memory, 0).load(Ordering::Acquire), ASLEEP | POLLING)
    }

    /// Answers the call with `rax`, to go on at `rip`, and polls. False if the stub has given up.
    pub fn answer(self, memory: &PhysicalMemory, rip: u64, rax: u64) -> bool {
        self.word(memory, RIP).store(rip, Ordering::Relaxed);
        self.word(memory, RAX).store(rax, Ordering::Relaxed);
        self.exchange(memory, REQUEST, POLLING)
    }

    /// Reads the call that was found.
    pub fn handed(self, memory: &PhysicalMemory) -> Handed {
        let register = |index: u64| self.read(memory, RDI + 8 * index);
        let registers = Registers {
            rdi: register(0),
            rsi: register(1),
            rdx: register(2),
            r10: register(3),
            r8: register(4),
            r9: register(5),
            rbx: register(6),
            rbp: register(7),
            r12: register(8),
            r13: register(9),
            r14: register(10),
            r15: register(11),
            rsp: self.read(memory, RSP),
            rflags: self.flags(memory),
            fs_base: self.read(memory, FS_BASE),
            ..Registers::default()
        };
        Handed { slot: self.read(memory, SLOT), registers }
    }

    /// Address of the slot that the stub saved.
    pub fn slot(self, memory: &PhysicalMemory) -> u64 {
        self.read(memory, SLOT)
    }

    /// The stack pointer that the stub saved.
    pub fn stack_pointer(self, memory: &PhysicalMemory) -> u64 {
        self.read(memory, RSP)
    }

    /// The flags that the stub saved.
    pub fn flags(self, memory: &PhysicalMemory) -> u64 {
        self.read(memory, RFLAGS) & USER_FLAGS | FIXED_FLAGS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::CallPages;

    /// What the trampoline does to the state of `area`; whether the state was what it has to be.
    fn stub(pages: &CallPages, area: Area, from: u64, to: u64) -> bool {
        area.exchange(pages.memory(), from, to)
    }

    #[test]
    fn a_request_is_answered_or_given_up_but_not_both() {
        let pages = CallPages::new().unwrap();
        let (area, memory) = (CallPages::area(1, 3).unwrap(), pages.memory());
        area.arm(memory, true);
        assert_eq!(area.look(memory), Found::Nothing);
        assert!(stub(&pages, area, POLLING, REQUEST));
        assert_eq!(area.look(memory), Found::Request);
        assert!(area.answer(memory, 0x1000, 7));
        assert!(area.is_answered(memory));
        assert!(!stub(&pages, area, REQUEST, ABANDONED), "too late");
        assert!(stub(&pages, area, POLLING, REQUEST));
        assert!(stub(&pages, area, REQUEST, ABANDONED));
        assert!(!area.answer(memory, 0x1000, 7), "too late");
        assert_eq!(area.look(memory), Found::Abandoned);
    }

    #[test]
    fn no_request_is_made_of_an_executor_that_sleeps() {
        let pages = CallPages::new().unwrap();
        let (area, memory) = (CallPages::area(1, 0).unwrap(), pages.memory());
        area.arm(memory, true);
        assert!(area.sleep(memory));
        assert!(!stub(&pages, area, POLLING, REQUEST));
        area.arm(memory, true);
        assert!(stub(&pages, area, POLLING, REQUEST));
        assert!(!area.sleep(memory), "it has a request to look at");
    }

    #[test]
    fn areas_are_apart_and_in_one_page() {
        let last = u16::try_from(MOST_AREAS).unwrap();
        assert!(CallPages::area(1, last).is_none());
        let addresses: Vec<_> =
            (0..last).map(|number| CallPages::area(1, number).unwrap().address()).collect();
        assert_eq!((addresses[0], addresses[1]), (AREAS, AREAS + AREA_BYTES));
        assert!(addresses[usize::from(last) - 1] + AREA_BYTES <= AREAS + 4096);
    }

    #[test]
    fn flags_that_user_code_cannot_change_are_not_taken() {
        let pages = CallPages::new().unwrap();
        let (area, memory) = (CallPages::area(0, 1).unwrap(), pages.memory());
        area.word(memory, RFLAGS).store(u64::MAX, Ordering::Relaxed);
        assert_eq!(area.handed(memory).registers.rflags, USER_FLAGS | FIXED_FLAGS);
        area.word(memory, RFLAGS).store(0, Ordering::Relaxed);
        assert_eq!(area.flags(memory), FIXED_FLAGS);
    }
}
