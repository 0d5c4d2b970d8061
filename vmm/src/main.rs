//! `sandbox-vmm`: runs OCI containers inside their own application kernel.

use std::process::ExitCode;

use sandbox_vmm::{cli, gofer};

fn main() -> ExitCode {
    // A sandbox process starts its gofer from the same binary.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == gofer::SUBCOMMAND) {
        return gofer::main();
    }
    cli::main()
}
