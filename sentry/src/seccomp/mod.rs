//! Filters of system calls (seccomp(2)): programs that look at each call before it is served.
//!
//! A program is classic BPF (Documentation/networking/filter.rst). It comes from the container's
//! configuration or from the application, so it is checked once ([`Program::new`]) and then runs
//! without further checks failing. Only forward jumps exist, so it always ends. Calls whose
//! verdict does not depend on their arguments are decided once and remembered ([`Filters`]).

mod filters;
mod program;
mod task;

pub use filters::{Filter, Filters};
pub use program::{Instruction, Program};
pub use task::{Mode, TaskSeccomp};

/// What a filter asks for: the value it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict(pub u32);

/// What is done with a call (seccomp(2), "a seccomp filter returns"), the strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process dies of SIGSYS.
    KillProcess,
    /// The thread dies of SIGSYS.
    KillThread,
    /// The thread gets SIGSYS instead.
    Trap,
    /// The call fails with the number in the verdict's data.
    Errno,
    /// A supervisor would decide; there is none.
    Notify,
    /// A tracer would decide; there is none.
    Trace,
    /// It is served, and the host's log tells of it.
    Log,
    /// It is served.
    Allow,
}

impl Verdict {
    /// Every call is served.
    pub const ALLOW: Self = Self(0x7fff_0000);
    const ACTION: u32 = 0xffff_0000;

    /// What to do. An action that is not known kills, as in Linux.
    pub const fn action(self) -> Action {
        match self.0 & Self::ACTION {
            0x0000_0000 => Action::KillThread,
            0x0003_0000 => Action::Trap,
            0x0005_0000 => Action::Errno,
            0x7fc0_0000 => Action::Notify,
            0x7ff0_0000 => Action::Trace,
            0x7ffc_0000 => Action::Log,
            0x7fff_0000 => Action::Allow,
            _ => Action::KillProcess,
        }
    }

    /// The lower 16 bits, which belong to the action.
    pub const fn data(self) -> u16 {
        (self.0 & !Self::ACTION) as u16
    }

    /// The place of its action among all others: the smaller, the stricter. KILL_PROCESS has the
    /// highest bit, which counts as a sign.
    const fn rank(self) -> i32 {
        (self.0 & Self::ACTION).cast_signed()
    }
}

/// `struct seccomp_data`: what a filter sees of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallData {
    /// Number of the call.
    pub number: u32,
    /// Address of the next instruction.
    pub instruction_pointer: u64,
    /// Arguments.
    pub arguments: [u64; 6],
}

/// AUDIT_ARCH_X86_64, the only architecture that calls come from.
pub const ARCHITECTURE: u32 = 0xc000_003e;

impl CallData {
    /// Size of `struct seccomp_data` in bytes.
    pub const SIZE: u32 = 64;

    /// The 32-bit word at `offset`, which is below [`Self::SIZE`] and a multiple of 4.
    fn word(&self, offset: u32) -> u32 {
        let half = |value: u64, high: bool| (if high { value >> 32 } else { value }) as u32;
        let is_high = offset % 8 == 4;
        match offset / 8 {
            0 if is_high => ARCHITECTURE,
            0 => self.number,
            1 => half(self.instruction_pointer, is_high),
            index => {
                let argument = self.arguments.get(index as usize - 2).copied();
                half(argument.unwrap_or_default(), is_high)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_action_has_the_lowest_rank() {
        let values =
            [0x8000_0000, 0, 0x0003_0000, 0x0005_0000, 0x7fc0_0000, 0x7ff0_0000, 0x7ffc_0000];
        assert!(values.iter().map(|value| Verdict(*value).rank()).is_sorted());
        assert_eq!(Verdict(0x0005_0026).action(), Action::Errno);
        assert_eq!(Verdict(0x0005_0026).data(), 38);
        assert_eq!(Verdict(0x1234_0000).action(), Action::KillProcess);
    }

    #[test]
    fn words_are_those_of_seccomp_data() {
        let data = CallData {
            number: 7,
            instruction_pointer: 0x1_0000_0002,
            arguments: [0x3_0000_0004, 0, 0, 0, 0, 0x5_0000_0006],
        };
        let words: [u32; 6] = [0, 4, 8, 12, 16, 20].map(|offset| data.word(offset));
        assert_eq!(words, [7, ARCHITECTURE, 2, 1, 4, 3]);
        assert_eq!([data.word(56), data.word(60)], [6, 5]);
    }
}
