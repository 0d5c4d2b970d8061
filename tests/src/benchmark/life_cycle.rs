//! What the life cycle of a container costs, in this runtime and in others.
#![allow(unsafe_code, reason = "a mount namespace of the measuring program's own")]

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use super::{Contender, Table, median};
use crate::{WorkDirectory, sandbox_binary};

/// Measurements of each kind; the median counts.
const RUNS: usize = 25;

/// An OCI runtime: what the report calls it, and the start of its command line.
struct Runtime {
    name: String,
    command: Vec<String>,
}

/// Milliseconds of `run` and `exec` of /bin/true, for all `contenders` that are runtimes, compared with
/// the first.
///
/// # Panics
/// If a runtime fails.
pub fn life_cycle(contenders: &[Contender]) -> Table {
    let runtimes = runtimes(contenders);
    let figures = measure(&runtimes);
    let columns = runtimes.into_iter().map(|runtime| runtime.name).collect();
    let row = |name: &str, index: usize| {
        (name.to_owned(), figures.iter().map(|figures| Some(figures[index])).collect())
    };
    Table {
        title: "Life cycle".into(),
        note: format!("Milliseconds, median of {RUNS} taken in turn, and the ratio to the first."),
        columns,
        unit: "ms",
        decimals: 1,
        rows: vec![row("run /bin/true", 0), row("exec /bin/true", 1)],
        has_ratios: true,
    }
}

/// Milliseconds of `docker run --rm --net=none` of /bin/true with runc and with this runtime, under
/// an engine of its own; `None` where none can run.
pub fn docker_start() -> Option<Table> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/run.sh");
    let output = Command::new("bash")
        .arg(script)
        .arg("start_times")
        .env("SANDBOX_VMM", sandbox_binary())
        .stderr(Stdio::inherit())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let times = text.lines().filter_map(|line| {
        let (name, milliseconds) = line.split_once(' ')?;
        Some((name.to_owned(), Some(milliseconds.parse().ok()?)))
    });
    let (columns, times) = times.unzip();
    Some(Table {
        title: "Docker".into(),
        note: "Milliseconds of docker run --rm --net=none of /bin/true, median of several.".into(),
        columns,
        unit: "ms",
        decimals: 0,
        rows: vec![("docker run".into(), times)],
        has_ratios: true,
    })
}

/// Those among `contenders`, crun first, because it is the one to beat.
fn runtimes(contenders: &[Contender]) -> Vec<Runtime> {
    let can_run = |name: &&'static str| contenders.contains(&Contender::Runtime(name));
    let others = ["crun", "runc"].into_iter().filter(can_run);
    let others =
        others.map(|name| Runtime { name: name.to_owned(), command: vec![name.to_owned()] });
    let own = contenders.iter().filter_map(|contender| match contender {
        Contender::Sandbox(platform) => Some(Runtime {
            name: format!("sandbox-vmm, {platform}"),
            command: vec![
                sandbox_binary().to_string_lossy().into_owned(),
                format!("--platform={platform}"),
            ],
        }),
        _ => None,
    });
    others.chain(own).collect()
}

/// Hides the second version of control groups from this thread and what it starts from now on: crun
/// before 1.9 does not take a host with both.
pub fn hide_unified_hierarchy() {
    const UNIFIED: &std::ffi::CStr = c"/sys/fs/cgroup/unified";
    // From another mount namespace, /proc/self/exe no longer names this program.
    sandbox_binary();
    // SAFETY: the calls change the mounts that this thread sees and touch no memory.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS) == 0 {
            let root = c"/".as_ptr();
            let none = std::ptr::null();
            libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, none.cast());
            libc::umount2(UNIFIED.as_ptr(), libc::MNT_DETACH);
        }
    }
}

/// Medians of `run` and `exec` for each runtime, measured in turn.
fn measure(runtimes: &[Runtime]) -> Vec<[f64; 2]> {
    let bundles: Vec<_> = runtimes.iter().map(|_| bundle()).collect();
    for (runtime, bundle) in runtimes.iter().zip(&bundles) {
        write_config(bundle, "\"/bin/sleep\", \"1000\"");
        run(runtime, bundle, &["run", "--detach", "life"]);
        write_config(bundle, "\"/bin/true\"");
    }
    let mut times = vec![[const { Vec::new() }; 2]; runtimes.len()];
    for _ in 0..RUNS {
        for ((runtime, bundle), own) in runtimes.iter().zip(&bundles).zip(&mut times) {
            own[0].push(run(runtime, bundle, &["run", "once"]));
            own[1].push(run(runtime, bundle, &["exec", "life", "/bin/true"]));
        }
    }
    for (runtime, bundle) in runtimes.iter().zip(&bundles) {
        run(runtime, bundle, &["delete", "--force", "life"]);
        // A directory that is left fails no measurement.
        drop(fs::remove_dir_all(state_directory(bundle)));
    }
    times.into_iter().map(|own| own.map(median)).collect()
}

/// Milliseconds of one command.
fn run(runtime: &Runtime, bundle: &WorkDirectory, arguments: &[&str]) -> f64 {
    let mut command = Command::new(&runtime.command[0]);
    command.args(&runtime.command[1..]).arg("--root").arg(state_directory(bundle));
    command.args(arguments).current_dir(&bundle.0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("start");
    assert!(status.success(), "{command:?}: {status}");
    start.elapsed().as_secs_f64() * 1000.0
}

/// In memory, as engines have it below /run.
fn state_directory(bundle: &WorkDirectory) -> PathBuf {
    let name = bundle.0.file_name().expect("named");
    Path::new("/dev/shm").join(name)
}

/// A bundle whose root is a busybox.
fn bundle() -> WorkDirectory {
    let directory = WorkDirectory::new("life");
    let programs = directory.0.join("rootfs/bin");
    fs::create_dir_all(&programs).expect("make the root");
    fs::copy("/usr/bin/busybox", programs.join("busybox")).expect("copy busybox");
    for applet in ["true", "sleep"] {
        symlink("busybox", programs.join(applet)).expect("link an applet");
    }
    // crun makes no /dev where there is none.
    for mount_point in ["rootfs/proc", "rootfs/dev"] {
        fs::create_dir(directory.0.join(mount_point)).expect("make a mount point");
    }
    directory
}

fn write_config(bundle: &WorkDirectory, arguments: &str) {
    let config = format!(
        r#"{{"ociVersion":"1.0.2","process":{{"terminal":false,"user":{{"uid":0,"gid":0}},
        "args":[{arguments}],"env":["PATH=/bin"],"cwd":"/"}},"root":{{"path":"rootfs"}},
        "mounts":[{{"destination":"/proc","type":"proc","source":"proc"}}],
        "linux":{{"namespaces":[{{"type":"pid"}},{{"type":"mount"}},{{"type":"ipc"}},
        {{"type":"uts"}},{{"type":"network"}}]}}}}"#
    );
    fs::write(bundle.0.join("config.json"), config).expect("write the bundle");
}
