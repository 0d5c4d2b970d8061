//! Tells the program which commit it was built from.

use std::process::Command;

fn main() {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |commit| commit.trim().to_owned());
    // Build scripts speak to cargo through standard output.
    std::io::Write::write_all(
        &mut std::io::stdout(),
        format!("cargo::rustc-env=SANDBOX_VMM_COMMIT={commit}\ncargo::rerun-if-changed=build.rs\n")
            .as_bytes(),
    )
    .unwrap_or_default();
}
