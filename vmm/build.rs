//! Tells the program which commit it was built from, compiles its filters of system calls, and has it
//! linked statically.

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

/// What Rust's library names to the linker, and the archives of the compiler and the C library that are to
/// be taken for it.
const LIBRARIES: [(&str, &[&str]); 3] =
    [("c", &["libc.a"]), ("m", &["libm.a"]), ("gcc_s", &["libgcc_eh.a", "libgcc.a"])];

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
    let linking = link_statically(Path::new(&output))?;
    // Build scripts speak to cargo through standard output.
    let said = format!(
        "cargo::rustc-env=SANDBOX_VMM_COMMIT={commit}\ncargo::rerun-if-changed=build.rs\n\
         cargo::rerun-if-changed={FILTERS}\n{linking}"
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

/// Has the program linked statically and position-independent: to load three libraries takes a third of
/// the time that it needs to start, and their relocated pages are memory of each of its processes. The
/// feature `crt-static` does the same, but cannot be asked for in a package: it would have to be for
/// libraries of the compiler's too, which are dynamic.
///
/// Where the C library is another one, or has no archive, the program is linked as usual.
fn link_statically(output: &Path) -> Result<String, Box<dyn Error>> {
    let is_gnu = env::var("CARGO_CFG_TARGET_ENV")? == "gnu";
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if !is_gnu || features.split(',').any(|feature| feature == "crt-static") {
        return Ok(String::new());
    }
    let directory = output.join("archives");
    fs::create_dir_all(&directory)?;
    for (name, archives) in LIBRARIES {
        let Some(paths) = archives.iter().map(|archive| find(archive)).collect::<Option<Vec<_>>>()
        else {
            return Ok(String::new());
        };
        // A linker takes a list of archives for one (ld(1), linker scripts, GROUP).
        let list = format!("GROUP({})\n", paths.join(" "));
        fs::write(directory.join(format!("lib{name}.a")), list)?;
    }
    Ok(format!(
        "cargo::rustc-link-arg-bins=-static-pie\ncargo::rustc-link-arg-bins=-L{}\n",
        directory.display()
    ))
}

/// The path of an archive that the compiler driver, which links, knows.
fn find(archive: &str) -> Option<String> {
    let output = Command::new("cc").arg(format!("-print-file-name={archive}")).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    // It answers the name alone if there is no such file.
    Path::new(&path).is_absolute().then_some(path)
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
