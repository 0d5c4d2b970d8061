//! What the OCI runtime specification asks of a runtime's operations and of hooks (runtime.md,
//! config.md "Hooks"). docs/oci-conformance.md says which test shows what.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;

use integration_tests::{bundle::Runtime, describe};

/// Runs until it is killed.
const FOREVER: &str = "echo started; while :; do sleep 0.05; done";

/// One hook that runs a shell script.
fn hook(name: &str, script: &str) -> String {
    format!(r#""{name}": [{{"path": "/bin/sh", "args": ["sh", "-c", "{script}"]}}]"#)
}

fn with_hooks(name: &str, script: &str, hooks: &[String]) -> Runtime {
    Runtime::new(name, script, "", &format!(r#", "hooks": {{{}}}"#, hooks.join(",")))
}

#[test]
fn the_state_has_its_fields() {
    let runtime = Runtime::new("state", FOREVER, "", "");
    let pid = runtime.create("c");
    for status in ["created", "running"] {
        let state = runtime.ok(&["state", "c"]);
        let bundle = runtime.path("bundle");
        for expected in [
            "\"ociVersion\": \"1.".to_owned(),
            "\"id\": \"c\"".to_owned(),
            format!("\"status\": \"{status}\""),
            format!("\"pid\": {pid}"),
            format!("\"bundle\": \"{}\"", bundle.display()),
            "\"annotations\"".to_owned(),
        ] {
            assert!(state.contains(&expected), "{expected} is not in {state}");
        }
        if status == "created" {
            runtime.ok(&["start", "c"]);
        }
    }
    runtime.ok(&["kill", "c", "KILL"]);
    runtime.eventually("its end", |runtime| runtime.status("c") == "stopped");
}

#[test]
fn operations_without_an_id_fail() {
    let runtime = Runtime::new("no_id", "true", "", "");
    for operation in ["state", "create", "start", "kill", "delete"] {
        assert!(runtime.fails(&[operation]).contains("ID"), "{operation}");
    }
    assert!(runtime.fails(&["create", "--bundle", "/nonexistent", "c"]).contains("config.json"));
    assert!(runtime.is_empty());
}

#[test]
fn an_id_is_used_once_at_a_time_and_again_later() {
    let runtime = Runtime::new("id", FOREVER, "", "");
    let pid = runtime.create("c");
    assert!(runtime.fails(&["create", "c"]).contains("already exists"));
    assert!(runtime.ok(&["state", "c"]).contains(&format!("\"pid\": {pid}")));
    runtime.ok(&["delete", "--force", "c"]);
    runtime.create("c");
    assert_eq!(runtime.status("c"), "created");
}

#[test]
fn create_applies_everything_but_the_program() {
    let runtime = Runtime::new("create", FOREVER, "", "");
    runtime.create("c");
    // What config.json says from now on is for other containers.
    runtime.replace("echo started", "echo changed");
    assert_eq!(runtime.output(), "");
    runtime.ok(&["start", "c"]);
    runtime.eventually("its output", |runtime| !runtime.output().is_empty());
    assert_eq!(runtime.output(), "started\n");
}

#[test]
fn a_create_that_fails_leaves_nothing() {
    let runtime = Runtime::new("create_fails", FOREVER, "", "");
    runtime.replace("\"cwd\": \"/\"", "\"cwd\": \"relative\"");
    assert!(runtime.fails(&["create", "c"]).contains("process.cwd"));
    assert!(runtime.fails(&["state", "c"]).contains("does not exist"));
    assert!(runtime.is_empty());
}

#[test]
fn only_a_created_container_starts() {
    let runtime = Runtime::new("start", FOREVER, "", "");
    let pid = runtime.create("c");
    runtime.ok(&["start", "c"]);
    assert!(runtime.fails(&["start", "c"]).contains("cannot start"));
    assert_eq!(runtime.status("c"), "running");
    assert!(runtime.ok(&["state", "c"]).contains(&format!("\"pid\": {pid}")));
    runtime.ok(&["kill", "c", "KILL"]);
    runtime.eventually("its end", |runtime| runtime.status("c") == "stopped");
    assert!(runtime.fails(&["start", "c"]).contains("cannot start"));
    assert_eq!(runtime.status("c"), "stopped");
}

#[test]
fn a_container_without_process_is_not_made() {
    let runtime = Runtime::new("no_process", "true", "", "");
    runtime.replace("\"process\":", "\"unused\":");
    assert!(runtime.fails(&["create", "c"]).contains("process is missing"));
    assert!(runtime.is_empty());
}

#[test]
fn only_a_live_container_is_killed() {
    let runtime = Runtime::new(
        "kill",
        "trap 'echo got; exit 3' USR1; echo started; while :; do sleep 0.05; done",
        "",
        "",
    );
    runtime.create("c");
    runtime.ok(&["start", "c"]);
    runtime.eventually("its output", |runtime| runtime.output().contains("started"));
    runtime.ok(&["kill", "c", "USR1"]);
    runtime.eventually("its end", |runtime| runtime.status("c") == "stopped");
    assert!(runtime.output().ends_with("got\n"));
    assert!(runtime.fails(&["kill", "c", "USR1"]).contains("not running"));
    assert_eq!(runtime.status("c"), "stopped");
    assert!(runtime.fails(&["kill", "other", "9"]).contains("does not exist"));
}

#[test]
fn only_a_stopped_container_is_deleted() {
    let runtime = Runtime::new("delete", FOREVER, "", "");
    runtime.create("c");
    runtime.ok(&["start", "c"]);
    assert!(runtime.fails(&["delete", "c"]).contains("not stopped"));
    assert_eq!(runtime.status("c"), "running");
    runtime.ok(&["kill", "c", "KILL"]);
    runtime.eventually("its end", |runtime| runtime.status("c") == "stopped");
    runtime.ok(&["delete", "c"]);
    assert!(runtime.is_empty());
    // What the runtime did not make stays.
    assert!(runtime.path("bundle/rootfs/bin/busybox").exists());
}

#[test]
fn hooks_before_the_program_stop_the_container_when_they_fail() {
    for name in ["prestart", "createRuntime", "createContainer"] {
        let runtime = with_hooks("hook_create", FOREVER, &[hook(name, "exit 7")]);
        let message = runtime.fails(&["create", "c"]);
        assert!(message.contains(&format!("{name} hook #0")), "{message}");
        assert!(runtime.is_empty());
    }
    let runtime = with_hooks("hook_start", FOREVER, &[hook("startContainer", "exit 7")]);
    runtime.create("c");
    assert!(runtime.fails(&["start", "c"]).contains("startContainer hook #0"));
    runtime.eventually("its end", |runtime| runtime.status("c") == "stopped");
    assert_eq!(runtime.output(), "");
    runtime.ok(&["delete", "c"]);
}

#[test]
fn hooks_after_the_program_only_warn_when_they_fail() {
    let runtime = Runtime::new("hook_late", "echo ran", "", "");
    let file = runtime.path("hooks");
    let two = |name: &str| {
        format!(
            r#""{name}": [{{"path": "/bin/false"}},
                {{"path": "/bin/sh", "args": ["sh", "-c", "echo {name} >> {}"]}}]"#,
            file.display()
        )
    };
    let hooks = format!(r#", "hooks": {{{}, {}}}"#, two("poststart"), two("poststop"));
    runtime.configure("echo ran; sleep 0.3", "", &hooks);
    let output = runtime.run(&["run", "c"]);
    assert!(output.status.success(), "{}", describe(&output));
    assert_eq!(output.stdout, b"ran\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("poststart hook #0") && said.contains("poststop hook #0"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "poststart\npoststop\n");
}

#[test]
fn hooks_have_absolute_paths_time_limits_and_their_own_environment() {
    let runtime = Runtime::new("hook_fields", "true", "", "");
    let file = runtime.path("hooks");
    let configure = |hook: &str| {
        runtime.configure("true", "", &format!(r#", "hooks": {{"createRuntime": [{hook}]}}"#));
    };
    configure(r#"{"path": "true"}"#);
    assert!(runtime.fails(&["create", "c"]).contains("not absolute"));
    configure(r#"{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}"#);
    assert!(runtime.fails(&["create", "c"]).contains("longer than 1 s"));
    configure(&format!(
        r#"{{"path": "/bin/sh", "args": ["name", "-c", "echo $0 $A $HOME >> {}"], "env": ["A=b"]}}"#,
        file.display()
    ));
    runtime.ok(&["run", "c"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "name b\n");
}

#[test]
fn features_are_json_without_a_container() {
    let runtime = Runtime::new("features", "true", "", "");
    let features = runtime.ok(&["features"]);
    for expected in [
        "\"ociVersionMin\"",
        "\"ociVersionMax\"",
        "\"createContainer\"",
        "\"tmpcopyup\"",
        "\"rro\"",
        "\"CAP_SYS_ADMIN\"",
        "\"SCMP_ACT_KILL_PROCESS\"",
        "\"SCMP_ARCH_X86_64\"",
        "\"SCMP_CMP_MASKED_EQ\"",
    ] {
        assert!(features.contains(expected), "{expected} is not in {features}");
    }
}
