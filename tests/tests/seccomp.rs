//! Every rule of the filters of system calls is needed: without it, something that works is killed.
//!
//! The whole suite runs with the filters; this test takes each rule away in turn, which debug builds
//! allow, and looks for a workload that fails then.
#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use integration_tests::{
    WorkDirectory, bundle::Runtime, chosen_platform, pseudo_terminal::Session, sandbox_binary,
};

/// Tells the sandbox which rule to leave out: NAME:INDEX.
const WITHOUT: &str = "SANDBOX_VMM_SECCOMP_WITHOUT";

/// Runs something; whether it worked. The argument is the value of [`WITHOUT`].
type Workload = fn(&str) -> bool;

/// From the quickest to the slowest.
const WORKLOADS: [Workload; 8] =
    [nothing, files, memory, socket, stand_in, container, pod, terminal];

/// What rules contain that no run can be sure to need, and why they stay.
const EXCEPTIONS: [(&str, &str); 28] = [
    ("\"brk\"", "which thread's heap grows when is chance"),
    ("\"mmap\"", "which thread's heap grows when is chance"),
    ("\"munmap\"", "which thread's heap shrinks when is chance"),
    ("\"mremap\"", "which thread's buffers grow when is chance"),
    ("\"mprotect\"", "which thread's heap grows when is chance"),
    ("\"madvise\"", "which thread's heap shrinks when is chance"),
    ("\"openat\"", "which thread's heap shrinks first is chance"),
    ("\"futex\"", "which thread finds a lock taken is chance"),
    ("\"sched_yield\"", "which thread finds another at a channel is chance"),
    ("\"clock_gettime\"", "only on hosts whose vDSO has no clock"),
    ("\"getcpu\"", "only on hosts whose vDSO has no getcpu"),
    ("\"restart_syscall\"", "only after SIGSTOP and SIGCONT"),
    ("F_GETFD", "only in debug builds, and only where they close something"),
    ("\"exit\"", "a thread may end before its process, or with it"),
    ("\"sigaltstack\"", "a thread may end before its process, or with it"),
    ("\"rt_sigprocmask\"", "a thread may end before its process, or with it"),
    ("at the end", "nobody looks how the gofer ends"),
    ("the process ends", "nobody looks how the gofer ends"),
    ("stop", "only when the sandbox itself is stopped as a job"),
    ("SIGUSR1", "whether somebody is in user mode just then is chance"),
    ("kvm", "the ptrace platform has no machine"),
    ("of a platform that ends", "the process may end before its executors let go of it"),
    ("SIGKILL", "stubs are kept for the next process; how many is chance"),
    ("\"waitid\"", "stubs are kept for the next process; how many is chance"),
    ("rings doorbells\"", "whether an executor sleeps just then is chance"),
    ("GET_SYSCALL_INFO", "no program here makes system calls by INT 0x80"),
    ("asked first", "only for pipes of another user: tests/tests/jail.rs"),
    ("reads the settings", "only when the sandbox itself is stopped as a job"),
];

fn sandbox(without: &str, arguments: &[&str]) -> Command {
    let platform = chosen_platform();
    let mut command = Command::new("timeout");
    command.args(["--foreground", "20"]).arg(sandbox_binary());
    command.arg(format!("--platform={platform}")).args(arguments).env(WITHOUT, without);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn prints(mut command: Command, expected: &str) -> bool {
    let output = command.output().unwrap();
    output.status.success() && output.stdout == expected.as_bytes()
}

/// A start and an end.
fn nothing(without: &str) -> bool {
    prints(sandbox(without, &["do", "--", "/bin/echo", "ok"]), "ok\n")
}

/// All that a gofer does to files.
fn files(without: &str) -> bool {
    let work = WorkDirectory::new("seccomp");
    let volume = format!("{}:/mnt", work.0.display());
    let script = r#"
import os, socket
os.chdir("/mnt")
f = os.open("a", os.O_RDWR | os.O_CREAT)
os.write(f, b"x" * 100000); os.pread(f, 10, 5); os.preadv(f, [bytearray(9)], 0)
os.pwritev(f, [b"abc"], 7); os.posix_fallocate(f, 0, 200000); os.ftruncate(f, 150000)
os.fsync(f); os.fdatasync(f); os.lseek(f, 0, os.SEEK_DATA)
os.fchmod(f, 0o600); os.fchown(f, 1, 1); os.utime(f); os.setxattr("a", "user.k", b"v")
os.getxattr("a", "user.k"); os.listxattr("a"); os.removexattr("a", "user.k"); os.statvfs(".")
os.mkdir("d"); os.chmod("d", 0o700); os.symlink("a", "s"); os.readlink("s"); os.link("a", "l")
os.rename("l", "m"); os.mkfifo("p"); os.listdir("."); os.unlink("m"); os.rmdir("d"); os.close(f)
for i in range(300): open(f"f{i}", "w").close()
print("ok")
"#;
    let arguments = ["do", "--volume", &volume, "--", "/usr/bin/python3", "-c", script];
    prints(sandbox(without, &arguments), "ok\n")
}

/// Threads, processes that are interrupted, signals, much memory that is given back.
fn memory(without: &str) -> bool {
    let script = r#"
import os, threading, time, mmap, signal
def work(): sum(range(300000)); time.sleep(0.01)
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
m = mmap.mmap(-1, 160 << 20)
for i in range(0, 160 << 20, 4096): m[i] = 1
m.close(); time.sleep(0.2)
for i in range(8):
    p = os.fork()
    if p == 0:
        while True: pass
    time.sleep(0.02); os.kill(p, signal.SIGKILL); os.waitpid(p, 0)
print("ok")
"#;
    prints(sandbox(without, &["do", "--", "/usr/bin/python3", "-c", script]), "ok\n")
}

/// Streams that are sockets.
fn socket(without: &str) -> bool {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let theirs = || OwnedFd::from(theirs.try_clone().unwrap());
    let mut command = sandbox(without, &["do", "--", "/bin/cat"]);
    let mut child = command.stdin(theirs()).stdout(theirs()).spawn().unwrap();
    drop(command);
    ours.write_all(b"ok\n").unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut echoed = [0; 3];
    let read = ours.read_exact(&mut echoed);
    child.wait().unwrap().success() && read.is_ok() && &echoed == b"ok\n"
}

/// A process that stands for one of a container: it passes signals on, and dies of one as that did.
fn stand_in(without: &str) -> bool {
    const SCRIPT: &str = "trap 'exit 3' TERM; while :; do sleep 0.05; done";
    let runtime = Runtime::new("seccomp_stand_in", SCRIPT, "", "");
    let signal = |names: &[&str]| {
        let pid = fs::read_to_string(runtime.path("pid")).unwrap_or_default();
        for name in names {
            // Failure means that it has ended.
            let _ = Command::new("kill").args(["-s", name, &pid]).stderr(Stdio::null()).status();
        }
    };
    let kill = || drop(runtime.run(&["kill", "c", "KILL"]));
    ends_with(&runtime, without, || signal(&["WINCH", "TERM"])) == Some(3)
        && ends_with(&runtime, without, kill) == Some(128 + 9)
}

/// Runs a container and, as long as it runs, does something to it; its status.
fn ends_with(runtime: &Runtime, without: &str, act: impl Fn()) -> Option<i32> {
    let mut command = runtime.command(&["run", "--pid-file", "../pid", "c"]);
    let command = command.env(WITHOUT, without).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        let state = runtime.run(&["state", "c"]).stdout;
        if String::from_utf8_lossy(&state).contains("\"running\"") {
            act();
        }
        thread::sleep(Duration::from_millis(50));
    }
    // Failure means that it has ended.
    let _ = child.kill();
    child.wait().unwrap().code()
}

/// A container that commands control.
fn container(without: &str) -> bool {
    let runtime = Runtime::new("seccomp", "echo ready; sleep 30 & wait", "", "");
    let run = |arguments: &[&str]| succeeds(&runtime, without, arguments);
    run(&["create", "c"])
        && run(&["start", "c"])
        && run(&["exec", "c", "/bin/true"])
        && run(&["ps", "c"])
        && run(&["pause", "c"])
        && run(&["resume", "c"])
        && run(&["kill", "c", "KILL"])
        && is_deleted(&runtime, "c")
}

/// A further container in a sandbox, which goes on after it.
fn pod(without: &str) -> bool {
    const SCRIPT: &str = "sleep 30 & wait";
    let runtime = Runtime::new("seccomp_pod", SCRIPT, "", "");
    let annotate = |annotations: &str| runtime.replace(r#""color": "blue""#, annotations);
    let run = |arguments: &[&str]| succeeds(&runtime, without, arguments);
    annotate(r#""io.kubernetes.cri.container-type": "sandbox""#);
    let is_started = run(&["create", "pod"]) && run(&["start", "pod"]);
    runtime.configure(SCRIPT, "", "");
    annotate(
        r#""io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.sandbox-id": "pod""#,
    );
    let kill = || drop(runtime.run(&["kill", "c", "KILL"]));
    is_started
        && ends_with(&runtime, without, kill) == Some(128 + 9)
        && run(&["exec", "pod", "/bin/true"])
}

fn succeeds(runtime: &Runtime, without: &str, arguments: &[&str]) -> bool {
    let mut command = runtime.command(arguments);
    let out = File::create(runtime.path("out")).unwrap();
    let status = command.env(WITHOUT, without).stdout(out).stderr(Stdio::null()).status();
    status.unwrap().success()
}

/// Deletes a container, as soon as it has ended.
fn is_deleted(runtime: &Runtime, id: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match runtime.run(&["delete", id]).status.success() {
            true => return true,
            false if Instant::now() > deadline => return false,
            false => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// A program on a terminal, stopped as a job and continued.
fn terminal(without: &str) -> bool {
    let mut command =
        sandbox(without, &["do", "--", "/bin/sh", "-c", "echo st\"\"arted; read x; test $x = ok"]);
    command.stderr(Stdio::inherit());
    // What is killed shows as a panic of the session.
    let session = thread::spawn(move || {
        let mut session = Session::start(&command);
        session.expect("started");
        session.resize(30, 90);
        session.send("ok\n");
        session.finish() == Some(0)
    });
    session.join().unwrap_or(false)
}

/// The rules of a filter, as the file lists them.
fn rules(path: &Path) -> (String, Vec<String>) {
    let text = fs::read_to_string(path).unwrap();
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let rules = text.lines().map(str::trim).filter(|line| line.starts_with("{\"syscall\""));
    (name, rules.map(str::to_owned).collect())
}

/// Whether the platform under test has such threads.
fn applies(filter: &str) -> bool {
    let kvm = chosen_platform() == "kvm";
    match filter {
        "sandbox-executor-kvm" => kvm,
        "sandbox-executor-ptrace" | "sandbox-keeper" => !kvm,
        _ => true,
    }
}

fn is_needed(filter: &str, index: usize) -> bool {
    let without = format!("{filter}:{index}");
    !WORKLOADS.iter().all(|workload| workload(&without))
}

#[test]
fn each_rule_is_needed_by_something() {
    for workload in WORKLOADS {
        assert!(workload("none"), "a workload fails with all rules: {workload:?}");
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../resources/seccomp");
    let mut unneeded = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let (name, rules) = rules(&entry.unwrap().path());
        for (index, rule) in rules.iter().enumerate().filter(|_| applies(&name)) {
            let is_excepted = EXCEPTIONS.iter().any(|(part, _)| rule.contains(part));
            if !is_excepted && !is_needed(&name, index) {
                unneeded.push(format!("{name}: {rule}"));
            }
        }
    }
    assert!(unneeded.is_empty(), "nothing needs:\n{}", unneeded.join("\n"));
}
