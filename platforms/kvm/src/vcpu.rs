//! One vCPU: its state at the start, and the loop that runs it.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use guest_abi::kvm::{
    BACKTRACE_PORT, BOOT_PAGE_TABLES, HALT_PORT, LOG_PORT, PANIC_PORT, RELEASE_PORT_BASE,
    RELEASE_PORTS, stack_top,
};
use kvm_bindings::{KVM_MP_STATE_RUNNABLE, kvm_mp_state, kvm_segment};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};

use crate::{config::Error, cpuid, exits::ExitCounter, released::ReturnableMemory, symbols};

const RELEASE_PORTS_RANGE: Range<u16> = RELEASE_PORT_BASE..RELEASE_PORT_BASE + RELEASE_PORTS;

/// Longest line of the emergency log that is kept.
const MAX_LOG_LINE: usize = 1024;

/// Why a vCPU stopped for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VcpuEnd {
    /// The sentry halted.
    Halted,
    /// The sentry panicked; the log says why.
    Panicked,
    /// The VMM stopped it.
    Stopped,
    /// It cannot go on; the text names the exit.
    Failed(String),
}

/// A vCPU that has not started.
#[derive(Debug)]
pub struct Vcpu {
    fd: VcpuFd,
}

impl Vcpu {
    /// Makes the vCPU at `index`, about to execute `entry` in ring 0.
    pub fn new(kvm: &Kvm, vm: &VmFd, index: u16, entry: u64) -> Result<Self, Error> {
        let fd = vm.create_vcpu(index.into()).map_err(Error::kvm("create a vCPU"))?;
        fd.set_cpuid2(&cpuid::for_vcpu(kvm, index)?).map_err(Error::kvm("set CPUID"))?;
        set_special_registers(&fd)?;
        let mut registers = fd.get_regs().map_err(Error::kvm("read registers"))?;
        registers.rip = entry;
        registers.rsp = stack_top(index);
        registers.rdi = index.into();
        // Only the bit that is always set: interrupts are off.
        registers.rflags = 2;
        fd.set_regs(&registers).map_err(Error::kvm("set registers"))?;
        let runnable = kvm_mp_state { mp_state: KVM_MP_STATE_RUNNABLE };
        fd.set_mp_state(runnable).map_err(Error::kvm("make a vCPU runnable"))?;
        Ok(Self { fd })
    }

    /// What counts its exits, if this kernel does.
    pub fn exit_counter(&self) -> Option<ExitCounter> {
        ExitCounter::of(&self.fd)
    }

    /// Address of the byte that makes KVM_RUN return at once.
    pub fn immediate_exit(&mut self) -> *mut u8 {
        &raw mut self.fd.get_kvm_run().immediate_exit
    }

    /// Runs it until it ends, `stop` is set, or it cannot go on. Log lines go to `log`, and what the
    /// guest gives back to `memory`.
    pub fn run(
        &mut self,
        stop: &AtomicBool,
        memory: &ReturnableMemory,
        log: &dyn Fn(&str),
    ) -> VcpuEnd {
        let mut line = Vec::new();
        loop {
            if stop.load(Ordering::SeqCst) {
                return VcpuEnd::Stopped;
            }
            match self.fd.run() {
                Ok(VcpuExit::IoOut(LOG_PORT, bytes)) => collect_lines(&mut line, bytes, log),
                Ok(VcpuExit::IoOut(port, first)) if RELEASE_PORTS_RANGE.contains(&port) => {
                    if let Err(reason) = memory.release(first, port - RELEASE_PORT_BASE) {
                        return VcpuEnd::Failed(reason);
                    }
                }
                Ok(VcpuExit::IoOut(BACKTRACE_PORT, address)) => log(&symbols::describe(address)),
                Ok(VcpuExit::IoOut(HALT_PORT, _)) => return VcpuEnd::Halted,
                Ok(VcpuExit::IoOut(PANIC_PORT, _)) => return VcpuEnd::Panicked,
                Ok(VcpuExit::Intr) => {}
                Ok(exit) => return VcpuEnd::Failed(format!("unexpected exit {exit:?}")),
                Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => {}
                Err(error) => return VcpuEnd::Failed(format!("KVM_RUN: {error}")),
            }
        }
    }
}

/// Passes whole lines on. Bytes are the guest's: their number is bounded and their text cleaned.
fn collect_lines(line: &mut Vec<u8>, bytes: &[u8], log: &dyn Fn(&str)) {
    for byte in bytes {
        if *byte != b'\n' && line.len() < MAX_LOG_LINE {
            line.push(*byte);
            continue;
        }
        let text: String = String::from_utf8_lossy(line)
            .chars()
            .map(|character| if character.is_control() { '.' } else { character })
            .collect();
        log(&text);
        line.clear();
    }
}

/// Long mode on the boot page tables (Intel SDM volume 3, 10.8.5). The image loads its own
/// descriptor tables before it needs any.
fn set_special_registers(fd: &VcpuFd) -> Result<(), Error> {
    let mut special = fd.get_sregs().map_err(Error::kvm("read special registers"))?;
    let code = kvm_segment {
        selector: 0x08,
        type_: 0xb,
        limit: u32::MAX,
        present: 1,
        s: 1,
        g: 1,
        l: 1,
        ..Default::default()
    };
    let data = kvm_segment { selector: 0x10, type_: 0x3, l: 0, db: 1, ..code };
    special.cs = code;
    (special.ss, special.ds, special.es, special.fs, special.gs) = (data, data, data, data, data);
    special.tr = kvm_segment { type_: 0xb, present: 1, limit: 0x67, ..Default::default() };
    special.cr3 = BOOT_PAGE_TABLES;
    special.cr0 = 0x8001_0033; // PG, WP, NE, ET, MP, PE
    special.cr4 = 0xa0; // PGE, PAE
    special.efer = 0xd01; // NXE, LMA, LME, SCE
    fd.set_sregs(&special).map_err(Error::kvm("enter long mode"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn log_lines_are_cut_and_cleaned() {
        let lines = RefCell::new(Vec::new());
        let log = |text: &str| lines.borrow_mut().push(text.to_owned());
        let mut line = Vec::new();
        collect_lines(&mut line, b"one\ntwo", &log);
        collect_lines(&mut line, b" parts\x1b[2J\n", &log);
        collect_lines(&mut line, &[b'x'; 3000], &log);
        let lines = lines.into_inner();
        assert_eq!(lines[0], "one");
        assert_eq!(lines[1], "two parts.[2J");
        assert!(lines[2].len() <= MAX_LOG_LINE);
    }
}
