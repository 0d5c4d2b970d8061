//! Commands that print a table.

use std::io::{self, Write};

use super::{
    arguments::{SyscallsFlags, kvm_verdict},
    syscalls,
};
use crate::error::{Failure, Result};

/// Prints each platform, whether it can be used, and why not.
///
/// # Errors
/// If standard output is closed.
pub fn platforms() -> Result<()> {
    let chosen = "chosen by --platform=auto";
    let kvm = kvm_verdict();
    let rows = match &kvm {
        Ok(()) => [("kvm", true, chosen), ("ptrace", true, "used with --platform=ptrace")],
        Err(reason) => [("kvm", false, reason.as_str()), ("ptrace", true, chosen)],
    };
    let line = |(name, is_usable, reason): (&str, bool, &str)| {
        let verdict = if is_usable { "usable" } else { "unusable" };
        format!("{name:<7} {verdict:<9} {reason}\n")
    };
    output(&rows.map(line).concat())
}

/// Prints the sentry's system-call table.
///
/// # Errors
/// If standard output is closed.
pub fn syscalls(flags: &SyscallsFlags) -> Result<()> {
    output(&if flags.markdown { syscalls::markdown() } else { syscalls::plain() })
}

fn output(text: &str) -> Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(error, "give the command a standard output to write to"))
}
