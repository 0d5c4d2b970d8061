//! Stops in the gate and at patched sites, which the sentry must not see: the registers become those
//! of a program that was never patched.

use sentry::platform::{Exception, Registers, Trap};

use super::{registers::USER_CODE_SEGMENT, stop};
use crate::{
    calls::{Link, Place, Site, place},
    space::StubProcess,
    sys::{self, HostRegisters, Report, Tid},
};

/// A stop of a thread that can hand over calls.
pub struct Stop<'a> {
    pub tid: Tid,
    pub report: Report,
    pub host: &'a HostRegisters,
    /// What user code was to go on with when it was resumed.
    pub before: Registers,
    pub link: &'a Link,
}

impl Stop<'_> {
    /// What it means, and whether a slot made its call. Corrects `registers`, which hold those of
    /// the host.
    pub fn trap(self, registers: &mut Registers, process: &StubProcess) -> (Trap, bool) {
        if let Some(place) = place(self.host.rip, self.host.rflags)
            && self.host.cs == USER_CODE_SEGMENT
        {
            return self.in_gate(place, registers, process);
        }
        let at_site = self.report == Report::Signal(libc::SIGILL);
        let find = || process.copies(|copies| copies.site_with_syscall_at(self.host.rip));
        let trap = stop::trap(self.tid, self.report, self.host, registers);
        if at_site
            && trap == Trap::Exception(Exception::InvalidOpcode)
            && let Some(site) = find()
        {
            let number = registers.rax;
            return (call(site, number, registers), false);
        }
        (trap, false)
    }

    fn in_gate(
        &self,
        place: Place,
        registers: &mut Registers,
        process: &StubProcess,
    ) -> (Trap, bool) {
        let (area, memory) = (self.link.area, self.link.memory());
        let is_answered = || area.is_answered(memory);
        let slot = match place {
            Place::Slot(_) => self.host.rip,
            Place::Beginning => registers.rax,
            Place::Leaving => return self.not_yet(registers),
            Place::Waiting if is_answered() => return self.not_yet(registers),
            Place::Saved { .. } | Place::Waiting => {
                registers.rsp = area.stack_pointer(memory);
                if place != (Place::Saved { flags: true }) {
                    registers.rflags = area.flags(memory);
                }
                area.slot(memory)
            }
        };
        let Some(site) = process.copies(|copies| copies.site_of_slot_at(slot)) else {
            // Only a program that jumps here itself comes without a slot.
            return (Trap::Exception(Exception::GeneralProtection), false);
        };
        if self.report == Report::Syscall && matches!(place, Place::Slot(_)) {
            return (call(site, self.host.original_rax, registers), true);
        }
        // The call is still to be made: as if MOV had been executed, and SYSCALL not yet.
        (registers.rip, registers.rax) = (site.syscall(), u64::from(site.number));
        (self.interruption(), false)
    }

    /// User code has not yet gone on with what it was given.
    fn not_yet(&self, registers: &mut Registers) -> (Trap, bool) {
        *registers = self.before;
        (Trap::Interrupted, false)
    }

    /// The trap of code that was about to make a call: that of a single step, if it was one.
    fn interruption(&self) -> Trap {
        match (self.report, sys::signal_info(self.tid)) {
            (Report::Signal(libc::SIGTRAP), Ok(info)) if info.code > 0 => {
                Trap::Exception(Exception::Debug)
            }
            _ => Trap::Interrupted,
        }
    }
}

/// The system call `number` of `site`, as SYSCALL leaves the registers.
pub fn call(site: Site, number: u64, registers: &mut Registers) -> Trap {
    (registers.rax, registers.original_rax) = (number, number);
    (registers.rip, registers.rcx, registers.r11) = (site.after(), site.after(), registers.rflags);
    Trap::Syscall
}
