//! The trace of system calls (`--strace`), and the note of calls that do not exist here.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
};
use core::fmt::Write;

use guest_abi::control::LogLevel;
use spin::mutex::SpinMutex;

use super::{Current, Kernel};
use crate::{
    platform::Registers,
    syscalls::{ArgumentKind, SYSCALLS, Syscall, SyscallResult},
};

/// Numbers of unknown calls that are remembered; beyond that none is noted any more.
const MAX_UNKNOWN: usize = 512;

/// Calls that were made though they are not in the table.
#[derive(Default)]
pub struct UnknownCalls(SpinMutex<BTreeSet<u64>>);

impl UnknownCalls {
    /// Remembers `number`; true if it is new.
    fn add(&self, number: u64) -> bool {
        let mut known = self.0.lock();
        known.len() < MAX_UNKNOWN && known.insert(number)
    }
}

impl Kernel {
    /// Notes in the log, once, that a call with this number was made and does not exist.
    pub fn note_unknown_call(&self, number: u64) {
        if self.unknown_calls.add(number) {
            let text = format!("system call {number} is not implemented: ENOSYS");
            self.log(LogLevel::Debug, &text);
        }
    }
}

impl Current {
    /// Logs the call that was made with `registers` and has ended with `result`.
    pub(super) fn trace_call(&self, registers: &Registers, result: SyscallResult) {
        let name = self.task.name();
        let name = String::from_utf8_lossy(&name);
        let call = describe(registers);
        let result = match result {
            Ok(value) if value > u64::from(u32::MAX) => format!("{value:#x}"),
            Ok(value) => value.to_string(),
            Err(errno) => errno.to_string(),
        };
        let tid = self.task.tid();
        let text = format!("[{tid} {}] {call} = {result}", name.trim_end_matches('\0'));
        self.kernel.log(LogLevel::Debug, &text);
    }
}

fn find(number: u64) -> Option<&'static Syscall> {
    let index = SYSCALLS.binary_search_by_key(&number, |call| u64::from(call.number)).ok()?;
    SYSCALLS.get(index)
}

fn describe(registers: &Registers) -> String {
    let number = registers.original_rax;
    let values = registers.syscall_arguments();
    let Some(call) = find(number) else { return format!("syscall_{number}({values:#x?})") };
    let mut text = format!("{}(", call.name);
    for (index, ((name, kind), value)) in call.arguments.iter().zip(values).enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let low = (value & 0xffff_ffff) as u32;
        // Writing to a String does not fail.
        let _ = match kind {
            ArgumentKind::Signed | ArgumentKind::FileDescriptor => {
                write!(text, "{separator}{name}={}", low.cast_signed())
            }
            ArgumentKind::Unsigned => write!(text, "{separator}{name}={value}"),
            ArgumentKind::Address if value == 0 => write!(text, "{separator}{name}=NULL"),
            ArgumentKind::Address => write!(text, "{separator}{name}={value:#x}"),
        };
    }
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_described_by_the_table() {
        let registers =
            Registers { original_rax: 62, rdi: u64::MAX, rsi: 9, ..Registers::default() };
        assert_eq!(describe(&registers), "kill(pid=-1, signal=9)");
    }

    #[test]
    fn unknown_calls_are_new_once() {
        let calls = UnknownCalls::default();
        assert!(calls.add(1000) && !calls.add(1000));
    }
}
