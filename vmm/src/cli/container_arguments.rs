//! Flags of the commands of an OCI runtime: those that runc has, with its names.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    bundle,
    commands::{create, exec, list, update},
    size,
};

/// A command that needs a container's id only.
#[derive(Args, Debug)]
pub struct IdFlags {
    /// The container's id.
    pub id: String,
}

/// What creation takes.
#[derive(Args, Debug)]
pub struct CreationFlags {
    /// Directory that holds config.json.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// Send the master end of the container's terminal to this unix socket.
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Write the container's process id to this file.
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Keep writes to the root in memory instead of changing the bundle's files.
    #[arg(long)]
    pub overlay: bool,
    /// Accepted for runc's sake: there is no root to pivot to.
    #[arg(long, hide = true)]
    pub no_pivot: bool,
    /// Accepted for runc's sake: there are no keyrings.
    #[arg(long, hide = true)]
    pub no_new_keyring: bool,
    /// Accepted for runc's sake: descriptors of the host have no meaning inside.
    #[arg(long, value_name = "N", hide = true)]
    pub preserve_fds: Option<u32>,
}

/// `create`.
#[derive(Args, Debug)]
pub struct CreateFlags {
    #[command(flatten)]
    pub creation: CreationFlags,
    /// The container's id.
    pub id: String,
}

/// `run`.
#[derive(Args, Debug)]
pub struct RunFlags {
    #[command(flatten)]
    pub creation: CreationFlags,
    /// Return as soon as the program runs.
    #[arg(short, long)]
    pub detach: bool,
    /// Leave the stopped container to be looked at.
    #[arg(long)]
    pub keep: bool,
    /// Accepted for runc's sake.
    #[arg(long, hide = true)]
    pub no_subreaper: bool,
    /// The container's id [default: made from the process id].
    pub id: Option<String>,
}

/// `kill`.
#[derive(Args, Debug)]
pub struct KillFlags {
    /// To all processes instead of the first.
    #[arg(short, long)]
    pub all: bool,
    /// The container's id.
    pub id: String,
    /// Number or name of the signal.
    #[arg(default_value = "SIGTERM")]
    pub signal: String,
}

/// `delete`.
#[derive(Args, Debug)]
pub struct DeleteFlags {
    /// Kill it first if it runs; succeed if it does not exist.
    #[arg(short, long)]
    pub force: bool,
    /// The container's id.
    pub id: String,
}

/// `list`.
#[derive(Args, Debug)]
pub struct ListFlags {
    /// As a table or as JSON.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: TableFormat,
    /// Ids only.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `ps`.
#[derive(Args, Debug)]
pub struct PsFlags {
    /// As a table of the processes inside, or a JSON array of host process ids.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: TableFormat,
    /// The container's id.
    pub id: String,
    /// Options of ps(1): -o with columns, and those that ask for all processes.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PS-OPTION")]
    pub ps_options: Vec<String>,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Columns.
    #[default]
    Table,
    /// JSON.
    Json,
}

/// `events`.
#[derive(Args, Debug)]
pub struct EventsFlags {
    /// Once only.
    #[arg(long)]
    pub stats: bool,
    /// Time between two lines, such as 5s.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub interval: Duration,
    /// The container's id.
    pub id: String,
}

/// `update`.
#[derive(Args, Debug)]
pub struct UpdateFlags {
    /// File like linux.resources of config.json; - is standard input.
    #[arg(short, long, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    /// Relative weight of processor time.
    #[arg(long, value_name = "WEIGHT")]
    pub cpu_share: Option<u64>,
    /// Period of the processor quota in microseconds.
    #[arg(long, value_name = "TIME")]
    pub cpu_period: Option<u64>,
    /// Processor time in a period in microseconds.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub cpu_quota: Option<i64>,
    /// Period of the real-time quota in microseconds.
    #[arg(long, value_name = "TIME")]
    pub cpu_rt_period: Option<u64>,
    /// Real-time processor time in a period in microseconds.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub cpu_rt_runtime: Option<i64>,
    /// Relative weight of block input and output, 10 to 1000.
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
    /// Processors to use.
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use.
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Memory in bytes.
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_negative_numbers = true)]
    pub memory: Option<i64>,
    /// Memory that is kept for it, in bytes.
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_negative_numbers = true)]
    pub memory_reservation: Option<i64>,
    /// Memory and swap together, in bytes.
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_negative_numbers = true)]
    pub memory_swap: Option<i64>,
    /// Tasks.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub pids_limit: Option<i64>,
    /// Known for runc's sake, and refused.
    #[arg(long, value_name = "SCHEMA", hide = true, value_parser = without_rdt)]
    pub l3_cache_schema: Option<String>,
    /// Known for runc's sake, and refused.
    #[arg(long, value_name = "SCHEMA", hide = true, value_parser = without_rdt)]
    pub mem_bw_schema: Option<String>,
    /// The container's id.
    pub id: String,
}

/// `exec`.
#[derive(Args, Debug)]
pub struct ExecFlags {
    /// File that describes the process, like `process` of config.json.
    #[arg(short, long, value_name = "FILE", conflicts_with = "command")]
    pub process: Option<PathBuf>,
    /// Give it a terminal.
    #[arg(short, long)]
    pub tty: bool,
    /// Return as soon as it runs.
    #[arg(short, long)]
    pub detach: bool,
    /// Write the process's id on the host to this file.
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Send the master end of its terminal to this unix socket.
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// User and group.
    #[arg(short, long, value_name = "UID[:GID]")]
    pub user: Option<UserAndGroup>,
    /// Further group.
    #[arg(short = 'g', long, value_name = "GID")]
    pub additional_gids: Vec<u32>,
    /// Working directory.
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<String>,
    /// Set an environment variable.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Add a capability.
    #[arg(short, long, value_name = "CAPABILITY", value_parser = capability)]
    pub cap: Vec<u64>,
    /// Let it gain no privileges.
    #[arg(long)]
    pub no_new_privs: bool,
    /// Accepted for runc's sake: descriptors of the host have no meaning inside.
    #[arg(long, value_name = "N", hide = true)]
    pub preserve_fds: Option<u32>,
    /// Accepted for runc's sake: AppArmor is the host's.
    #[arg(long, value_name = "PROFILE", hide = true)]
    pub apparmor: Option<String>,
    /// Accepted for runc's sake: SELinux is the host's.
    #[arg(long, value_name = "LABEL", hide = true)]
    pub process_label: Option<String>,
    /// Known for runc's sake, and refused.
    #[arg(long, value_name = "CGROUP", hide = true, value_parser = without_sub_cgroups)]
    pub cgroup: Option<String>,
    /// Accepted for runc's sake: a paused container says that it is.
    #[arg(long, hide = true)]
    pub ignore_paused: bool,
    /// The container's id.
    pub id: String,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// `checkpoint` and `restore`.
#[derive(Args, Debug)]
pub struct UnsupportedFlags {
    /// Whatever runc takes.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}

/// Intel RDT limits processes of the host, and what they run is no matter of the container alone.
fn without_rdt(_: &str) -> Result<String, &'static str> {
    Err("Intel RDT classes cannot be set for a sandbox")
}

/// On the host a container is one sandbox process; its own processes have no control groups there.
fn without_sub_cgroups(_: &str) -> Result<String, &'static str> {
    Err("the processes of a container have one control group, its own")
}

/// `UID` or `UID:GID`; the group is 0 if absent, as runc has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserAndGroup(u32, u32);

impl FromStr for UserAndGroup {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
        match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) => Ok(Self(uid, gid)),
            _ => Err("expected numbers, as in 1000:1000"),
        }
    }
}

/// The bit of a capability's name, with or without CAP_.
fn capability(name: &str) -> Result<u64, String> {
    bundle::capability_bit(name).ok_or_else(|| format!("{name} is no capability"))
}

impl CreationFlags {
    /// The options of creating the container `id`.
    pub fn options(self, id: String, in_foreground: bool) -> create::Options {
        create::Options {
            bundle: self.bundle,
            id,
            console_socket: self.console_socket,
            pid_file: self.pid_file,
            overlay: self.overlay,
            in_foreground,
        }
    }
}

impl RunFlags {
    /// The flags of a run that names only its bundle.
    pub const fn of_bundle(bundle: PathBuf) -> Self {
        let creation = CreationFlags {
            bundle,
            console_socket: None,
            pid_file: None,
            overlay: false,
            no_pivot: false,
            no_new_keyring: false,
            preserve_fds: None,
        };
        Self { creation, detach: false, keep: false, no_subreaper: false, id: None }
    }
}

impl UpdateFlags {
    /// What the flags besides --resources say.
    pub fn limits(&self) -> update::Limits {
        update::Limits {
            cpu_share: self.cpu_share,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpu_rt_period: self.cpu_rt_period,
            cpu_rt_runtime: self.cpu_rt_runtime,
            blkio_weight: self.blkio_weight,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            memory: self.memory,
            memory_reservation: self.memory_reservation,
            memory_swap: self.memory_swap,
            pids_limit: self.pids_limit,
        }
    }
}

/// A size in bytes with an optional suffix, or -1 for any.
fn bytes(text: &str) -> Result<i64, &'static str> {
    if text == "-1" {
        return Ok(-1);
    }
    let size = size::parse(text).and_then(|bytes| i64::try_from(bytes).ok());
    size.ok_or("expected a number with an optional suffix k, m or g, or -1")
}

/// Seconds (`5s`, `5`) or milliseconds (`500ms`).
fn duration(text: &str) -> Result<Duration, &'static str> {
    let parsed = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => number.parse().map(Duration::from_millis),
        (None, Some(number)) => number.parse().map(Duration::from_secs),
        (None, None) => text.parse().map(Duration::from_secs),
    };
    parsed.map_err(|_| "expected seconds, such as 5s")
}

impl ListFlags {
    /// What they ask for.
    pub const fn format(&self) -> list::Format {
        match (self.quiet, self.format) {
            (true, _) => list::Format::Ids,
            (false, TableFormat::Table) => list::Format::Table,
            (false, TableFormat::Json) => list::Format::Json,
        }
    }
}

impl ExecFlags {
    /// What they ask for.
    pub fn options(self) -> exec::Options {
        let process = match self.process {
            Some(path) => exec::Source::File(path),
            None => exec::Source::Changes(exec::Changes {
                arguments: self.command,
                terminal: self.tty,
                working_directory: self.cwd,
                environment: self.env,
                user: self.user.map(|UserAndGroup(uid, gid)| (uid, gid)),
                capabilities: self.cap.iter().fold(0, |mask, bit| mask | bit),
                additional_gids: self.additional_gids,
                no_new_privileges: self.no_new_privs,
            }),
        };
        exec::Options {
            id: self.id,
            process,
            console_socket: self.console_socket,
            pid_file: self.pid_file,
            detach: self.detach,
        }
    }
}
