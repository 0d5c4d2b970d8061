//! What the OCI runtime specification says of config.json in general: root, mounts, process, names
//! (config.md). docs/oci-conformance.md says which test shows what.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt};

use integration_tests::bundle::Runtime;

fn runtime(name: &str, script: &str) -> Runtime {
    Runtime::new(name, script, "", "")
}

#[test]
fn the_version_is_one_of_the_specification() {
    let runtime = runtime("version", "true");
    runtime.replace("\"1.0.2\"", "\"2.0.0\"");
    assert!(runtime.fails(&["create", "c"]).contains("ociVersion '2.0.0' is not supported"));
    runtime.replace("\"2.0.0\"", "\"odd\"");
    assert!(runtime.fails(&["create", "c"]).contains("ociVersion 'odd' is no version"));
}

#[test]
fn unknown_properties_are_passed_over_and_wrong_ones_refused() {
    let runtime = runtime("unknown", "echo ran");
    runtime.replace("\"ociVersion\"", "\"com.example.unknown\": {\"a\": [1]}, \"ociVersion\"");
    assert_eq!(runtime.printed(), "ran\n");
    runtime.replace("\"hostname\": \"box\"", "\"hostname\": 7");
    assert!(runtime.fails(&["create", "c"]).contains("config.json"));
}

#[test]
fn the_root_is_read_only_if_it_says_so() {
    let script = "echo x > /file && cat /file; echo x > /proc/self/comm && echo ok";
    let runtime = runtime("root", script);
    assert_eq!(runtime.printed(), "x\nok\n");
    assert!(runtime.path("bundle/rootfs/file").exists());
    fs::remove_file(runtime.path("bundle/rootfs/file")).unwrap();
    runtime.replace("\"path\": \"rootfs\"", "\"path\": \"rootfs\", \"readonly\": true");
    assert_eq!(runtime.printed(), "ok\n");
    assert!(!runtime.path("bundle/rootfs/file").exists());
    runtime.replace("\"path\": \"rootfs\"", "\"path\": \"missing\"");
    assert!(runtime.fails(&["create", "c"]).contains("missing"));
}

#[test]
fn mounts_are_made_in_order() {
    let runtime = runtime("mount_order", "cat /a/f; busybox ls /a/b; busybox ls /c");
    for (directory, file) in [("one", "f"), ("two", "g")] {
        fs::create_dir_all(runtime.path(directory)).unwrap();
        fs::write(runtime.path(directory).join(file), directory).unwrap();
    }
    let bind = |source: &str, destination: &str| {
        let source = runtime.path(source);
        format!(
            r#"{{"destination": "{destination}", "type": "bind", "source": "{}",
                "options": ["rbind", "ro"]}}"#,
            source.display()
        )
    };
    let tmpfs =
        r#"{"destination": "/c/d", "type": "tmpfs"}, {"destination": "/c", "type": "tmpfs"}"#;
    let mounts = [bind("one", "/a"), r#"{"destination": "/a/b", "type": "tmpfs"}"#.to_owned()];
    fs::create_dir_all(runtime.path("one/b")).unwrap();
    runtime.add_mount(&format!("{}, {}, {tmpfs}", mounts.join(", "), bind("two", "/a/b")));
    // /c covers what was mounted below it before.
    assert_eq!(runtime.printed(), "oneg\n");
}

#[test]
fn mount_options_are_carried_out() {
    let script = "cp() { cat $1 > $2; }; cp /bin/busybox /noexec/b; busybox chmod 755 /noexec/b; \
        /noexec/b true || echo noexec; busybox head -c 300000 /dev/zero > /small/f || echo full; \
        busybox stat -c '%a %u %g' /small; busybox mknod /nodev/null c 1 3; \
        cat /nodev/null || echo nodev; echo x > /ro/f || echo ro; cat /copy/f; \
        echo new > /copy/f; cat /copy/f; busybox ln -s /bin/busybox /nolinks/l; \
        busybox readlink /nolinks/l; cat /nolinks/l || echo nolinks";
    let runtime = runtime("mount_options", script);
    runtime.add_to_process(
        r#""capabilities": {"bounding": ["CAP_MKNOD"], "effective": ["CAP_MKNOD"],
            "permitted": ["CAP_MKNOD"]},"#,
    );
    fs::create_dir_all(runtime.path("bundle/rootfs/copy")).unwrap();
    let file = runtime.path("bundle/rootfs/copy/f");
    fs::write(&file, "old\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let tmpfs = |name: &str, options: &str| {
        format!(r#"{{"destination": "/{name}", "type": "tmpfs", "options": [{options}]}}"#)
    };
    let mounts = [
        tmpfs("noexec", r#""noexec""#),
        tmpfs("small", r#""size=128k", "mode=750", "uid=4", "gid=5""#),
        tmpfs("nodev", r#""nodev""#),
        tmpfs("ro", r#""ro", "noatime", "relatime""#),
        tmpfs("copy", r#""tmpcopyup""#),
        tmpfs("nolinks", r#""nosymfollow""#),
    ];
    runtime.replace("\"uid\": 0", "\"uid\": 4");
    runtime.add_mount(&mounts.join(", "));
    assert_eq!(
        runtime.printed(),
        "noexec\nfull\n750 4 5\nnodev\nro\nold\nnew\n/bin/busybox\nnolinks\n"
    );
    // The directory itself is as it was.
    assert_eq!(fs::read(&file).unwrap(), b"old\n");
}

#[test]
fn a_bind_shows_one_mount_and_rbind_those_below_it() {
    let script = "test -d /one/pts && test ! -e /one/pts/ptmx && echo one; \
        test -e /all/pts/ptmx && echo all";
    let runtime = runtime("bind_or_rbind", script);
    // Where programs run, the host has its pseudo-terminals mounted there.
    let mount = |name: &str, option: &str| {
        format!(
            r#"{{"destination": "/{name}", "type": "bind", "source": "/dev",
                "options": ["{option}", "ro"]}}"#
        )
    };
    runtime.add_mount(&[mount("one", "bind"), mount("all", "rbind")].join(", "));
    assert_eq!(runtime.printed(), "one\nall\n");
}

#[test]
fn mounts_that_cannot_be_made_are_refused() {
    let refused = [
        (r#"{"destination": "x", "type": "tmpfs"}"#, "not absolute"),
        (r#"{"destination": "/x", "type": "odd"}"#, "'odd' is unknown"),
        (r#"{"destination": "/x", "type": "tmpfs", "options": ["odd"]}"#, "has 'odd'"),
        (r#"{"destination": "/x", "type": "bind", "source": "/nonexistent"}"#, "/nonexistent"),
        (
            r#"{"destination": "/x", "type": "bind", "source": "/", "options": ["ridmap"],
                "uidMappings": [], "gidMappings": []}"#,
            "id-mapped",
        ),
    ];
    for (mount, words) in refused {
        let runtime = runtime("mount_refused", "true");
        runtime.add_mount(mount);
        let message = runtime.fails(&["create", "c"]);
        assert!(message.contains(words), "{message}");
        assert!(runtime.is_empty());
    }
}

#[test]
fn the_process_has_its_arguments_environment_and_directory() {
    let runtime = runtime("process", "pwd; echo $TERM $X; echo $0");
    runtime.replace("\"cwd\": \"/\"", "\"cwd\": \"/made/here\"");
    runtime.replace("\"TERM=dumb\"", "\"TERM=dumb\", \"X=y\"");
    assert_eq!(runtime.printed(), "/made/here\ndumb y\n/bin/sh\n");
    runtime.replace("\"args\": [", "\"args\": [], \"unused\": [");
    assert!(runtime.fails(&["create", "c"]).contains("process.args is empty"));
}

#[test]
fn the_user_has_its_ids_groups_and_umask() {
    let runtime = runtime(
        "user",
        "id -u; id -g; id -G; umask; busybox mkdir /tmpfs/d; busybox stat -c %a /tmpfs/d",
    );
    runtime.add_mount(r#"{"destination": "/tmpfs", "type": "tmpfs"}"#);
    runtime.replace(
        "\"user\": {\"uid\": 0, \"gid\": 0}",
        "\"user\": {\"uid\": 7, \"gid\": 8, \"umask\": 63, \"additionalGids\": [9, 10]}",
    );
    assert_eq!(runtime.printed(), "7\n8\n8 9 10\n0077\n700\n");
}

#[test]
fn limits_are_set_and_named_once() {
    let runtime = runtime("rlimits", "ulimit -Sn; ulimit -Hn; ulimit -Sc");
    runtime.add_to_process(
        r#""rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
            {"type": "RLIMIT_CORE", "soft": 18446744073709551615, "hard": 18446744073709551615}],"#,
    );
    assert_eq!(runtime.printed(), "100\n200\nunlimited\n");
    runtime.replace("RLIMIT_CORE", "RLIMIT_NOFILE");
    assert!(runtime.fails(&["create", "c"]).contains("twice"));
    runtime.replace("RLIMIT_NOFILE", "RLIMIT_ODD");
    assert!(runtime.fails(&["create", "c"]).contains("config.json"));
}

#[test]
fn capabilities_and_no_new_privileges_are_as_given() {
    let runtime = runtime("capabilities", "busybox grep -E '^(Cap|NoNew)' /proc/self/status");
    runtime.add_to_process(
        r#""noNewPrivileges": true, "capabilities": {
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_ODD"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_CHOWN", "CAP_KILL"], "inheritable": ["CAP_KILL"],
            "ambient": ["CAP_KILL"]},"#,
    );
    let printed = runtime.printed();
    for line in ["CapBnd:\t0000000000000021", "CapEff:\t0000000000000021", "NoNewPrivs:\t1"] {
        assert!(printed.contains(line), "{printed}");
    }
}

#[test]
fn scheduling_and_oom_adjustment_are_visible() {
    let script =
        "cat /proc/self/oom_score_adj; busybox ionice; busybox cut -d' ' -f19,41 /proc/self/stat";
    let runtime = runtime("scheduling", script);
    runtime.add_to_process(
        r#""oomScoreAdj": 321, "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6},
            "scheduler": {"policy": "SCHED_BATCH", "nice": 5},"#,
    );
    assert_eq!(runtime.printed(), "321\nbest-effort: prio 6\n5 3\n");
    runtime.replace("SCHED_BATCH", "SCHED_DEADLINE");
    assert!(runtime.fails(&["create", "c"]).contains("SCHED_DEADLINE"));
}

#[test]
fn names_of_host_and_domain_are_seen() {
    let script = "busybox hostname; cat /proc/sys/kernel/domainname";
    let runtime = Runtime::new("names", script, "", r#", "domainname": "example""#);
    assert_eq!(runtime.printed(), "box\nexample\n");
}

#[test]
fn a_terminal_is_there_only_if_asked_for() {
    let runtime = runtime("terminal", "test -t 0 || echo none");
    runtime.add_to_process("\"consoleSize\": {\"height\": 5, \"width\": 6},");
    assert_eq!(runtime.printed(), "none\n");
}
