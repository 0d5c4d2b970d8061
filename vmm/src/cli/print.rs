//! Commands that print a table.

use std::io::{self, Write};

use sentry::syscalls::{SYSCALLS, Support};

use crate::error::{Failure, Result};

/// Prints each platform, whether it can be used, and why not.
///
/// # Errors
/// If standard output is closed.
pub fn platforms() -> Result<()> {
    output("kvm     unusable  not built yet\nptrace  usable    chosen by --platform=auto\n")
}

/// Prints the sentry's system-call table.
///
/// # Errors
/// If standard output is closed.
pub fn syscalls() -> Result<()> {
    let mut text = String::new();
    for call in SYSCALLS {
        let support = match call.support {
            Support::Full => "full",
            Support::Partial => "partial",
        };
        text.push_str(&format!("{:>3}  {:<24} {support:<8} {}", call.number, call.name, call.note));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    output(&text)
}

fn output(text: &str) -> Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(error, "give the command a standard output to write to"))
}
