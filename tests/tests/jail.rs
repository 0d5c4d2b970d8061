//! What the host's kernel says of the processes of a running sandbox: that they are jailed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use integration_tests::{bundle::Runtime, describe, sandboxed};

/// A process of the host, as procfs shows it.
struct Process(PathBuf);

impl Process {
    fn new(id: u32) -> Self {
        Self(PathBuf::from(format!("/proc/{id}")))
    }

    fn children(&self) -> Vec<Self> {
        let tasks = fs::read_dir(self.0.join("task")).unwrap().flatten();
        let children = tasks.flat_map(|task| {
            let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            text.split_whitespace().map(|id| Self::new(id.parse().unwrap())).collect::<Vec<_>>()
        });
        children.collect()
    }

    fn name(&self) -> String {
        fs::read_to_string(self.0.join("comm")).unwrap().trim().to_owned()
    }

    fn is_gofer(&self) -> bool {
        fs::read(self.0.join("cmdline")).unwrap().split(|byte| *byte == 0).nth(1) == Some(b"gofer")
    }

    /// The lines of `status` of each thread, by thread name.
    fn threads(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let tasks = fs::read_dir(self.0.join("task")).unwrap().flatten();
        let status = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("status")).unwrap();
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            let fields: BTreeMap<_, _> =
                lines.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect();
            (fields["Name"].clone(), fields)
        };
        tasks.map(status).collect()
    }

    fn namespace(&self, kind: &str) -> PathBuf {
        fs::read_link(self.0.join("ns").join(kind)).unwrap()
    }

    fn assert_alone_in(&self, kinds: &[&str]) {
        for kind in kinds {
            let own = self.namespace(kind);
            assert_ne!(own, Self::new(std::process::id()).namespace(kind), "{kind}");
        }
    }
}

/// Starts a sandbox that says when it runs, and waits for that.
fn start() -> Child {
    let mut command = sandboxed(&["/bin/sh", "-c", "echo ready; sleep 1000"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

/// A sandbox process: no user, no privileges, nothing to see.
fn assert_is_sandbox(process: &Process) {
    process.assert_alone_in(&["user", "mnt", "net", "ipc", "uts"]);
    assert_eq!(fs::read_dir(process.0.join("root")).unwrap().count(), 0, "its root is not empty");
    for (name, status) in process.threads() {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status[set], "0000000000000000", "{set} of {name}");
        }
        assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"), "{name}");
        assert_eq!(status["Groups"], "", "{name}");
        assert!(!status["Uid"].split_whitespace().any(|id| id == "0"), "{name}: {}", status["Uid"]);
    }
    let limits = fs::read_to_string(process.0.join("limits")).unwrap();
    assert!(limits.lines().any(|line| {
        line.starts_with("Max core file size") && line.split_whitespace().nth(4) == Some("0")
    }));
}

/// A gofer: only what serving files takes.
fn assert_is_gofer(process: &Process) {
    /// CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID and SETFCAP.
    const FILES: &str = "000000008000001f";
    process.assert_alone_in(&["mnt", "net", "ipc", "uts"]);
    for (name, status) in process.threads() {
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(status[set], FILES, "{set} of {name}");
        }
        assert_eq!(
            (&*status["CapInh"], &*status["CapAmb"]),
            ("0000000000000000", "0000000000000000")
        );
        assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"), "{name}");
    }
}

fn assert_is_stub(process: &Process) {
    // Sandbox memory, command pages, and the pages by which calls are handed over.
    assert_eq!(fs::read_dir(process.0.join("fd")).unwrap().count(), 3);
    assert_eq!(fs::read_dir(process.0.join("root")).unwrap().count(), 0);
    for (name, status) in process.threads() {
        assert_eq!(status["CapEff"], "0000000000000000", "{name}");
        assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"), "{name}");
    }
}

/// Checks a sandbox process and what it has started.
fn assert_is_jailed(sandbox: &Process) {
    assert_is_sandbox(sandbox);
    let (gofers, stubs): (Vec<_>, Vec<_>) =
        sandbox.children().into_iter().partition(Process::is_gofer);
    assert_eq!(gofers.len(), 1);
    assert_is_gofer(&gofers[0]);
    for stub in stubs.iter().filter(|process| process.name() == "stub") {
        assert_is_stub(stub);
    }
}

#[test]
fn the_processes_of_a_command_are_jailed() {
    let mut child = start();
    assert_is_jailed(&Process::new(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_processes_of_a_container_are_jailed() {
    let runtime = Runtime::new("jail", "echo ready; sleep 1000", "", "");
    let stand_in = Process::new(runtime.create("c").try_into().unwrap());
    let sandboxes = stand_in.children();
    assert_eq!(sandboxes.len(), 1);
    runtime.ok(&["start", "c"]);
    runtime.eventually("its output", |runtime| runtime.output().contains("ready"));
    assert_is_jailed(&sandboxes[0]);
    // Who enters its mount namespace finds the container's files: podman cp writes there.
    stand_in.assert_alone_in(&["mnt"]);
    let root = fs::metadata(stand_in.0.join("root")).unwrap();
    let rootfs = fs::metadata(runtime.path("bundle/rootfs")).unwrap();
    assert_eq!((root.dev(), root.ino()), (rootfs.dev(), rootfs.ino()));
    for (name, status) in stand_in.threads() {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status[set], "0000000000000000", "{set} of {name}");
        }
        assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"), "{name}");
    }
}

/// What a container costs the host before anything runs in it. A build for debugging is larger.
#[cfg(not(debug_assertions))]
#[test]
fn a_stand_in_is_small() {
    let runtime = Runtime::new("stand_in_size", "sleep 1000", "", "");
    let pid = runtime.create("c");
    let proportional_kilobytes = || -> u64 {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    // It lets go of what its start needed when that is over.
    runtime.eventually("at most 1 MiB", |_| proportional_kilobytes() <= 1024);
}

/// The binary where an ordinary user can execute it.
fn public_binary(work: &integration_tests::WorkDirectory) -> PathBuf {
    let binary = work.0.join("sandbox-vmm");
    fs::copy(integration_tests::sandbox_binary(), &binary).unwrap();
    binary
}

/// A command as `user`, with nothing in its environment.
fn as_user(user: u32, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}")]).arg("--clear-groups");
    command.args(["env", "-i", "PATH=/usr/bin:/bin"]).arg(program).arg("--platform=ptrace");
    command.current_dir("/").stdin(Stdio::null());
    command
}

#[test]
fn an_ordinary_user_runs_commands_in_the_same_jail() {
    let work = integration_tests::WorkDirectory::new("rootless");
    let mut command = as_user(65534, &public_binary(&work));
    command.args(["do", "--", "/bin/sh", "-c", "id -u; cat /etc/shadow"]);
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"65534\n", "{}", describe(&output));
    assert!(!output.status.success());
}

#[test]
fn an_ordinary_user_runs_bundles_without_privileges() {
    const USER: u32 = 54321;
    let script = "id -u; echo mine > /file; echo $(cat /file)";
    let linux =
        r#""cgroupsPath": "/rootless", "namespaces": [{"type": "network"}, {"type": "user"}]"#;
    let runtime = Runtime::new("rootless_run", script, linux, "");
    let bundle = runtime.path("bundle");
    let status =
        Command::new("chown").args(["-R", &format!("{USER}:{USER}")]).arg(&bundle).status();
    assert!(status.unwrap().success());
    let work = integration_tests::WorkDirectory::new("rootless_binary");
    let binary = public_binary(&work);
    let state = PathBuf::from(format!("/tmp/sandbox-vmm-{USER}"));
    let run = |arguments: &[&str]| {
        let output = as_user(USER, &binary).args(arguments).output().unwrap();
        (output.status.success(), describe(&output))
    };
    let bundle = bundle.to_str().unwrap();
    let (succeeded, said) = run(&["run", "--keep", "--bundle", bundle, "own"]);
    assert!(succeeded && said.contains("0\nmine\n"), "{said}");
    assert_eq!(said.matches("no control group for the container").count(), 1, "{said}");
    assert_eq!(fs::metadata(&state).unwrap().uid(), USER);
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(runtime.path("bundle/rootfs/file")).unwrap().uid(), USER);
    let (succeeded, said) = run(&["list", "--quiet"]);
    assert!(succeeded && said.contains("own"), "{said}");
    let (refused, said) = run(&["--rootless=false", "run", "--bundle", bundle, "other"]);
    assert!(!refused && said.contains("control group"), "{said}");
    assert!(run(&["delete", "own"]).0);
    // What others could have put there is not believed.
    Command::new("chown").arg("0:0").arg(&state).status().unwrap();
    let (succeeded, said) = run(&["list"]);
    assert!(!succeeded && said.contains("cannot use the state directory"), "{said}");
    fs::remove_dir(&state).unwrap();
}
