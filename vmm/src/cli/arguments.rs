//! The commands and flags, and what `--help` teaches.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    container_arguments::{
        CreateFlags, DeleteFlags, EventsFlags, ExecFlags, IdFlags, KillFlags, ListFlags, PsFlags,
        RunFlags, UnsupportedFlags, UpdateFlags,
    },
    do_command::{UserFlag, Volume},
};
use crate::{
    commands::install,
    error::{Failure, Result},
    logging::Log,
    sandbox::settings::{self, Network, Platform, Settings},
    size,
};

/// Run programs inside their own application kernel.
///
/// The program's system calls never reach the host: the sentry, a kernel of its own written in
/// Rust, serves them. Files come from a separate gofer process.
#[derive(Debug, Parser)]
// Engines put flags of their own after those of a wrapper; the last one counts.
#[command(name = PROGRAM, version = VERSION, after_help = EXAMPLES, args_override_self = true)]
pub struct Arguments {
    #[command(flatten)]
    pub global: GlobalFlags,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program is called.
const PROGRAM: &str = "sandbox-vmm";

/// After the name, what container engines parse: three lines.
const VERSION: &str = concat!(
    "version ",
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("SANDBOX_VMM_COMMIT"),
    "\nspec: 1.2.0"
);

const EXAMPLES: &str = "\
Examples:
  sandbox-vmm do -- /bin/sh -c 'uname -a; id; ls /'
      A command with the host's files, read-only below an overlay in memory.
  sandbox-vmm do --volume $PWD:/work --cwd /work -- make
      The same, but what make writes below /work reaches the host.
  sandbox-vmm --strace do -- ls
      Show every system call that ls makes.
  sandbox-vmm spec && sandbox-vmm run --bundle .
      Write an example config.json, then run it (it expects ./rootfs).

Other users than root run containers with their own rights: files are the user's, whose id is that
of the container's user if config.json maps none (`spec --rootless` maps it to root); there is no
control group unless one is theirs, and no network namespace on the host. The sandbox's own network,
memory and process limits are the same.

The exit status is the program's, 128 + N if signal N killed it, 127 if the program was not found,
126 if it could not be executed, and 125 if the sandbox itself failed.";

/// The command line with no subcommand but the one of `words` that engines run for each container and
/// process. To make all, and give each a copy of every global flag, takes longer than all else that is
/// done with the arguments. What this one does not know may still be right.
pub fn of_engines(words: &[OsString]) -> Option<clap::Command> {
    let asks_for_help = |word: &OsString| ["-h", "-help", "--help"].iter().any(|flag| word == flag);
    if words.iter().any(asks_for_help) {
        return None;
    }
    let subcommand = words.iter().find_map(|word| subcommand_of_engines(word.to_str()?))?;
    let command = clap::Command::new(PROGRAM).version(VERSION).args_override_self(true);
    Some(GlobalFlags::augment_args(command).subcommand(subcommand))
}

fn subcommand_of_engines(name: &str) -> Option<clap::Command> {
    type AddFlags = fn(clap::Command) -> clap::Command;
    const SUBCOMMANDS: [(&str, AddFlags); 7] = [
        ("create", CreateFlags::augment_args),
        ("delete", DeleteFlags::augment_args),
        ("exec", ExecFlags::augment_args),
        ("kill", KillFlags::augment_args),
        ("run", RunFlags::augment_args),
        ("start", IdFlags::augment_args),
        ("state", IdFlags::augment_args),
    ];
    let (name, add_flags) = SUBCOMMANDS.into_iter().find(|(known, _)| *known == name)?;
    Some(add_flags(clap::Command::new(name)))
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command with the host's files, which it cannot change.
    Do(DoFlags),
    /// Create the container of an OCI bundle and run it.
    Run(RunFlags),
    /// Create the container of an OCI bundle; `start` runs it.
    Create(CreateFlags),
    /// Run the program of a created container.
    Start(IdFlags),
    /// Print the state of a container as JSON.
    State(IdFlags),
    /// Send a signal to the program of a container.
    Kill(KillFlags),
    /// Forget a container that has stopped.
    Delete(DeleteFlags),
    /// Run another program in a running container.
    Exec(ExecFlags),
    /// List the containers.
    List(ListFlags),
    /// List the processes of a container.
    Ps(PsFlags),
    /// Stop all programs of a container until `resume`.
    Pause(IdFlags),
    /// Let the programs of a paused container go on.
    Resume(IdFlags),
    /// Wait for the end of a container and exit with its status.
    Wait(IdFlags),
    /// Change the limits of a container.
    Update(UpdateFlags),
    /// Print what a container uses, as JSON lines.
    Events(EventsFlags),
    /// Known for runc's sake, and refused.
    #[command(hide = true)]
    Checkpoint(UnsupportedFlags),
    /// Known for runc's sake, and refused.
    #[command(hide = true)]
    Restore(UnsupportedFlags),
    /// Look into a running sandbox.
    Debug(DebugFlags),
    /// Print what this runtime can do, as JSON.
    Features,
    /// Register this program with Docker and containerd.
    Install(InstallFlags),
    /// Take it out of their configuration again.
    Uninstall(InstallFlags),
    /// Write an example config.json.
    Spec(SpecFlags),
    /// List the platforms: which can be used here, and why not.
    Platforms,
    /// List the system calls that the sentry serves.
    Syscalls(SyscallsFlags),
}

/// Flags of `syscalls`.
#[derive(Args, Debug)]
pub struct SyscallsFlags {
    /// Write the page docs/compatibility.md.
    #[arg(long)]
    pub markdown: bool,
}

/// Flags of `debug`.
#[derive(Args, Debug)]
pub struct DebugFlags {
    /// Print how often its vCPUs have left the sentry, by reason (kvm platform).
    #[arg(long, required = true)]
    pub exits: bool,
    /// The container.
    #[arg(value_name = "ID")]
    pub id: String,
}

/// Heading of the flags that every command takes.
const SANDBOX: &str = "Sandbox options";

/// Flags of every command that starts a sandbox.
#[derive(Args, Debug)]
pub struct GlobalFlags {
    /// Run the container in this bundle, as `run` does.
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// How user code runs.
    #[arg(long, global = true, help_heading = SANDBOX, value_enum, default_value_t, value_name = "NAME")]
    pub platform: PlatformFlag,
    /// Log every system call with its arguments and result.
    #[arg(long, global = true, help_heading = SANDBOX)]
    pub strace: bool,
    /// Log everything, not only warnings and errors.
    #[arg(long, global = true, help_heading = SANDBOX)]
    pub debug: bool,
    /// Append the log to this file instead of writing it to standard error.
    #[arg(long, global = true, help_heading = SANDBOX, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Lines of that file as text or as JSON objects.
    #[arg(long, help_heading = SANDBOX, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormatFlag,
    /// Directory where containers are remembered [default: sandbox-vmm in /run, or for other users
    /// than root in XDG_RUNTIME_DIR, or a private one in /tmp].
    #[arg(long, help_heading = SANDBOX, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Accepted for runc's sake: there is no checkpoint program.
    #[arg(long, hide = true, value_name = "PATH")]
    pub criu: Option<PathBuf>,
    /// Have systemd make control groups.
    #[arg(long, help_heading = SANDBOX)]
    pub systemd_cgroup: bool,
    /// Do without the control group if the host refuses it: auto means for other users than root.
    #[arg(long, help_heading = SANDBOX, value_enum, default_value_t, value_name = "WHETHER")]
    pub rootless: RootlessFlag,
    /// Memory of the sandbox, for example 512m or 4g; the host provides it as it is used
    /// [default: half of the host's].
    #[arg(long, global = true, help_heading = SANDBOX, value_name = "SIZE", value_parser = parse_memory)]
    // The type is that of the flag of the same name that `update` has: clap takes them for one.
    pub memory: Option<i64>,
    /// Number of executors: how much user code runs at a time [default: the host's processors].
    #[arg(long, alias = "cpus", global = true, help_heading = SANDBOX, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub executors: Option<u16>,
    /// What network containers have. For now, each is given its loopback interface only.
    #[arg(long, global = true, help_heading = SANDBOX, value_enum, default_value_t, value_name = "KIND")]
    pub network: NetworkFlag,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RootlessFlag {
    True,
    False,
    #[default]
    Auto,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NetworkFlag {
    /// Loopback only.
    None,
    /// A network stack in the sandbox.
    #[default]
    Sandbox,
    /// The host's network.
    Host,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlatformFlag {
    /// The best that works here.
    #[default]
    Auto,
    /// Hardware virtualisation.
    Kvm,
    /// ptraced host processes; works everywhere.
    Ptrace,
}

#[derive(Args, Debug)]
pub struct DoFlags {
    /// Working directory in the sandbox [default: the current one, or / with --root].
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Set an environment variable, or with only NAME leave it out; otherwise the environment is
    /// yours.
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Show the host's SRC at DST; changes reach the host unless it ends in :ro.
    #[arg(long, value_name = "SRC:DST[:ro]")]
    pub volume: Vec<Volume>,
    /// Root directory on the host.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Refuse writes below the root instead of keeping them in memory.
    #[arg(long, conflicts_with = "writable")]
    pub read_only: bool,
    /// Let writes below the root change the host's files.
    #[arg(long)]
    pub writable: bool,
    /// User and group in the sandbox [default: yours].
    #[arg(long, value_name = "UID[:GID]")]
    pub user: Option<UserFlag>,
    /// Host name in the sandbox [default: the host's].
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormatFlag {
    /// `level: text`.
    #[default]
    Text,
    /// Objects with level, msg and time.
    Json,
}

#[derive(Args, Debug)]
pub struct SpecFlags {
    /// Directory to write config.json to.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// For a user who is not root.
    #[arg(long = "rootless")]
    pub for_rootless: bool,
}

#[derive(Args, Debug)]
pub struct InstallFlags {
    /// Docker's configuration file.
    #[arg(long, value_name = "FILE", default_value = "/etc/docker/daemon.json")]
    pub docker_config: PathBuf,
    /// containerd's configuration file.
    #[arg(long, value_name = "FILE", default_value = "/etc/containerd/config.toml")]
    pub containerd_config: PathBuf,
    /// Name of the runtime in them.
    #[arg(long, default_value = "sandbox-vmm")]
    pub name: String,
    /// Only print what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Arguments that engines are to pass to the runtime.
    #[arg(last = true, value_name = "ARGS")]
    pub runtime_arguments: Vec<String>,
}

impl InstallFlags {
    /// What they ask for.
    pub fn options(self) -> install::Options {
        install::Options {
            docker: self.docker_config,
            containerd: self.containerd_config,
            name: self.name,
            arguments: self.runtime_arguments,
            dry_run: self.dry_run,
        }
    }
}

impl GlobalFlags {
    /// What they mean for a sandbox on this host; the choice of platform goes to the log.
    ///
    /// # Errors
    /// If the platform asked for cannot be used.
    pub fn settings(&self, log: &Log) -> Result<Settings> {
        Ok(Settings {
            memory_bytes: self
                .memory
                .and_then(|bytes| u64::try_from(bytes).ok())
                .unwrap_or_else(settings::default_memory_bytes),
            executors: self.executors.unwrap_or_else(settings::default_executors),
            strace: self.strace,
            platform: self.choose_platform(log)?,
        })
    }

    /// Whether a container may do without its control group.
    pub fn is_rootless(&self) -> bool {
        match self.rootless {
            RootlessFlag::True => true,
            RootlessFlag::False => false,
            RootlessFlag::Auto => !rustix::process::geteuid().is_root(),
        }
    }

    /// What network a container is to have; the log says what comes later.
    pub fn network(&self, log: &Log) -> Network {
        match self.network {
            NetworkFlag::None => Network::None,
            NetworkFlag::Sandbox => Network::Sandbox,
            NetworkFlag::Host => {
                log.warning("--network host comes later: the container has loopback only");
                Network::Host
            }
        }
    }

    fn choose_platform(&self, log: &Log) -> Result<Platform> {
        match self.platform {
            PlatformFlag::Ptrace => {
                log.information("platform ptrace: asked for by --platform");
                Ok(Platform::Ptrace)
            }
            PlatformFlag::Kvm => match kvm_verdict() {
                Ok(()) => {
                    log.information("platform kvm: asked for by --platform");
                    Ok(Platform::Kvm)
                }
                Err(reason) => Err(Failure::new(
                    format_args!("cannot use the kvm platform: {reason}"),
                    "use --platform=ptrace or leave the flag out",
                )),
            },
            PlatformFlag::Auto => match kvm_verdict() {
                Ok(()) => {
                    log.information("platform kvm: it works on this host");
                    Ok(Platform::Kvm)
                }
                Err(reason) => {
                    log.information(format_args!("platform ptrace: {reason}"));
                    Ok(Platform::Ptrace)
                }
            },
        }
    }
}

/// Whether the kvm platform can be used here, or why not.
///
/// # Errors
/// The reason, in words a user can act on.
pub fn kvm_verdict() -> std::result::Result<(), String> {
    if !platform_kvm::has_image() {
        return Err("this is a build without the ring-0 image; build with --release".to_owned());
    }
    platform_kvm::self_test::run().map_err(|reason| reason.to_string())
}

fn parse_memory(text: &str) -> std::result::Result<i64, String> {
    let bytes = size::parse(text).ok_or("expected a number with an optional suffix k, m or g")?;
    let bytes = settings::check_memory_bytes(bytes).map_err(str::to_owned)?;
    i64::try_from(bytes).map_err(|error| error.to_string())
}
