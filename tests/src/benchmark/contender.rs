//! Ways to run the benchmark program: natively, in our sandbox, in other runtimes.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use super::{is_installed, median};
use crate::{WorkDirectory, sandbox_binary};

/// One way to run a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contender {
    /// As a plain process.
    Native,
    /// In the sandbox, on this platform.
    Sandbox(&'static str),
    /// By this OCI runtime, with the host's /usr and /etc read-only.
    Runtime(&'static str),
}

impl Contender {
    /// Native first, then ours, then the runtimes that are installed and can run a program here.
    /// Those that cannot are named in the second list, with what they said.
    pub fn all() -> (Vec<Self>, Vec<String>) {
        let mut contenders = vec![Self::Native, Self::Sandbox("ptrace")];
        contenders.extend(is_kvm_usable().then_some(Self::Sandbox("kvm")));
        let mut left_out = Vec::new();
        for name in ["runc", "crun", "runsc"].into_iter().filter(|name| is_installed(name)) {
            match Self::Runtime(name).trial() {
                Ok(()) => contenders.push(Self::Runtime(name)),
                Err(said) => left_out.push(format!("{name}: {}", said.trim())),
            }
        }
        (contenders, left_out)
    }

    /// Runs a program once; fails with what the runtime said.
    fn trial(&self) -> Result<(), String> {
        let output = self
            .with_command(&["/bin/true"], |command| command.stdin(Stdio::null()).output())
            .map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    /// What the report calls it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Sandbox(name) | Self::Runtime(name) => name,
        }
    }

    /// Times the operations in a process of its own: their names, and nanoseconds.
    pub fn operations(&self) -> Vec<(String, f64)> {
        let program = sandbox_binary().with_file_name("microbenchmarks");
        let output = self.with_command(&[&program.to_string_lossy()], |command| {
            command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()
        });
        let text =
            String::from_utf8_lossy(&output.expect("run the benchmarks").stdout).into_owned();
        text.lines()
            .filter_map(|line| {
                let mut words = line.split(' ');
                Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
            })
            .collect()
    }

    /// Milliseconds of one run of /bin/true, process start to process end.
    fn start_milliseconds(&self) -> f64 {
        self.with_command(&["/bin/true"], |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let start = Instant::now();
            let status = command.status().expect("start");
            assert!(status.success(), "{command:?}: {status}");
            start.elapsed().as_secs_f64() * 1000.0
        })
    }

    /// Hands `act` a command that runs `program`, with whatever it needs on disk.
    fn with_command<T>(&self, program: &[&str], act: impl FnOnce(&mut Command) -> T) -> T {
        match self {
            Self::Native => act(Command::new(program[0]).args(&program[1..])),
            Self::Sandbox(platform) => act(Command::new(sandbox_binary())
                .arg(format!("--platform={platform}"))
                .args(["do", "--"])
                .args(program)),
            Self::Runtime(name) => {
                let bundle = WorkDirectory::new("bundle");
                write_bundle(&bundle.0, program);
                let id = bundle.0.file_name().expect("named").to_owned();
                let root = bundle.0.join("state");
                act(Command::new(name)
                    .arg("--root")
                    .arg(root)
                    .args(["run", "--bundle"])
                    .arg(&bundle.0)
                    .arg(id))
            }
        }
    }
}

/// Names of the operations, and of each contender the median of `turns` processes in nanoseconds. The
/// contenders take turns, each with a new process: where its pages lie makes a difference, so the best
/// of them would be luck, and a host's speed drifts.
pub fn operation_times(contenders: &[Contender], turns: usize) -> Vec<(String, Vec<Option<f64>>)> {
    let mut taken: Vec<(String, Vec<Vec<f64>>)> = Vec::new();
    for _ in 0..turns {
        for (index, contender) in contenders.iter().enumerate() {
            for (name, nanoseconds) in contender.operations() {
                let known = taken.iter().position(|(other, _)| *other == name);
                let row = known.unwrap_or_else(|| {
                    taken.push((name, vec![Vec::new(); contenders.len()]));
                    taken.len() - 1
                });
                taken[row].1[index].push(nanoseconds);
            }
        }
    }
    let middle = |times: Vec<f64>| (!times.is_empty()).then(|| median(times));
    taken.into_iter().map(|(name, times)| (name, times.into_iter().map(middle).collect())).collect()
}

/// Median start time of each contender, in milliseconds, taken in turn.
pub fn start_times(contenders: &[Contender], runs: usize) -> Vec<(&'static str, f64)> {
    let mut times = vec![Vec::new(); contenders.len()];
    for run in 0..=runs {
        for (contender, own) in contenders.iter().zip(&mut times) {
            let milliseconds = contender.start_milliseconds();
            // The first round warms caches.
            if run > 0 {
                own.push(milliseconds);
            }
        }
    }
    contenders.iter().map(Contender::name).zip(times.into_iter().map(median)).collect()
}

fn is_kvm_usable() -> bool {
    let output = Command::new(sandbox_binary()).arg("platforms").output().expect("run it");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().any(|line| line.starts_with("kvm") && !line.contains("unusable"))
}

/// Writes a bundle that runs `program` on a root of its own with the host's files read-only in it, and
/// a tmpfs on /dev/shm. (runc cannot make the host's root itself the container's.)
fn write_bundle(bundle: &Path, program: &[&str]) {
    let root = bundle.join("rootfs");
    fs::create_dir(&root).expect("make the root");
    for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        symlink(target, root.join(link)).expect("link into /usr");
    }
    let binaries = sandbox_binary().parent().expect("a directory").to_owned();
    let shared = [Path::new("/usr"), Path::new("/etc"), &binaries].map(|path| {
        format!(
            r#"{{"destination":{path:?},"type":"bind","source":{path:?},"options":["rbind","ro"]}}"#
        )
    });
    let arguments: Vec<String> = program.iter().map(|argument| format!("{argument:?}")).collect();
    let config = format!(
        r#"{{"ociVersion":"1.0.2","process":{{"terminal":false,"user":{{"uid":0,"gid":0}},
        "args":[{}],"env":["PATH=/usr/bin:/bin"],"cwd":"/"}},"root":{{"path":"rootfs"}},
        "mounts":[{},{{"destination":"/proc","type":"proc","source":"proc"}},
        {{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["mode=755"]}},
        {{"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["mode=1777"]}}],
        "linux":{{"namespaces":[{{"type":"pid"}},{{"type":"mount"}},{{"type":"ipc"}},{{"type":"uts"}},
        {{"type":"network"}}]}}}}"#,
        arguments.join(","),
        shared.join(","),
    );
    fs::write(bundle.join("config.json"), config).expect("write the bundle");
}
