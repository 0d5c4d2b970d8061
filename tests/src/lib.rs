//! Harness of the integration tests.
//!
//! A behaviour test is a script in `tests/programs/`. It runs natively first, where it must
//! succeed, and then in the sandbox, where it must print and return the same. So a wrong
//! expectation shows as a native failure, never as a bug of ours.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_arithmetic,
    reason = "a test harness fails by panicking; benchmarks compute ratios"
)]

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

pub mod benchmark;
pub mod bundle;
pub mod pseudo_terminal;

/// Environment variable that chooses the platform under test; `ptrace` if unset.
const PLATFORM_VARIABLE: &str = "SANDBOX_TEST_PLATFORM";

/// Environment variable with the number of executors; the sandbox's own choice if unset.
const EXECUTORS_VARIABLE: &str = "SANDBOX_TEST_EXECUTORS";

/// The `sandbox-vmm` binary built beside this test.
pub fn sandbox_binary() -> PathBuf {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let test = env::current_exe().expect("path of the test");
        let mut candidates = test.ancestors().map(|path| path.join("sandbox-vmm"));
        let binary = candidates.find(|path| path.is_file());
        binary.expect("sandbox-vmm is built: `cargo build` with the same profile")
    });
    BINARY.clone()
}

/// A command that runs `program` with its arguments in the sandbox.
pub fn sandboxed(program: &[&str]) -> Command {
    let mut command = Command::new(sandbox_binary());
    command.args(chosen_flags()).args(["do", "--"]).args(program);
    command
}

/// The platform under test, which the environment chooses.
pub fn chosen_platform() -> String {
    env::var(PLATFORM_VARIABLE).unwrap_or_else(|_| "ptrace".into())
}

/// The flags for the platform and the number of executors that the environment chooses.
pub fn chosen_flags() -> Vec<String> {
    let platform = chosen_platform();
    let executors = env::var(EXECUTORS_VARIABLE).ok();
    let flag = |executors| format!("--executors={executors}");
    [format!("--platform={platform}")].into_iter().chain(executors.map(flag)).collect()
}

/// A command that runs `program` with its arguments natively.
pub fn native(program: &[&str]) -> Command {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]);
    command
}

/// Runs `tests/programs/NAME.sh` natively and in the sandbox and compares.
///
/// # Panics
/// If the native run fails, or the two differ in standard output or status.
pub fn compare(name: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name);
    let script = script.with_extension("sh");
    let script = script.to_str().expect("UTF-8 path");
    let expected = run(native(&["/bin/sh", "-eu", script]), name);
    assert!(expected.status.success(), "native run failed: {}", describe(&expected));
    let actual = run(sandboxed(&["/bin/sh", "-eu", script]), name);
    assert!(
        expected.status.code() == actual.status.code() && expected.stdout == actual.stdout,
        "native: {}\nsandbox: {}",
        describe(&expected),
        describe(&actual),
    );
}

/// Runs `command` to its end in a fresh work directory, named by `WORK` in its environment.
fn run(mut command: Command, name: &str) -> Output {
    let work = WorkDirectory::new(name);
    command.env("WORK", &work.0).env("LC_ALL", "C").env("HOME", &work.0);
    command.current_dir(&work.0).stdin(Stdio::null());
    command.output().expect("start the command")
}

/// Status and the ends of both outputs, for a failure message.
pub fn describe(output: &Output) -> String {
    let end = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let start = text.char_indices().rev().nth(3000).map_or(0, |(index, _)| index);
        text[start..].to_owned()
    };
    format!(
        "{}\n-- stdout\n{}\n-- stderr\n{}",
        output.status,
        end(&output.stdout),
        end(&output.stderr)
    )
}

/// A directory of one run's own, removed with it.
pub struct WorkDirectory(pub PathBuf);

impl WorkDirectory {
    /// Makes an empty directory whose path has a fixed length, so that outputs can be compared.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("{name}-{:07}-{number:04}", std::process::id()));
        std::fs::create_dir_all(&path).expect("make the work directory");
        Self(path)
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        // A left-over directory under /tmp fails no test.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
