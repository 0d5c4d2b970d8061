use clap::{CommandFactory, Parser};
use guest_abi::container::{MountSource, RootWrites};

use super::*;
use crate::bundle::{Bundle, BundleOptions};
use crate::sandbox::{plan::LaunchPlan, settings::Platform};

fn parse(arguments: &[&str]) -> Arguments {
    Arguments::try_parse_from([&["sandbox-vmm"], arguments].concat()).unwrap()
}

fn do_plan(arguments: &[&str]) -> Result<LaunchPlan> {
    match parse(arguments).command {
        Some(Command::Do(flags)) => do_command::plan(flags),
        other => panic!("not a do command: {other:?}"),
    }
}

#[test]
fn the_definition_is_consistent() {
    Arguments::command().debug_assert();
}

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

#[test]
fn commands_of_engines_are_known_by_themselves() {
    let all = Arguments::command();
    let ids = |command: &clap::Command| -> Vec<_> {
        command.get_arguments().map(|argument| argument.get_id().to_string()).collect()
    };
    for name in ["create", "delete", "exec", "kill", "run", "start", "state"] {
        let (own, _) = command_line(words(&format!("x --root /r {name} id")));
        assert_eq!(ids(&own), ids(&all));
        assert_eq!(own.get_subcommands().count(), 1);
        let [own, all] = [&own, &all].map(|command| command.find_subcommand(name).unwrap());
        assert_eq!(ids(own), ids(all), "{name}");
        own.clone().debug_assert();
    }
}

#[test]
fn others_and_help_are_parsed_with_all_commands() {
    for line in ["x --root run list", "x ps run", "x exec --help", "x --bundle run", "x"] {
        let (command, _) = command_line(words(line));
        assert!(command.get_subcommands().count() > 20, "{line}");
    }
    let (command, _) = command_line(words("x --root run exec id list"));
    // The value of a flag is no command.
    let matches = command.try_get_matches_from(words("x --root run exec id list")).unwrap();
    assert_eq!(matches.subcommand_name(), Some("exec"));
}

#[test]
fn do_keeps_the_callers_world() {
    let plan = do_plan(&["do", "--", "/bin/ls", "-l"]).unwrap();
    let process = &plan.container.process;
    assert_eq!(process.arguments, ["/bin/ls", "-l"]);
    assert_eq!(process.uid, rustix::process::getuid().as_raw());
    assert_eq!(process.working_directory, std::env::current_dir().unwrap().to_str().unwrap());
    assert!(process.environment.iter().any(|variable| variable.starts_with("PATH=")));
    assert_eq!(plan.container.root.writes, RootWrites::Overlay);
    assert!(plan.trees.iter().all(|tree| tree.read_only));
}

#[test]
fn do_flags_change_it() {
    let plan = do_plan(&[
        "do",
        "--env",
        "A=1",
        "--env",
        "A=2",
        "--env",
        "PATH",
        "--user",
        "7:8",
        "--cwd",
        "/tmp",
        "--volume",
        "/usr:/data:ro",
        "--hostname",
        "box",
        "--writable",
        "true",
    ])
    .unwrap();
    let process = &plan.container.process;
    assert_eq!((process.uid, process.gid), (7, 8));
    assert_eq!(process.capabilities.effective, 0);
    assert_eq!(process.working_directory, "/tmp");
    assert_eq!(process.environment.iter().filter(|v| v.starts_with("A=")).count(), 1);
    assert!(process.environment.contains(&"A=2".to_owned()));
    assert!(!process.environment.iter().any(|variable| variable.starts_with("PATH=")));
    assert_eq!(plan.container.hostname, "box");
    assert_eq!(plan.container.root.writes, RootWrites::Through);
    let volume = plan.container.mounts.last().unwrap();
    assert_eq!((volume.destination.as_str(), volume.flags), ("/data", 1));
    assert!(matches!(volume.source, MountSource::Device { device: 3, .. }));
}

#[test]
fn do_names_what_it_cannot_use() {
    let message = |arguments: &[&str]| do_plan(arguments).unwrap_err().to_string();
    assert!(message(&["do", "--root", "/nonexistent", "ls"]).contains("/nonexistent"));
    assert!(message(&["do", "--volume", "/nonexistent:/x", "ls"]).contains("/nonexistent"));
    assert!(message(&["do", "--cwd", "tmp", "ls"]).contains("not absolute"));
}

#[test]
fn malformed_flags_are_refused() {
    for arguments in [
        &["do", "--volume", "a", "ls"][..],
        &["do", "--volume", "/a:b", "ls"],
        &["do", "--volume", "/a:/b:xx", "ls"],
        &["do", "--user", "root", "ls"],
        &["do", "--read-only", "--writable", "ls"],
        &["do"],
        &["--memory", "1k", "do", "ls"],
        &["--executors", "0", "do", "ls"],
        &["--platform", "qemu", "do", "ls"],
    ] {
        let arguments = [&["sandbox-vmm"], arguments].concat();
        assert!(Arguments::try_parse_from(&arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn global_flags_stand_before_or_after_the_command() {
    for arguments in [
        &["--strace", "--memory", "64m", "do", "ls"][..],
        &["do", "--strace", "--memory", "64m", "ls"],
    ] {
        let arguments = parse(arguments);
        assert!(arguments.global.strace);
        assert_eq!(arguments.global.memory, Some(64 << 20));
    }
}

#[test]
fn update_has_a_memory_flag_of_its_own() {
    for memory in ["200000000", "-1"] {
        let arguments = parse(&["update", "--memory", memory, "c"]);
        let Some(Command::Update(flags)) = arguments.command else { panic!("not an update") };
        assert_eq!(flags.limits().memory, Some(memory.parse().unwrap()));
    }
}

#[test]
fn kvm_is_used_or_refused_in_one_line() {
    let log = Log::open(LogLevel::Error, None, LogFormat::Text).unwrap();
    match parse(&["--platform", "kvm", "do", "ls"]).global.settings(&log) {
        Ok(settings) => assert_eq!(settings.platform, Platform::Kvm),
        Err(failure) => {
            let text = failure.to_string();
            assert!(text.starts_with("cannot use the kvm platform: ") && !text.contains('\n'));
        }
    }
}

#[test]
fn a_bare_bundle_flag_means_run() {
    let arguments = parse(&["--bundle", "/some/where"]);
    assert!(arguments.command.is_none());
    let failure = run_command(arguments).unwrap_err();
    assert!(failure.to_string().contains("/some/where/config.json"));
}

#[test]
fn the_example_configuration_is_one_that_run_takes() {
    let config = spec::EXAMPLE.replace("\"rootfs\"", "\"/usr\"");
    let bundle = Bundle::parse("/".into(), config.as_bytes()).unwrap();
    let plan = bundle.plan("example".to_owned(), BundleOptions::default()).unwrap();
    assert_eq!(plan.container.mounts.len(), 7);
    assert!(bundle.ignored().is_empty());
}

/// Commands of runc (version 1.1) and their flags, as `runc COMMAND --help` lists them.
const RUNC: &[(&str, &str)] = &[
    ("create", "bundle b console-socket pid-file no-pivot no-new-keyring preserve-fds"),
    (
        "run",
        "bundle b console-socket detach d keep pid-file no-subreaper no-pivot no-new-keyring \
         preserve-fds",
    ),
    ("start", ""),
    ("state", ""),
    ("kill", "all a"),
    ("delete", "force f"),
    (
        "exec",
        "console-socket cwd env e tty t user u additional-gids g process p detach d pid-file \
         process-label apparmor no-new-privs cap c preserve-fds cgroup ignore-paused",
    ),
    ("list", "format f quiet q"),
    ("ps", "format f"),
    ("pause", ""),
    ("resume", ""),
    (
        "update",
        "resources r blkio-weight cpu-period cpu-quota cpu-share cpu-rt-period cpu-rt-runtime \
         cpuset-cpus cpuset-mems memory memory-reservation memory-swap pids-limit \
         l3-cache-schema mem-bw-schema",
    ),
    ("events", "interval stats"),
    ("spec", "bundle b rootless"),
    ("features", ""),
    ("checkpoint", ""),
    ("restore", ""),
];

#[test]
fn every_command_and_flag_of_runc_is_known() {
    let command = Arguments::command();
    let knows = |command: &clap::Command, flag: &str| {
        command.get_arguments().any(|known| {
            known.get_long() == Some(flag)
                || known.get_short().is_some_and(|short| flag.chars().eq([short]))
        })
    };
    for flag in ["debug", "log", "log-format", "root", "criu", "systemd-cgroup", "rootless"] {
        assert!(knows(&command, flag), "{flag}");
    }
    for (name, flags) in RUNC {
        let command = command.find_subcommand(name).unwrap();
        for flag in flags.split_whitespace() {
            assert!(knows(command, flag), "{name} {flag}");
        }
    }
}

#[test]
fn what_of_runc_cannot_be_done_is_refused_in_words() {
    for (arguments, words) in [
        (&["exec", "--cgroup", "a", "c", "true"][..], "one control group"),
        (&["update", "--l3-cache-schema", "L3:0=f", "c"], "Intel RDT"),
        (&["--network", "bridge", "do", "ls"], "possible values: none, sandbox, host"),
        (&["--rootless", "maybe", "list"], "possible values: true, false, auto"),
    ] {
        let arguments = [&["sandbox-vmm"], arguments].concat();
        let error = Arguments::try_parse_from(&arguments).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let restore = parse(&["restore", "--image-path", "x", "--detach", "c"]);
    assert!(run_command(restore).unwrap_err().to_string().contains("cannot be checkpointed"));
    for network in ["none", "sandbox", "host"] {
        parse(&["--network", network, "list"]);
    }
}
