//! The trace of system calls (`--strace`), and the note of calls that do not exist here.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};

use guest_abi::control::LogLevel;
use spin::mutex::SpinMutex;

use super::{Current, Kernel, signal::Signal};
use crate::{
    mm::UserAddress,
    syscalls::{ArgumentKind, SYSCALLS, Syscall, SyscallResult, fs::AT_FDCWD, name_of},
    vfs::PATH_MAX,
};

/// Numbers of unknown calls that are remembered; beyond that none is noted any more.
const MAX_UNKNOWN: usize = 512;

/// Bytes of a string that are shown.
const MAX_TEXT: usize = 256;

/// Numbers of calls that the log has told of.
#[derive(Default)]
pub struct UnknownCalls(SpinMutex<BTreeSet<u64>>);

impl UnknownCalls {
    /// Remembers `number`; true if it is new.
    pub(super) fn add(&self, number: u64) -> bool {
        let mut known = self.0.lock();
        known.len() < MAX_UNKNOWN && known.insert(number)
    }
}

impl Kernel {
    /// Notes in the log, once, that a call with this number was made and does not exist.
    pub fn note_unknown_call(&self, number: u64) {
        if self.unknown_calls.add(number) {
            let name = name_of(number).unwrap_or("unknown");
            let text = format!("system call {number} ({name}) is not implemented: ENOSYS");
            self.log(LogLevel::Debug, &text);
        }
    }
}

impl Current {
    /// The call that the task has trapped with, in words. Strings are read now, since the call may
    /// replace the memory they are in.
    pub(super) async fn describe_call(&self) -> String {
        let registers = &self.context.registers;
        let number = registers.original_rax;
        let values = registers.syscall_arguments();
        let Some(call) = find(number) else {
            let name = name_of(number).map_or_else(|| format!("syscall_{number}"), String::from);
            return format!("{name}({values:#x?})");
        };
        let mut arguments = Vec::with_capacity(values.len());
        for ((name, kind), value) in call.arguments.iter().zip(values) {
            let shown = match kind {
                ArgumentKind::Text => self.describe_text(UserAddress(value)).await,
                _ => describe(*kind, value),
            };
            arguments.push(format!("{name}={shown}"));
        }
        format!("{}({})", call.name, arguments.join(", "))
    }

    /// The string at `address` between quotes; the address itself if there is none.
    async fn describe_text(&self, address: UserAddress) -> String {
        if address.is_null() {
            return "NULL".into();
        }
        match self.mm.read_string(address, PATH_MAX).await {
            Ok(Some(text)) => quote(&text),
            Ok(None) | Err(_) => describe(ArgumentKind::Address, address.0),
        }
    }

    /// Logs `call`, which has ended with `result`.
    pub(super) fn trace_call(&self, call: &str, result: SyscallResult) {
        let name = self.task.name();
        let name = String::from_utf8_lossy(&name);
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

/// The start of `text` between quotes, with what does not print escaped.
fn quote(text: &[u8]) -> String {
    let shown = text.get(..MAX_TEXT).unwrap_or(text);
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("\"{}\"{more}", shown.escape_ascii())
}

/// An argument that is a number, in words.
fn describe(kind: ArgumentKind, value: u64) -> String {
    let low = (value & 0xffff_ffff) as u32;
    match kind {
        ArgumentKind::FileDescriptor if low.cast_signed() == AT_FDCWD => "AT_FDCWD".into(),
        ArgumentKind::Signed | ArgumentKind::FileDescriptor => low.cast_signed().to_string(),
        ArgumentKind::Unsigned => value.to_string(),
        ArgumentKind::Octal => format!("0{low:o}"),
        ArgumentKind::Named(names) => names.describe(low),
        ArgumentKind::Signal => match Signal::from_number(low.cast_signed()) {
            Ok(signal) if !signal.is_real_time() => signal.name().into(),
            _ => low.cast_signed().to_string(),
        },
        ArgumentKind::Address | ArgumentKind::Text if value == 0 => "NULL".into(),
        ArgumentKind::Address | ArgumentKind::Text => format!("{value:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(number: u64, values: &[u64]) -> Vec<String> {
        let call = find(number).unwrap();
        call.arguments
            .iter()
            .zip(values)
            .map(|((_, kind), value)| describe(*kind, *value))
            .collect()
    }

    #[test]
    fn arguments_are_described_by_the_table() {
        assert_eq!(arguments(62, &[u64::MAX, 9]), ["-1", "SIGKILL"]);
        let openat = arguments(257, &[(-100_i64).cast_unsigned(), 0, 0o2_000_101, 0o644]);
        assert_eq!(openat, ["AT_FDCWD", "NULL", "O_WRONLY|O_CREAT|O_CLOEXEC", "0644"]);
        let mmap = arguments(9, &[0, 4096, 3, 0x22, u64::MAX, 0]);
        let expected =
            ["0", "4096", "PROT_READ|PROT_WRITE", "MAP_PRIVATE|MAP_ANONYMOUS", "-1", "0"];
        assert_eq!(mmap, expected);
    }

    #[test]
    fn strings_are_quoted_and_cut() {
        assert_eq!(quote(b"/a\n\xff"), "\"/a\\n\\xff\"");
        assert!(quote(&[b'x'; 1000]).ends_with("x\"..."));
    }

    #[test]
    fn unknown_calls_are_new_once() {
        let calls = UnknownCalls::default();
        assert!(calls.add(1000) && !calls.add(1000));
    }
}
