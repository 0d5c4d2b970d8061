//! Commands of the OCI runtime that are killed at any moment: what they leave can always be deleted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use integration_tests::bundle::Runtime;

/// When a command is killed after its start, in milliseconds: close together where it does most.
const MOMENTS: &[u64] =
    &[0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 23, 26, 30, 35, 40, 50, 60, 80, 120];

fn start(runtime: &Runtime, arguments: &[&str]) -> Child {
    let mut command = runtime.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs a command and kills it after `milliseconds`, unless it was faster.
fn kill_after(runtime: &Runtime, arguments: &[&str], milliseconds: u64) {
    let mut child = start(runtime, arguments);
    thread::sleep(Duration::from_millis(milliseconds));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Whether a process has `id` among its arguments, as stand-ins and sandbox processes do.
fn has_process(id: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| line.split(|byte| *byte == 0).any(|argument| argument == id.as_bytes()))
}

/// Whether a control group called `id` is there, in any hierarchy.
fn has_cgroup(id: &str) -> bool {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let mut directories: Vec<_> = hierarchies.map(|entry| entry.path()).collect();
    directories.push(Path::new("/sys/fs/cgroup").to_owned());
    directories.iter().any(|directory| directory.join(id).exists())
}

fn is_gone(runtime: &Runtime, id: &str) -> bool {
    let state = fs::read_dir(runtime.path("state"));
    let is_forgotten = state.map_or(true, |mut entries| entries.next().is_none());
    is_forgotten && !has_process(id) && !has_cgroup(id)
}

/// A runtime and the id of a container of its own.
fn runtime(name: &str) -> (Runtime, String) {
    let id = format!("{name}-{}", std::process::id());
    let cgroup = match rustix::process::geteuid().is_root() {
        true => format!(r#""cgroupsPath": "/{id}""#),
        false => String::new(),
    };
    (Runtime::new(name, "sleep 1000", &cgroup, ""), id)
}

#[test]
fn a_killed_create_leaves_what_can_be_deleted() {
    let (runtime, id) = runtime("killed_create");
    for &moment in MOMENTS {
        kill_after(&runtime, &["create", &id], moment);
        runtime.ok(&["delete", "--force", &id]);
        runtime.eventually(&format!("its end, killed after {moment} ms"), |it| is_gone(it, &id));
    }
}

#[test]
fn a_killed_start_or_exec_leaves_what_can_be_deleted() {
    let (runtime, id) = runtime("killed_start");
    for &moment in MOMENTS.iter().step_by(2) {
        assert!(start(&runtime, &["create", &id]).wait().unwrap().success());
        kill_after(&runtime, &["start", &id], moment);
        kill_after(&runtime, &["exec", &id, "sleep", "1000"], moment);
        runtime.ok(&["delete", "--force", &id]);
        runtime.eventually(&format!("its end, killed after {moment} ms"), |it| is_gone(it, &id));
    }
}

#[test]
fn a_killed_delete_can_be_repeated() {
    let (runtime, id) = runtime("killed_delete");
    for &moment in MOMENTS.iter().step_by(2) {
        assert!(start(&runtime, &["run", "--detach", &id]).wait().unwrap().success());
        kill_after(&runtime, &["delete", "--force", &id], moment);
        runtime.ok(&["delete", "--force", &id]);
        runtime.eventually(&format!("its end, killed after {moment} ms"), |it| is_gone(it, &id));
    }
}
