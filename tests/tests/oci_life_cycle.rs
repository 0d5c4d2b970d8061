//! The life of a container between the commands of an OCI runtime.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use integration_tests::{bundle::Runtime, describe};
use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid},
    termios::{Winsize, tcsetwinsize},
};

/// Runs until it is told to end, and says so.
const FOREVER: &str = "trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done";

fn pid(number: i32) -> Pid {
    Pid::from_raw(number).unwrap()
}

/// A running container.
fn running(name: &str) -> (Runtime, i32) {
    let runtime = Runtime::new(name, FOREVER, "", "");
    let pid = runtime.create("c");
    runtime.ok(&["start", "c"]);
    runtime.eventually("its output", |runtime| runtime.output().contains("ready"));
    (runtime, pid)
}

/// Children of a process, as ps(1) tells them.
fn children(parent: i32) -> Vec<i32> {
    let output = Command::new("ps").args(["-o", "pid=", "--ppid"]).arg(parent.to_string()).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn is_alive(number: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn from_create_to_delete() {
    let runtime = Runtime::new("life", FOREVER, "", "");
    let number = runtime.create("c");
    assert_eq!(runtime.status("c"), "created");
    assert_eq!(runtime.output(), "");
    let state = runtime.ok(&["state", "c"]);
    for expected in [&format!("\"pid\": {number}"), "\"ociVersion\"", "\"color\": \"blue\""] {
        assert!(state.contains(expected), "{state}");
    }
    assert!(runtime.fails(&["create", "c"]).contains("already exists"));
    runtime.ok(&["start", "c"]);
    runtime.eventually("its output", |runtime| runtime.output().contains("ready"));
    assert_eq!(runtime.status("c"), "running");
    assert_eq!(runtime.ok(&["list", "-q"]), "c\n");
    assert!(runtime.ok(&["list"]).contains("running"));
    assert!(runtime.ok(&["ps", "c"]).contains("sh"));
    assert!(runtime.ok(&["ps", "--format", "json", "c"]).contains(&number.to_string()));
    assert!(runtime.fails(&["start", "c"]).contains("cannot start"));
    assert!(runtime.fails(&["delete", "c"]).contains("not stopped"));
    runtime.ok(&["kill", "c", "SIGTERM"]);
    runtime.eventually("its end", |runtime| runtime.status("c") == "stopped");
    assert_eq!(runtime.output(), "ready\nterm\n");
    assert!(runtime.fails(&["kill", "c", "9"]).contains("container not running"));
    runtime.ok(&["kill", "--all", "c", "9"]);
    runtime.ok(&["delete", "c"]);
    assert!(runtime.is_empty());
}

#[test]
fn an_unknown_container_does_not_exist_and_is_deleted_already() {
    let runtime = Runtime::new("unknown", "", "", "");
    for command in [&["state", "c"][..], &["start", "c"], &["kill", "c", "9"], &["delete", "c"]] {
        assert!(runtime.fails(command).contains("container does not exist"), "{command:?}");
    }
    runtime.ok(&["delete", "--force", "c"]);
    assert!(runtime.fails(&["kill", "c", "NOSUCH"]).contains("unknown signal"));
}

#[test]
fn the_callers_child_ends_as_the_container_does() {
    set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let runtime = Runtime::new("reaped", "exit 42", "", "");
    let number = runtime.create("c");
    runtime.ok(&["start", "c"]);
    let (_, status) = waitpid(Some(pid(number)), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(42));
    runtime.ok(&["delete", "c"]);

    runtime.configure("kill -USR1 $$; sleep 100", "", "");
    let number = runtime.create("d");
    runtime.ok(&["start", "d"]);
    thread::sleep(Duration::from_millis(200));
    // The first process is protected from itself, not from the host.
    kill_process(pid(number), Signal::KILL).unwrap();
    let (_, status) = waitpid(Some(pid(number)), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.terminating_signal(), Some(9));
    runtime.ok(&["delete", "d"]);
}

#[test]
fn a_signal_to_the_pid_reaches_the_program() {
    let (runtime, number) = running("pid_signal");
    kill_process(pid(number), Signal::TERM).unwrap();
    runtime.eventually("its end", |runtime| runtime.status("c") == "stopped");
    assert_eq!(runtime.output(), "ready\nterm\n");
}

#[test]
fn whichever_process_is_killed_the_rest_goes_too() {
    for victim in 0..3 {
        let (runtime, stand_in) = running("killed");
        let sandbox = children(stand_in)[0];
        let processes = [vec![stand_in, sandbox], children(sandbox)].concat();
        assert!(processes.len() > 2, "{processes:?}");
        kill_process(pid(processes[victim]), Signal::KILL).unwrap();
        runtime.eventually("its end", |runtime| runtime.status("c") == "stopped");
        runtime.ok(&["delete", "--force", "c"]);
        runtime.eventually("no process", |_| !processes.iter().any(|&process| is_alive(process)));
        assert!(runtime.is_empty());
    }
}

#[test]
fn a_container_whose_maker_was_killed_can_be_deleted() {
    let hook = r#", "hooks": {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "3"]}]}"#;
    let runtime = Runtime::new("half_made", FOREVER, "", hook);
    let mut create = runtime.command(&["create", "c"]).stdout(Stdio::null()).spawn().unwrap();
    runtime.eventually("its record", |runtime| runtime.path("state/c/state.json").exists());
    assert_eq!(runtime.status("c"), "creating");
    create.kill().unwrap();
    create.wait().unwrap();
    runtime.ok(&["delete", "--force", "c"]);
    assert!(runtime.is_empty());
}

#[test]
fn commands_at_the_same_time_do_not_mix() {
    let runtime = Runtime::new("concurrent", FOREVER, "", "");
    runtime.create("c");
    let succeeded = |arguments: &[&str]| {
        let commands: Vec<_> = (0..6)
            .map(|_| {
                let mut command = runtime.command(arguments);
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            })
            .collect();
        commands
            .into_iter()
            .filter_map(|mut child| child.wait().ok())
            .filter(|s| s.success())
            .count()
    };
    assert_eq!(succeeded(&["start", "c"]), 1);
    assert_eq!(succeeded(&["exec", "c", "true"]), 6);
    assert_eq!(succeeded(&["delete", "--force", "c"]), 6);
    assert!(runtime.is_empty());
}

#[test]
fn other_processes_run_inside() {
    let (runtime, _) = running("exec");
    assert_eq!(runtime.ok(&["exec", "c", "echo", "-n", "hello"]), "hello");
    let status = |arguments: &[&str]| runtime.run(arguments).status.code();
    assert_eq!(status(&["exec", "c", "sh", "-c", "exit 7"]), Some(7));
    assert_eq!(status(&["exec", "c", "sh", "-c", "kill -KILL $$"]), Some(137));
    assert_eq!(status(&["exec", "c", "missing"]), Some(127));
    let text = runtime.fails(&["exec", "--cwd", "/missing", "c", "true"]);
    assert!(text.contains("chdir to cwd (\"/missing\")"), "{text}");
    assert_eq!(status(&["exec", "c", "cat", "/missing"]), Some(1));
    let text = runtime.ok(&[
        "exec",
        "-e",
        "A=b",
        "--cwd",
        "/bin",
        "-u",
        "5",
        "c",
        "sh",
        "-c",
        "pwd; echo $A; id -u",
    ]);
    assert_eq!(text, "/bin\nb\n5\n");
    assert!(runtime.ok(&["exec", "c", "ps"]).contains("sleep 0.05"));

    let mut cat = runtime.command(&["exec", "c", "wc", "-c"]);
    let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    cat.stdin.take().unwrap().write_all(&[b'x'; 200_000]).unwrap();
    assert_eq!(cat.wait_with_output().unwrap().stdout, b"200000\n");
    let large = runtime.ok(&["exec", "c", "sh", "-c", "yes | head -c 1000000"]);
    assert_eq!(large.len(), 1_000_000);
}

#[test]
fn files_that_come_and_go_from_outside_are_seen_in_a_running_container() {
    let (runtime, _) = running("copy");
    let shows = |runtime: &Runtime, expected: Option<&str>| {
        let output = runtime.run(&["exec", "c", "cat", "/directory/file"]);
        expected.map_or(!output.status.success(), |text| output.stdout == text.as_bytes())
    };
    let directory = runtime.path("bundle/rootfs/directory");
    assert!(shows(&runtime, None));
    fs::create_dir(&directory).unwrap();
    runtime.eventually("the directory", |runtime| {
        runtime.run(&["exec", "--cwd", "/directory", "c", "true"]).status.success()
    });
    assert!(shows(&runtime, None));
    for text in ["first", "second, longer"] {
        fs::write(directory.join("new"), text).unwrap();
        fs::rename(directory.join("new"), directory.join("file")).unwrap();
        runtime.eventually(text, |runtime| shows(runtime, Some(text)));
    }
    fs::remove_file(directory.join("file")).unwrap();
    runtime.eventually("its end", |runtime| shows(runtime, None));
    runtime.ok(&["exec", "c", "sh", "-c", "echo inside > /directory/file"]);
    assert_eq!(fs::read_to_string(directory.join("file")).unwrap(), "inside\n");
}

#[test]
fn the_process_that_stands_for_a_container_is_small() {
    const MOST_KIBIBYTES: u64 = 1024;
    let (_runtime, number) = running("small");
    // A debug build is several times as large.
    if cfg!(debug_assertions) {
        return;
    }
    let rollup = fs::read_to_string(format!("/proc/{number}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kibibytes <= MOST_KIBIBYTES, "{rollup}");
}

#[test]
fn what_an_exec_leaves_behind_keeps_its_streams() {
    let (runtime, _) = running("exec_left_behind");
    // As with a pipe: the reader sees the end when the last writer has closed it.
    let script = "(sleep 0.3; echo late; echo error >&2) & echo early";
    let output = runtime.run(&["exec", "c", "sh", "-c", script]);
    assert_eq!(output.stdout, b"early\nlate\n", "{}", describe(&output));
    assert_eq!(output.stderr, b"error\n");
    // Who writes on and on does not keep the process that started it from ending.
    let mut busy = runtime.command(&["exec", "c", "sh", "-c", "yes & exit 3"]);
    let mut busy = busy.stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(busy.wait().unwrap().code(), Some(3));
    // The streams of each are used again.
    for _ in 0..70 {
        assert_eq!(runtime.ok(&["exec", "c", "echo", "again"]), "again\n");
    }
}

#[test]
fn many_processes_are_executed_at_the_same_time() {
    let (runtime, _) = running("exec_many");
    let script = "echo $0; sleep 1";
    let start = |number: &str| {
        let mut command = runtime.command(&["exec", "c", "sh", "-c", script, number]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let numbers: Vec<String> = (0..32).map(|number| number.to_string()).collect();
    let all: Vec<_> = numbers.iter().map(|number| start(number)).collect();
    for (number, one) in numbers.iter().zip(all) {
        let output = one.wait_with_output().unwrap();
        assert_eq!(output.stdout, format!("{number}\n").as_bytes(), "{}", describe(&output));
    }
}

#[test]
fn a_described_process_runs_detached() {
    let (runtime, _) = running("exec_detached");
    let (file, pid_file) = (runtime.path("process.json"), runtime.path("exec.pid"));
    let process = r#"{"user": {"uid": 0, "gid": 0}, "args": ["/bin/sleep", "1000"],
        "env": ["PATH=/bin"], "cwd": "/"}"#;
    fs::write(&file, process).unwrap();
    let (file, pid_file_name) = (file.to_str().unwrap(), pid_file.to_str().unwrap());
    let arguments = ["exec", "--process", file, "--detach", "--pid-file", pid_file_name, "c"];
    let status = runtime.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.unwrap().success());
    let stand_in: i32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert!(is_alive(stand_in));
    assert!(runtime.ok(&["exec", "c", "ps"]).contains("sleep 1000"));
    kill_process(pid(stand_in), Signal::KILL).unwrap();
    runtime
        .eventually("its end", |runtime| !runtime.ok(&["exec", "c", "ps"]).contains("sleep 1000"));
    assert_eq!(runtime.status("c"), "running");
}

#[test]
fn a_paused_container_does_nothing() {
    let counting = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";
    let runtime = Runtime::new("paused", counting, "", "");
    runtime.create("c");
    runtime.ok(&["start", "c"]);
    runtime.eventually("its output", |runtime| !runtime.output().is_empty());
    runtime.ok(&["pause", "c"]);
    assert_eq!(runtime.status("c"), "paused");
    thread::sleep(Duration::from_millis(100));
    let before = runtime.output();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(runtime.output(), before);
    assert!(runtime.fails(&["exec", "c", "true"]).contains("paused"));
    runtime.ok(&["resume", "c"]);
    runtime.eventually("more output", |runtime| runtime.output().len() > before.len());
    runtime.ok(&["pause", "c"]);
    runtime.ok(&["kill", "c", "KILL"]);
    runtime.eventually("its end", |runtime| runtime.status("c") == "stopped");
}

#[test]
fn failures_are_json_lines_in_the_words_that_engines_match() {
    let runtime = Runtime::new("errors", "", "", "");
    let log = runtime.path("log.json");
    let flags = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    let config = fs::read_to_string(runtime.path("bundle/config.json")).unwrap();
    for (program, words) in [
        ("missing", "executable file not found in $PATH"),
        ("/missing", "no such file or directory"),
        ("/proc/version", "permission denied"),
    ] {
        let config = config.replace("/bin/sh", program);
        fs::write(runtime.path("bundle/config.json"), config).unwrap();
        let output = runtime.run(&[&flags[..], &["create", "c"]].concat());
        assert!(!output.status.success(), "{}", describe(&output));
        let lines = fs::read_to_string(&log).unwrap();
        let last = lines.lines().last().unwrap();
        assert!(last.starts_with('{') && last.contains(r#""level":"error""#), "{last}");
        assert!(last.contains(words), "{last}");
        assert!(runtime.is_empty());
    }
}

#[test]
fn hooks_run_in_order_with_the_state() {
    let directory = Runtime::new("hooks", "true", "", "");
    let file = directory.path("bundle/rootfs/hooks");
    let hook = |name: &str| {
        let script = if name == "startContainer" {
            // Inside, so that is another path to the same file.
            "(cat; echo; cat /hooks; echo startContainer) > /start; exit 0".to_owned()
        } else {
            format!("echo {name} >> {0}; cat >> {0}; echo >> {0}", file.display())
        };
        format!(r#""{name}": [{{"path": "/bin/sh", "args": ["sh", "-c", "{script}"]}}]"#)
    };
    let names =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let hooks: Vec<_> = names.iter().map(|name| hook(name)).collect();
    let script = "cat /start; echo program; sleep 0.3";
    directory.configure(script, "", &format!(r#", "hooks": {{{}}}"#, hooks.join(",")));
    let inside = directory.ok(&["run", "c"]);
    let in_order = |text: &str, names: &[&str]| {
        let positions: Vec<_> = names.iter().map(|name| text.find(&format!("{name}\n"))).collect();
        assert!(positions.iter().all(Option::is_some) && positions.is_sorted(), "{text}");
    };
    // The first process is known by its id inside.
    assert!(inside.contains("\"pid\":1,") && inside.contains("\"status\":\"created\""), "{inside}");
    in_order(
        &inside,
        &["prestart", "createRuntime", "createContainer", "startContainer", "program"],
    );
    assert!(!inside.contains("poststart"), "{inside}");
    let text = fs::read_to_string(&file).unwrap();
    in_order(&text, &["prestart", "createRuntime", "createContainer", "poststart", "poststop"]);
    for status in ["creating", "running", "stopped"] {
        assert!(text.contains(&format!("\"status\":\"{status}\"")), "{text}");
    }
}

#[test]
fn start_container_hooks_run_inside_as_the_containers_user() {
    let runtime = Runtime::new("start_hooks", "true", "", "");
    let configure = |hook: &str| {
        let hooks = format!(r#", "hooks": {{"startContainer": [{hook}]}}"#);
        runtime.configure("echo program", "", &hooks);
        runtime.replace(r#""uid": 0, "gid": 0"#, r#""uid": 7, "gid": 8"#);
    };
    let shell = |script: &str, more: &str| {
        format!(r#"{{"path": "/bin/busybox", "args": ["sh", "-c", "{script}"]{more}}}"#)
    };
    configure(&shell(
        "echo $A $(id -u) $(id -g) $(pwd) $(cat /proc/1/comm) >&2; false",
        r#", "env": ["A=b"]"#,
    ));
    let said = runtime.fails(&["run", "c"]);
    assert!(said.contains("hook #0: /bin/busybox: exit status: 1, stderr: b 7 8 / sh"), "{said}");
    assert!(!said.contains("program") && runtime.is_empty(), "{said}");
    configure(&shell("sleep 60", r#", "timeout": 1"#));
    assert!(runtime.fails(&["run", "c"]).contains("longer than 1 s"));
    configure(r#"{"path": "/bin/missing"}"#);
    assert!(runtime.fails(&["run", "c"]).contains("no such file or directory"));
    configure(r#"{"path": "busybox"}"#);
    assert!(runtime.fails(&["run", "c"]).contains("not absolute"));
    configure(&shell("sleep 60 & kill -9 $$", ""));
    assert!(runtime.fails(&["run", "c"]).contains("signal: 9"));
    configure(&shell("exit 0", ""));
    assert_eq!(runtime.ok(&["run", "c"]), "program\n");
}

#[test]
fn the_pid_is_in_the_containers_network_namespace() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let namespaces = r#""namespaces": [{"type": "network"}]"#;
    let runtime = Runtime::new("network", FOREVER, namespaces, "");
    let number = runtime.create("c");
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    let first = namespace(&number.to_string());
    assert_ne!(first, namespace("self"));
    let path = format!(r#""namespaces": [{{"type": "network", "path": "/proc/{number}/ns/net"}}]"#);
    runtime.configure(FOREVER, &path, "");
    // What is in it is inside the other container's sandbox.
    let refused = runtime.fails(&["create", "d"]);
    assert!(refused.contains("cannot share the network namespace"), "{refused}");
    let other = path.replace(&format!("/proc/{number}/ns/net"), "/dev/null");
    runtime.configure(FOREVER, &other, "");
    let refused = runtime.fails(&["create", "d"]);
    assert!(refused.contains("cannot enter the container's network namespace"), "{refused}");
    let mut holder = Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap();
    let own = namespace("self");
    let held = holder.id().to_string();
    runtime.eventually("a namespace", |_| namespace(&held) != own);
    runtime.configure(FOREVER, &path.replace(&number.to_string(), &held), "");
    let other = runtime.create("d");
    assert_eq!(namespace(&other.to_string()), namespace(&held));
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn run_in_the_foreground_leaves_nothing_and_detached_it_goes_on() {
    let runtime = Runtime::new("run", "echo out; exit 3", "", "");
    let output = runtime.run(&["run", "c"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b"out\n"[..]));
    assert!(runtime.is_empty());
    runtime.run(&["run", "--keep", "c"]);
    assert_eq!(runtime.status("c"), "stopped");
    runtime.ok(&["delete", "c"]);

    runtime.configure("sleep 2; exit 4", "", "");
    let null = || Stdio::null();
    let detached =
        runtime.command(&["run", "--detach", "c"]).stdout(null()).stderr(null()).status();
    assert!(detached.unwrap().success());
    assert_eq!(runtime.run(&["wait", "c"]).status.code(), Some(4));
    runtime.eventually("its end", |runtime| runtime.status("c") == "stopped");
}

/// The one descriptor that comes through a console socket.
fn receive_terminal(listener: &UnixListener) -> OwnedFd {
    let (stream, _): (UnixStream, _) = listener.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 4096];
    let mut parts = [IoSliceMut::new(&mut name)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(&stream, &mut parts, &mut control, flags).unwrap();
    assert!(received.bytes > 0);
    let mut descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(descriptors.len(), 1);
    descriptors.pop().unwrap()
}

/// Reads from a terminal until `text` has come.
fn expect(terminal: &mut fs::File, text: &str) {
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    while !seen.contains(text) {
        let count = terminal.read(&mut buffer).unwrap_or(0);
        assert!(count > 0, "the terminal closed after {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

#[test]
fn a_terminal_goes_through_the_console_socket_and_its_size_is_followed() {
    let script = "trap 'stty size' WINCH; test -t 0 && echo tty; while :; do sleep 0.05; done";
    let runtime = Runtime::new("terminal", script, "", "");
    let config = fs::read_to_string(runtime.path("bundle/config.json")).unwrap();
    let config = config.replace("\"terminal\": false", "\"terminal\": true");
    fs::write(runtime.path("bundle/config.json"), config).unwrap();
    assert!(runtime.fails(&["create", "c"]).contains("console socket"));

    let socket = runtime.path("console.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let socket = socket.to_str().unwrap();
    runtime.ok(&["create", "--console-socket", socket, "c"]);
    let mut terminal = fs::File::from(receive_terminal(&listener));
    runtime.ok(&["start", "c"]);
    expect(&mut terminal, "tty\r\n");
    let size = Winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    expect(&mut terminal, "33 99");

    runtime.ok(&[
        "exec",
        "-t",
        "-d",
        "--console-socket",
        socket,
        "c",
        "sh",
        "-c",
        "test -t 1 && echo exec; read line; echo got $line; exit 5",
    ]);
    let mut other = fs::File::from(receive_terminal(&listener));
    expect(&mut other, "exec\r\n");
    other.write_all(b"text\r").unwrap();
    expect(&mut other, "got text");
    drop(terminal);
    runtime.ok(&["delete", "--force", "c"]);
}
