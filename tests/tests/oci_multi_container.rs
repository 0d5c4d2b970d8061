//! Several containers in one sandbox, as an engine makes those of a pod.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, process::Command};

use integration_tests::{bundle::Runtime, describe};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid};

/// Runs until it is told to end.
const FOREVER: &str = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";

/// Namespaces of a container's own.
const OWN: &str = r#""namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}]"#;

/// A pod: the container `pod` makes the sandbox.
struct Pod {
    runtime: Runtime,
    pid: i32,
}

impl Pod {
    fn new(name: &str) -> Self {
        let runtime = Runtime::new(name, FOREVER, "", "");
        annotate(&runtime, r#""io.kubernetes.cri.container-type": "sandbox""#);
        let pid = runtime.create("pod");
        runtime.ok(&["start", "pod"]);
        // The next container's output goes to the same file.
        runtime.eventually("its output", |runtime| runtime.output().contains("ready"));
        Self { runtime, pid }
    }

    /// Describes a container of the pod with a root of its own, in which the file /name holds `id`.
    fn describe(&self, id: &str, script: &str, linux: &str) {
        self.runtime.configure(script, linux, "");
        let annotations = r#""io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.sandbox-id": "pod""#;
        annotate(&self.runtime, annotations);
        let root = self.runtime.path(format!("bundle/{id}"));
        if !root.exists() {
            let from = self.runtime.path("bundle/rootfs");
            assert!(Command::new("cp").arg("-a").args([&from, &root]).status().unwrap().success());
            fs::write(root.join("name"), id).unwrap();
        }
        self.runtime.replace(r#""path": "rootfs""#, &format!(r#""path": "{id}""#));
    }

    fn create(&self, id: &str, script: &str, linux: &str) -> i32 {
        self.describe(id, script, linux);
        self.runtime.create(id)
    }

    /// A container that runs [`FOREVER`].
    fn run(&self, id: &str) -> i32 {
        let pid = self.create(id, FOREVER, OWN);
        self.runtime.ok(&["start", id]);
        self.runtime.eventually("its output", |runtime| runtime.output().contains("ready"));
        pid
    }

    fn exec(&self, id: &str, script: &str) -> String {
        self.runtime.ok(&["exec", id, "sh", "-c", script])
    }

    fn ends(&self, id: &str) {
        self.runtime.eventually("its end", |runtime| runtime.status(id) == "stopped");
    }
}

fn annotate(runtime: &Runtime, annotations: &str) {
    runtime.replace(r#""color": "blue""#, annotations);
}

/// How the host process `pid`, a child, has ended.
fn reap(pid: i32) -> rustix::process::WaitStatus {
    let pid = Pid::from_raw(pid).unwrap();
    waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1
}

#[test]
fn each_container_has_its_own_root_processes_and_end() {
    set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let pod = Pod::new("pod_own");
    let runtime = &pod.runtime;
    let first = pod.run("a");
    let second = pod.run("b");
    assert!(first != second && first != pod.pid);
    for id in ["a", "b"] {
        assert_eq!(runtime.status(id), "running");
        assert_eq!(pod.exec(id, "cat /name"), id);
        assert!(runtime.ok(&["ps", id]).contains(" sh\n"), "{id}");
        // It sees its own processes only: the first one, what that runs, and the commands.
        let numbers = pod.exec(id, "cd /proc; echo [0-9]*");
        assert!(numbers.starts_with("1 "), "{numbers}");
        assert!(numbers.split_whitespace().count() <= 4, "{numbers}");
    }
    pod.exec("a", "echo hidden > /only-here; sleep 1000 >/dev/null 2>&1 & echo $! > /sleeper");
    assert!(!runtime.run(&["exec", "b", "cat", "/only-here"]).status.success());
    // No process of another container is ever found.
    let other = pod.exec("a", "cat /sleeper").trim().to_owned();
    let look = format!(
        "for pid in 2 3 {other}; do kill -0 $pid 2>/dev/null && cat /proc/$pid/cmdline; done; true"
    );
    assert!(!pod.exec("b", &look).contains("1000"));

    runtime.ok(&["kill", "a", "TERM"]);
    assert_eq!(reap(first).exit_status(), Some(9));
    pod.ends("a");
    assert_eq!([runtime.status("b"), runtime.status("pod")], ["running", "running"]);
    runtime.ok(&["delete", "a"]);
    assert!(!runtime.path("state/a").exists());
    assert_eq!(pod.exec("b", "cat /name"), "b");

    // Another one takes its place, as when a pod restarts a container.
    pod.run("a");
    assert_eq!(pod.exec("a", "cat /name; cat /sleeper >/dev/null && echo -n ' again'"), "a again");

    // With the sandbox everything ends.
    runtime.ok(&["kill", "pod", "KILL"]);
    assert_eq!(reap(second).terminating_signal(), Some(9));
    for id in ["a", "b", "pod"] {
        pod.ends(id);
        runtime.ok(&["delete", id]);
    }
    assert!(runtime.is_empty());
}

#[test]
fn a_container_ends_with_its_first_process_and_gives_its_status() {
    set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let pod = Pod::new("pod_status");
    let pid = pod.create("a", "sleep 1000 & echo out; exit 42", OWN);
    assert_eq!(pod.runtime.status("a"), "created");
    pod.runtime.ok(&["start", "a"]);
    assert_eq!(reap(pid).exit_status(), Some(42));
    assert_eq!(pod.runtime.output(), "out\n");
    pod.runtime.ok(&["delete", "a"]);
    // Never started, and killed by its pid.
    pod.create("a", FOREVER, OWN);
    pod.runtime.ok(&["delete", "a"]);
    let pid = pod.run("a");
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    assert_eq!(reap(pid).terminating_signal(), Some(9));
    pod.runtime.ok(&["delete", "a"]);
    // A program that is missing, as if it had a sandbox of its own.
    pod.describe("a", "true", OWN);
    pod.runtime.replace("/bin/sh", "/bin/missing");
    let text = pod.runtime.fails(&["create", "a"]);
    assert!(text.contains("no such file or directory"), "{text}");
    assert_eq!(pod.runtime.status("pod"), "running");
    let left = fs::read_dir(pod.runtime.path("state")).unwrap().count();
    assert_eq!(left, 1);
}

#[test]
fn signals_and_pauses_concern_one_container() {
    let pod = Pod::new("pod_signals");
    let runtime = &pod.runtime;
    pod.run("a");
    pod.run("b");
    runtime.ok(&["pause", "a"]);
    assert_eq!([runtime.status("a"), runtime.status("b")], ["paused", "running"]);
    assert!(runtime.fails(&["exec", "a", "true"]).contains("paused"));
    assert_eq!(pod.exec("b", "echo goes on"), "goes on\n");
    runtime.ok(&["resume", "a"]);
    assert_eq!(pod.exec("a", "echo again"), "again\n");
    runtime.ok(&["kill", "--all", "a", "KILL"]);
    pod.ends("a");
    assert_eq!(runtime.status("b"), "running");
    runtime.ok(&["delete", "--force", "b"]);
    assert_eq!(runtime.status("pod"), "running");
}

#[test]
fn a_pid_namespace_can_be_shared_with_the_sandbox() {
    let pod = Pod::new("pod_shared");
    let runtime = &pod.runtime;
    let share =
        |pid: i32| format!(r#""namespaces": [{{"type": "pid", "path": "/proc/{pid}/ns/pid"}}]"#);
    pod.create("a", "echo pid $$; sleep 1000", &share(pod.pid));
    runtime.ok(&["start", "a"]);
    runtime.eventually("its output", |runtime| runtime.output().contains("pid "));
    assert_ne!(runtime.output(), "pid 1\n");
    // It sees the pod's first process.
    assert!(pod.exec("a", "cat /proc/1/cmdline").contains("trap"));
    assert!(!runtime.ok(&["ps", "a"]).contains("       1       0"));
    pod.describe("b", FOREVER, &share(1));
    let text = runtime.fails(&["create", "b"]);
    assert!(text.contains("cannot share the pid namespace /proc/1/ns/pid"), "{text}");
    runtime.ok(&["kill", "--all", "a", "KILL"]);
    pod.ends("a");
    assert_eq!(runtime.status("pod"), "running");
    assert_eq!(pod.exec("pod", "echo there"), "there\n");
}

#[test]
fn what_cannot_be_is_told() {
    let runtime = Runtime::new("pod_wrong", FOREVER, "", "");
    annotate(&runtime, r#""io.kubernetes.cri-o.ContainerType": "container""#);
    assert!(runtime.fails(&["create", "c"]).contains("names no sandbox"));
    let sandbox = r#""io.kubernetes.cri-o.ContainerType": "container""#;
    runtime.replace(sandbox, &format!(r#"{sandbox}, "io.kubernetes.cri-o.SandboxID": "nope""#));
    let text = runtime.fails(&["create", "c"]);
    assert!(text.contains("cannot use the sandbox nope"), "{text}");
    assert!(runtime.is_empty());

    // Any other container is no sandbox of a pod: it keeps no devices for others.
    runtime.configure(FOREVER, "", "");
    runtime.create("plain");
    runtime.ok(&["start", "plain"]);
    annotate(&runtime, &format!(r#"{sandbox}, "io.kubernetes.cri-o.SandboxID": "plain""#));
    let text = runtime.fails(&["create", "c"]);
    assert!(text.contains("no device left"), "{text}");
    let output = runtime.run(&["exec", "plain", "echo", "fine"]);
    assert_eq!(output.stdout, b"fine\n", "{}", describe(&output));
}
