//! `sandbox-vmm`: runs OCI containers inside their own application kernel.

use std::process::ExitCode;

use sandbox_vmm::{cli, gofer, stand_in};

fn main() -> ExitCode {
    // The processes of a sandbox run the same binary. They are told apart before anything else
    // happens: a stand-in is to stay small.
    let subcommand = std::env::args_os().nth(1).unwrap_or_default();
    match subcommand.to_str() {
        Some(gofer::SUBCOMMAND) => gofer::main(),
        Some(stand_in::SUBCOMMAND) => stand_in::main(),
        _ => cli::main(),
    }
}
