//! Tells the program which commit it was built from, and compiles its filters of system calls.

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
};

use seccompiler::{BpfProgram, TargetArch, compile_from_json};

/// Where the filters are, one file for each kind of thread.
const FILTERS: &str = "../resources/seccomp";

fn main() -> Result<(), Box<dyn Error>> {
    let commit = commit();
    let output = env::var("OUT_DIR")?;
    for entry in fs::read_dir(FILTERS)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            compile(&path, Path::new(&output))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    // Build scripts speak to cargo through standard output.
    let said = format!(
        "cargo::rustc-env=SANDBOX_VMM_COMMIT={commit}\ncargo::rerun-if-changed=build.rs\n\
         cargo::rerun-if-changed={FILTERS}\n"
    );
    Ok(std::io::stdout().write_all(said.as_bytes())?)
}

fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |commit| commit.trim().to_owned())
}

/// Writes the program of each filter in `source` to a file of the filter's name.
fn compile(source: &Path, output: &Path) -> Result<(), Box<dyn Error>> {
    for (name, program) in compile_from_json(File::open(source)?, TargetArch::x86_64)? {
        fs::write(output.join(name).with_extension("bpf"), bytes(&program))?;
    }
    Ok(())
}

/// The program as the array of `struct sock_filter` that it is.
fn bytes(program: &BpfProgram) -> Vec<u8> {
    let instruction = |it: &seccompiler::sock_filter| {
        let [code_low, code_high] = it.code.to_ne_bytes();
        let [a, b, c, d] = it.k.to_ne_bytes();
        [code_low, code_high, it.jt, it.jf, a, b, c, d]
    };
    program.iter().flat_map(instruction).collect()
}
