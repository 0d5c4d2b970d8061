//! `sandbox-vmm`: runs OCI containers inside their own application kernel.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox_vmm::cli::main()
}
