//! What the OCI runtime specification says of config.json on Linux (config-linux.md).
//! docs/oci-conformance.md says which test shows what.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use integration_tests::{bundle::Runtime, describe};

fn linux(name: &str, script: &str, linux: &str) -> Runtime {
    Runtime::new(name, script, linux, "")
}

/// What creating a container with these members of `linux` says when it fails.
fn refusal(members: &str) -> String {
    let runtime = linux("refused", "true", members);
    let message = runtime.fails(&["create", "c"]);
    assert!(runtime.is_empty());
    message
}

#[test]
fn namespaces_are_named_once_by_absolute_paths_that_exist() {
    assert!(
        refusal(r#""namespaces": [{"type": "pid"}, {"type": "pid"}]"#).contains("has pid twice")
    );
    let relative = r#""namespaces": [{"type": "network", "path": "ns/net"}]"#;
    assert!(refusal(relative).contains("not absolute"));
    let missing = r#""namespaces": [{"type": "network", "path": "/nonexistent"}]"#;
    assert!(refusal(missing).contains("/nonexistent"));
    assert!(refusal(r#""namespaces": [{"type": "odd"}]"#).contains("config.json"));
}

#[test]
fn the_container_has_namespaces_of_its_own() {
    let namespaces = ["mount", "pid", "ipc", "uts"].map(|kind| format!(r#"{{"type": "{kind}"}}"#));
    let members = format!(r#""namespaces": [{}]"#, namespaces.join(","));
    let runtime = linux("namespaces", "echo $$; busybox hostname; cat /proc/sysvipc/msg", &members);
    let printed = runtime.printed();
    assert!(printed.starts_with("1\nbox\n"), "{printed}");
    assert_eq!(printed.lines().count(), 3, "no message queue of the host: {printed}");
}

#[test]
fn ids_are_mapped_as_given() {
    let members = r#""namespaces": [{"type": "user"}],
        "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 50}],
        "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 50}]"#;
    let script = "cat /proc/self/uid_map; busybox stat -c '%u %g' /mine /other";
    let runtime = linux("mapped", script, members);
    for name in ["mine", "other"] {
        fs::write(runtime.path("bundle/rootfs").join(name), "").unwrap();
    }
    if chown(runtime.path("bundle/rootfs/mine"), Some(100_003), Some(100_004)).is_err() {
        return;
    }
    let expected = "         0     100000         50\n3 4\n65534 65534\n";
    assert_eq!(runtime.printed(), expected);
    let overlapping = r#""uidMappings": [{"containerID": 0, "hostID": 1, "size": 2},
        {"containerID": 1, "hostID": 9, "size": 2}]"#;
    assert!(refusal(overlapping).contains("overlaps"));
}

#[test]
fn default_devices_and_links_are_there() {
    let script = "for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done; \
        for l in fd stdin stdout stderr ptmx; do busybox readlink /dev/$l; done; \
        echo x > /dev/null && head -c 3 /dev/zero | wc -c; echo x > /dev/full || echo full";
    let runtime = linux("devices", script, "");
    let expected =
        "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n3\nfull\n";
    assert_eq!(runtime.printed(), expected);
    // They do not depend on a mount.
    let mount = r#"{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},"#;
    runtime.replace(mount, "");
    assert_eq!(runtime.printed(), expected);
}

#[test]
fn listed_devices_are_made() {
    let script = "busybox stat -c '%F %a %u %g %t:%T' /dev/mine /dev/disk /run/fifo; \
        echo x > /dev/mine && echo null; cat /dev/odd || echo odd; cat /dev/disk || echo disk";
    let devices = r#""devices": [
        {"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 416, "uid": 0, "gid": 5},
        {"path": "/dev/odd", "type": "u", "major": 77, "minor": 1},
        {"path": "/dev/disk", "type": "b", "major": 8, "minor": 1},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3},
        {"path": "/run/fifo", "type": "p"}]"#;
    let runtime = linux("listed_devices", script, devices);
    let expected = "character special file 640 0 5 1:3\nblock special file 666 0 0 8:1\n\
        fifo 666 0 0 0:0\nnull\nodd\ndisk\n";
    assert_eq!(runtime.printed(), expected);
    let other = r#""devices": [{"path": "/dev/null", "type": "c", "major": 1, "minor": 5}]"#;
    assert!(refusal(other).contains("mknod /dev/null: file exists"));
    assert!(refusal(r#""devices": [{"path": "dev/x", "type": "p"}]"#).contains("not absolute"));
}

#[test]
fn settings_of_namespaces_are_applied_and_others_refused() {
    let sysctl = r#""sysctl": {"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096",
        "fs.mqueue.msg_max": "33", "net.ipv4.ping_group_range": "0 2147483647",
        "kernel.domainname": "set"}"#;
    let script = "cd /proc/sys; cat net/ipv4/ip_forward kernel/msgmax fs/mqueue/msg_max \
        net/ipv4/ping_group_range kernel/domainname; echo 2 > net/ipv4/ip_forward; \
        cat net/ipv4/ip_forward";
    assert_eq!(linux("sysctl", script, sysctl).printed(), "1\n4096\n33\n0\t2147483647\nset\n2\n");
    for (setting, words) in [
        (r#""vm.swappiness": "1""#, "not in a separate kernel namespace"),
        (r#""kernel.hostname": "x""#, "conflicts with the OCI"),
        (r#""net.ipv4.odd": "1""#, "open /proc/sys/net/ipv4/odd: no such file or directory"),
        (r#""kernel.msgmax": "odd""#, "write /proc/sys/kernel/msgmax: invalid argument"),
    ] {
        let message = refusal(&format!(r#""sysctl": {{{setting}}}"#));
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn calls_are_filtered_also_those_of_other_processes() {
    let seccomp = r#""seccomp": {"defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
        {"names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"},
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO",
         "args": [{"index": 1, "value": 12, "op": "SCMP_CMP_EQ"}]}]}"#;
    let script = "exec 2>/dev/null; busybox mkdir /x 2>&1; busybox grep Seccomp: /proc/self/status; \
        kill -12 $$ || echo refused; kill -0 $$ && echo sent; \
        (busybox hostname other); echo $?; while :; do sleep 0.05; done";
    let runtime = linux("seccomp", script, seccomp);
    runtime.create("c");
    runtime.ok(&["start", "c"]);
    runtime.eventually("its output", |runtime| runtime.output().contains("159"));
    let output = runtime.output();
    for line in ["No space left on device", "Seccomp:\t2", "refused", "sent"] {
        assert!(output.contains(line), "{output}");
    }
    assert!(runtime.fails(&["exec", "c", "busybox", "mkdir", "/x"]).contains("No space left"));
    assert!(refusal(r#""seccomp": {"defaultAction": "SCMP_ACT_NOTIFY"}"#).contains("NOTIFY"));
    assert!(refusal(r#""seccomp": {"defaultAction": "SCMP_ACT_ODD"}"#).contains("config.json"));
}

#[test]
fn masked_paths_are_empty_and_read_only_paths_stay() {
    let members = r#""maskedPaths": ["/proc/version", "/secret", "/missing"],
        "readonlyPaths": ["/kept", "/missing"]"#;
    let script = "cat /proc/version; busybox ls -A /secret; echo x > /secret/f || echo masked; \
        cat /kept/f; echo x > /kept/f || echo kept; test -e /missing || echo missing";
    let runtime = linux("masked", script, members);
    for name in ["secret", "kept"] {
        fs::create_dir_all(runtime.path("bundle/rootfs").join(name)).unwrap();
        fs::write(runtime.path("bundle/rootfs").join(name).join("f"), "text\n").unwrap();
    }
    assert_eq!(runtime.printed(), "masked\ntext\nkept\nmissing\n");
    assert!(refusal(r#""maskedPaths": ["proc"]"#).contains("not absolute"));
    assert!(refusal(r#""readonlyPaths": ["proc"]"#).contains("not absolute"));
}

#[test]
fn what_cannot_be_given_is_refused() {
    for (members, words) in [
        (r#""personality": {"domain": "LINUX32"}"#, "linux.personality"),
        (r#""timeOffsets": {"monotonic": {"secs": 5, "nanosecs": 0}}"#, "linux.timeOffsets"),
        (r#""rootfsPropagation": "odd""#, "linux.rootfsPropagation"),
    ] {
        let message = refusal(members);
        assert!(message.contains(words), "{message}");
    }
    let accepted = r#""personality": {"domain": "LINUX"}, "rootfsPropagation": "rprivate""#;
    assert_eq!(linux("accepted", "echo ran", accepted).printed(), "ran\n");
}

#[test]
fn resources_are_limits_of_the_sandbox_and_visible_inside() {
    let path = format!("/oci-linux-{}", std::process::id());
    let [memory, tasks] = [("memory", MEMORY_FILES), ("pids", ["pids.max"; 2])];
    let (Some(memory), Some(tasks)) = (limit_file(memory, &path), limit_file(tasks, &path)) else {
        // This test may make no control groups.
        return;
    };
    let members = format!(
        r#""cgroupsPath": "{path}", "resources": {{"pids": {{"limit": 40}},
            "memory": {{"limit": 134217728}}, "cpu": {{"quota": 150000, "period": 100000}}}}"#
    );
    let runtime = linux("resources", "while :; do sleep 0.05; done", &members);
    runtime.add_mount(r#"{"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro"]}"#);
    let pid = runtime.create("c");
    runtime.ok(&["start", "c"]);
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(groups.contains(&path), "{groups}");
    let number = |file: &Path| fs::read_to_string(file).unwrap().trim().parse::<u64>().unwrap();
    // The sandbox has threads of its own besides the tasks inside.
    assert!(number(&tasks) >= 40);
    assert_eq!(number(&memory), 128 << 20);
    let inside = || {
        let script = "cd /sys/fs/cgroup; cat pids.max memory.max cpu.max; grep -c processor /proc/cpuinfo; \
            test $(cat pids.current) -lt 5 && head -n 1 cgroup.procs";
        runtime.ok(&["exec", "c", "/bin/sh", "-c", script])
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from).min(2);
    assert_eq!(inside(), format!("40\n134217728\n150000 100000\n{processors}\n1\n"));
    // The sandbox's own processes need an eighth.
    let total = || runtime.ok(&["exec", "c", "grep", "MemTotal", "/proc/meminfo"]);
    assert!(total().contains(" 114688 kB"), "{}", total());
    runtime.ok(&[
        "update",
        "--pids-limit",
        "-1",
        "--memory",
        "268435456",
        "--memory-swap",
        "-1",
        "c",
    ]);
    assert_eq!(number(&memory), 256 << 20);
    assert_eq!(fs::read_to_string(&tasks).unwrap(), "max\n");
    assert_eq!(inside(), format!("max\n268435456\n150000 100000\n{processors}\n1\n"));
    assert!(total().contains(" 229376 kB"), "{}", total());
    // Memory that came with the update can be used.
    let fill = "busybox head -c 150000000 /dev/zero | busybox tail -c 150000000 | wc -c";
    assert_eq!(runtime.ok(&["exec", "c", "sh", "-c", fill]), "150000000\n");
    runtime.ok(&["delete", "--force", "c"]);
    assert!(!tasks.exists() && !memory.exists());
}

/// Where systemd manages control groups of version 2: `tests/kvm/control-groups` is such a host.
#[test]
fn systemd_makes_the_control_group() {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if !unified || !Path::new("/run/systemd/private").exists() {
        return;
    }
    let name = format!("oci-{}", std::process::id());
    let members = format!(
        r#""cgroupsPath": "machine.slice:sandbox:{name}",
            "resources": {{"memory": {{"limit": 134217728}}, "pids": {{"limit": 40}}}}"#
    );
    let runtime = linux("systemd", "sleep 1000", &members);
    let pid_file = runtime.path("pid");
    let arguments = ["--systemd-cgroup", "create", "--pid-file", pid_file.to_str().unwrap(), "c"];
    let out = fs::File::create(runtime.path("out")).unwrap();
    let said = out.try_clone().unwrap();
    let status = runtime.command(&arguments).stdout(out).stderr(said).status().unwrap();
    assert!(status.success(), "{}", runtime.output());
    let pid = fs::read_to_string(pid_file).unwrap();
    let scope = format!("machine.slice/sandbox-{name}.scope");
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(groups, format!("0::/{scope}\n"));
    let directory = Path::new("/sys/fs/cgroup").join(scope);
    let limit = |file: &str| fs::read_to_string(directory.join(file)).unwrap();
    assert_eq!(limit("memory.max"), "134217728\n");
    runtime.ok(&["--systemd-cgroup", "update", "--memory", "67108864", "--pids-limit", "-1", "c"]);
    assert_eq!(limit("memory.max") + &limit("pids.max"), "67108864\nmax\n");
    runtime.ok(&["--systemd-cgroup", "delete", "--force", "c"]);
    assert!(!directory.exists());
}

#[test]
fn a_file_larger_than_the_limit_of_memory_can_be_written_and_read() {
    let script = "busybox dd if=/dev/zero of=/large bs=1M count=96 2>/dev/null && wc -c </large && busybox md5sum /large";
    let runtime = linux("large", script, r#""resources": {"memory": {"limit": 67108864}}"#);
    let output = runtime.run(&["run", "c"]);
    // The MD5 of 96 MiB of zeros.
    let expected = "100663296\nc13d611ce737cc731e8fae3f8d864052  /large\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", describe(&output));
}

/// What the limit of memory is called in versions 1 and 2 of control groups.
const MEMORY_FILES: [&str; 2] = ["memory.limit_in_bytes", "memory.max"];

/// The file of a limit in the control group `path` of the host, if this test may make one.
fn limit_file((controller, [first, second]): (&str, [&str; 2]), path: &str) -> Option<PathBuf> {
    let is_second = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let (top, file) = if is_second { ("", second) } else { (controller, first) };
    let group = Path::new("/sys/fs/cgroup").join(top).join(path.trim_start_matches('/'));
    fs::create_dir(&group).and_then(|()| fs::remove_dir(&group)).ok()?;
    Some(group.join(file))
}
