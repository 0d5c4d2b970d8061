//! The system-call table in print: for reading, and as docs/compatibility.md.

use std::fmt::Write;

use sentry::syscalls::{LINUX_CALLS, SYSCALLS, Support};

const INTRODUCTION: &str = "\
# Compatibility

Made from the system-call table (sentry/src/syscalls/table.rs). After a change of the table:

    sandbox-vmm syscalls --markdown >docs/compatibility.md

The sandbox speaks the system-call interface of Linux on x86-64. *full* means all that programs
use; *partial*, that the note says what is missing. Whatever is missing fails with the error that
Linux gives where a feature is not built in, never with a false success.
";

/// One line a call.
pub(super) fn plain() -> String {
    let mut text = String::new();
    for call in SYSCALLS {
        let support = word(call.support);
        let line = format!("{:>3}  {:<24} {support:<8} {}", call.number, call.name, call.note);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The page docs/compatibility.md.
pub(super) fn markdown() -> String {
    let is_served = |number| SYSCALLS.iter().any(|call| call.number == number);
    let missing: Vec<_> = LINUX_CALLS.iter().filter(|(number, _)| !is_served(*number)).collect();
    let full = SYSCALLS.iter().filter(|call| call.support == Support::Full).count();
    let (served, partial) = (SYSCALLS.len(), SYSCALLS.len() - full);
    let mut text = INTRODUCTION.to_owned();
    // Writing to a String does not fail.
    let _ = write!(text, "\n{served} calls are served, {full} in full and {partial} in part; ");
    let _ = writeln!(text, "{} of Linux 6.12 are not.\n", missing.len());
    text.push_str("| number | call | support | note |\n|---:|---|---|---|\n");
    for call in SYSCALLS {
        let note = if call.note.is_empty() { String::new() } else { format!(" {}", call.note) };
        let support = word(call.support);
        let _ = writeln!(text, "| {} | {} | {support} |{note} |", call.number, call.name);
    }
    text.push_str("\n## Not served\n\nThese fail with ENOSYS.\n\n");
    for (number, name) in missing {
        let _ = writeln!(text, "- {name} ({number})");
    }
    text
}

fn word(support: Support) -> &'static str {
    match support {
        Support::Full => "full",
        Support::Partial => "partial",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_that_of_the_table() {
        let page = include_str!("../../../docs/compatibility.md");
        assert!(
            page == markdown(),
            "docs/compatibility.md is not that of the table; make it anew with\n\
             cargo run -p sandbox-vmm -- syscalls --markdown >docs/compatibility.md"
        );
    }
}
