//! The command line: exit statuses, one-line failures, and nothing left behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use integration_tests::{WorkDirectory, chosen_flags, describe, sandbox_binary};
use rustix::process::{Pid, Signal, kill_process};

/// The binary under a path of its own, by which the processes of one sandbox can be told.
struct Binary {
    path: PathBuf,
    _directory: WorkDirectory,
}

impl Binary {
    fn new() -> Self {
        let directory = WorkDirectory::new("binary");
        let path = directory.0.join("sandbox-vmm");
        fs::hard_link(sandbox_binary(), &path)
            .or_else(|_| fs::copy(sandbox_binary(), &path).map(|_| ()))
            .unwrap();
        Self { path, _directory: directory }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(chosen_flags()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Ids of the processes that run it and have not ended.
    fn processes(&self) -> Vec<String> {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|entry| fs::read_link(entry.path().join("exe")).is_ok_and(|p| p == self.path))
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }

    /// Waits until no process is left; what a killed process held ends a moment later.
    fn assert_gone(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.processes().is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("left behind: {:?}", self.processes());
    }
}

/// Runs the command and checks that it leaves no process, and no file where it could.
fn run(arguments: &[&str]) -> Output {
    let binary = Binary::new();
    let work = WorkDirectory::new("command_line");
    let mut command = binary.command(arguments);
    let output = command.env("TMPDIR", &work.0).current_dir(&work.0).output().unwrap();
    binary.assert_gone();
    assert_eq!(fs::read_dir(&work.0).unwrap().count(), 0, "files left behind");
    output
}

/// Checks that the command fails with `status` and one line that contains `expected`.
fn assert_fails(arguments: &[&str], status: i32, expected: &str) {
    let output = run(arguments);
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{}", describe(&output));
    assert!(message.starts_with("sandbox-vmm: ") && message.contains("; "), "{message}");
    assert!(message.contains(expected), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

/// A bundle with `config` as its config.json and an empty root.
fn bundle(config: &str) -> WorkDirectory {
    let bundle = WorkDirectory::new("bundle");
    fs::create_dir(bundle.0.join("rootfs")).unwrap();
    fs::write(bundle.0.join("config.json"), config).unwrap();
    bundle
}

fn assert_bundle_fails(config: &str, status: i32, expected: &str) {
    let bundle = bundle(config);
    assert_fails(&["run", "--bundle", bundle.0.to_str().unwrap()], status, expected);
}

const PROCESS: &str = r#""process": {"user": {}, "args": ["/missing"], "cwd": "/"}"#;
const ROOT: &str = r#""root": {"path": "rootfs"}"#;

#[test]
fn bad_bundles_are_named_in_one_line() {
    assert_fails(&["run", "--bundle", "/nonexistent"], 125, "/nonexistent/config.json");
    assert_fails(&["--bundle", "/nonexistent"], 125, "/nonexistent/config.json");
    assert_bundle_fails("{ not json", 125, "config.json: key must be a string");
    assert_bundle_fails("{}", 125, "root is missing");
    assert_bundle_fails(&format!("{{{ROOT}}}"), 125, "process is missing");
    assert_bundle_fails(
        &format!(r#"{{{PROCESS}, "root": {{"path": "elsewhere"}}}}"#),
        125,
        "cannot read the root directory",
    );
    assert_bundle_fails(
        &format!(r#"{{{PROCESS}, {ROOT}, "mounts": [{{"destination": "/x", "type": "nfs"}}]}}"#),
        125,
        "mounts[0].type 'nfs' is unknown",
    );
    assert_bundle_fails(
        &format!(
            r#"{{{PROCESS}, {ROOT}, "mounts": [{{"destination": "/x", "type": "bind",
                "source": "/nonexistent"}}]}}"#
        ),
        125,
        "mount source /nonexistent",
    );
}

#[test]
fn a_missing_program_is_status_127() {
    assert_bundle_fails(&format!("{{{PROCESS}, {ROOT}}}"), 127, "/missing");
    assert_fails(&["do", "--", "/no/such/program"], 127, "/no/such/program");
    assert_fails(&["do", "--", "no-such-program-in-path"], 127, "no-such-program-in-path");
}

#[test]
fn a_program_that_cannot_be_executed_is_status_126() {
    let work = WorkDirectory::new("not_executable");
    let program = |name: &str, bytes: &[u8], mode| {
        let path = work.0.join(name);
        fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = program("plain", b"#!/bin/sh\n", 0o644);
    assert_fails(&["do", "--", &plain], 126, &plain);
    let garbage = program("garbage", b"\x7fELF and nothing more", 0o755);
    assert_fails(&["do", "--", &garbage], 126, &garbage);
    assert_fails(&["do", "--", "/tmp"], 126, "/tmp");
}

#[test]
fn other_failures_are_one_line_too() {
    let platforms = run(&["platforms"]).stdout;
    if String::from_utf8_lossy(&platforms).contains("unusable") {
        assert_fails(&["--platform=kvm", "do", "--", "true"], 125, "kvm");
    }
    assert_fails(&["do", "--root", "/nonexistent", "--", "true"], 125, "/nonexistent");
    assert_fails(&["--log", "/nonexistent/log", "do", "--", "true"], 125, "/nonexistent/log");
    assert_fails(&[], 125, "no command given");
}

#[test]
fn the_status_is_the_programs() {
    let status = |script: &str| run(&["do", "--", "/bin/sh", "-c", script]).status.code();
    assert_eq!(status("exit 0"), Some(0));
    assert_eq!(status("exit 42"), Some(42));
    assert_eq!(status("kill -TERM $$"), Some(143));
    assert_eq!(status("kill -SEGV $$"), Some(139));
}

/// Starts a sandbox whose shell runs `script`, which prints a line when it is ready.
fn start(binary: &Binary, script: &str) -> (Child, BufReader<ChildStdout>) {
    let mut command = binary.command(&["do", "--", "/bin/sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, output)
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap()).unwrap()
}

#[test]
fn signals_reach_the_program() {
    let script = "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let binary = Binary::new();
    let (mut child, mut output) = start(&binary, script);
    kill_process(pid(&child), Signal::TERM).unwrap();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "got\n");
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn a_killed_sandbox_leaves_nothing() {
    let binary = Binary::new();
    let (mut child, _output) = start(&binary, "echo ready; sleep 1000 & exec sleep 1000");
    assert!(binary.processes().len() > 1);
    kill_process(pid(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    binary.assert_gone();
}

#[test]
fn output_larger_than_a_pipe_is_complete_and_a_closed_reader_ends_the_writer() {
    let output = run(&["do", "--", "/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"]);
    assert_eq!(output.stdout.len(), 3_000_000, "{}", describe(&output));
    assert!(output.stdout.iter().all(|&byte| byte == b'x'));

    let binary = sandbox_binary();
    let flags = chosen_flags().join(" ");
    let script = format!("{} {flags} do -- /usr/bin/yes | head -n 1", binary.display());
    let output = Command::new("timeout").args(["60", "/bin/sh", "-c", &script]).output().unwrap();
    assert_eq!(output.stdout, b"y\n", "{}", describe(&output));
    assert!(output.status.success());
}

#[test]
fn standard_input_reaches_the_program_and_ends() {
    let binary = Binary::new();
    let mut command = binary.command(&["do", "--", "/usr/bin/wc", "-c"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&[b'x'; 100_000]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"100000\n");

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut command = binary.command(&["do", "--", "/usr/bin/wc", "-l"]);
    let output = command.stdin(fs::File::open(&file).unwrap()).output().unwrap();
    let lines = fs::read_to_string(&file).unwrap().lines().count();
    assert_eq!(output.stdout, format!("{lines}\n").as_bytes());
}

#[test]
fn tables_are_printed() {
    let lines = |command: &str| {
        let output = run(&[command]);
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(lines("platforms").contains("ptrace"));
    let syscalls = lines("syscalls");
    for name in ["read", "openat", "clone", "execve"] {
        assert!(syscalls.contains(&format!("  {name} ")), "{name} is missing");
    }
}

#[test]
fn the_trace_shows_calls_in_words() {
    let output = run(&["--strace", "do", "--", "/bin/cat", "/no such file"]);
    let trace = String::from_utf8(output.stderr.clone()).unwrap();
    for expected in [
        "cat] openat(directory=AT_FDCWD, name=\"/no such file\", flags=O_RDONLY, mode=00) = ENOENT",
        "protection=PROT_READ|PROT_WRITE, flags=MAP_PRIVATE|MAP_ANONYMOUS, descriptor=-1, offset=0) = 0x",
        "cat] close(descriptor=1) = 0",
    ] {
        assert!(trace.contains(expected), "{expected} is missing: {}", describe(&output));
    }
}

#[test]
fn an_unknown_call_is_noted_once() {
    let script = "syscall(999); syscall(999); exit($!{ENOSYS} ? 0 : 1)";
    let output = run(&["--debug", "do", "--", "/usr/bin/perl", "-e", script]);
    assert!(output.status.success(), "{}", describe(&output));
    let log = String::from_utf8(output.stderr.clone()).unwrap();
    let count = log.matches("system call 999 (unknown) is not implemented").count();
    assert_eq!(count, 1, "{}", describe(&output));
}
