//! What the sentry is told of the container it runs: the part of config.json that it acts on,
//! already validated by the VMM.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// The container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The container's id.
    pub id: String,
    /// Host name in the container's UTS namespace; at most 64 bytes.
    pub hostname: String,
    /// NIS domain name; at most 64 bytes.
    pub domainname: String,
    /// The first process.
    pub process: ProcessSpec,
    /// The root file system.
    pub root: RootSpec,
    /// Whether the first process is an init as that of a pid namespace is: signals from inside that
    /// it does not handle do not touch it (pid_namespaces(7)). Without, it is a command that ends as
    /// it would outside.
    pub has_init: bool,
    /// Whether the first process waits for [`crate::control::HostMessage::Start`]; those of further
    /// containers always do.
    pub waits_for_start: bool,
    /// What it may use; what is absent has no limit.
    pub limits: Limits,
    /// Mounts, in order.
    pub mounts: Vec<MountSpec>,
    /// Absolute paths that must read as empty.
    pub masked_paths: Vec<String>,
    /// Absolute paths that must be read-only.
    pub readonly_paths: Vec<String>,
    /// The filter of the system calls of its processes.
    pub seccomp: Option<SeccompSpec>,
    /// Settings of its namespaces: name below /proc/sys, and value.
    pub sysctls: Vec<(String, String)>,
    /// Nodes to make besides the standard ones.
    pub nodes: Vec<NodeSpec>,
    /// Which user ids of files on the host are which inside; none means that they are the same.
    pub uid_mappings: Vec<IdMapping>,
    /// The same for groups.
    pub gid_mappings: Vec<IdMapping>,
    /// Namespaces that it has together with the sandbox's first container.
    pub shared: SharedNamespaces,
}

/// What a container may use, in the terms of version 2 of control groups (cgroups(7)). The number of tasks
/// is kept by the sentry; the host keeps the others, and the sentry shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most tasks (pids.max); `u64::MAX` for any number.
    pub tasks: Option<u64>,
    /// Most bytes of memory (memory.max); `u64::MAX` for any number.
    pub memory_bytes: Option<u64>,
    /// Processor time in a period (cpu.max), in microseconds; `u64::MAX` for all of it.
    pub processor_quota_microseconds: Option<u64>,
    /// The period (cpu.max), in microseconds.
    pub processor_period_microseconds: Option<u64>,
    /// Share of the processors when others want them too (cpu.weight), 1 to 10000.
    pub processor_weight: Option<u64>,
}

/// Least memory that the sentry and a small program need, in bytes.
pub const MIN_MEMORY_BYTES: u64 = 32 << 20;

impl Limits {
    /// Sandbox memory within the limit, in bytes: the sandbox's own processes need a part.
    pub fn sandbox_memory_bytes(&self) -> Option<u64> {
        let within = |limit: u64| {
            let own = (limit / 8).clamp(8 << 20, 64 << 20);
            limit.saturating_sub(own).max(MIN_MEMORY_BYTES)
        };
        self.memory_bytes.map(|limit| if limit == u64::MAX { limit } else { within(limit) })
    }
}

/// Namespaces (namespaces(7)) that a further container of a sandbox shares with the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedNamespaces {
    /// Process ids.
    pub pid: bool,
    /// System V IPC and POSIX message queues.
    pub ipc: bool,
    /// Host and domain name.
    pub uts: bool,
}

/// A device node, or a FIFO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Absolute path in the container.
    pub path: String,
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// A character device with these numbers (major, minor).
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A FIFO.
    Fifo,
}

/// A run of ids, as a line of /proc/PID/uid_map has it (user_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapping {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many; none of the two runs goes beyond `u32::MAX`.
    pub count: u32,
}

/// A filter of system calls (seccomp(2)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompSpec {
    /// Instructions of classic BPF, the eight bytes of a `struct sock_filter` each, little-endian.
    pub program: Vec<u64>,
    /// Whether the log tells of each call that it does not allow (SECCOMP_FILTER_FLAG_LOG).
    pub logs: bool,
}

/// A process to start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// The program, if it is not the one that the first argument names.
    pub program: Option<String>,
    /// Arguments; the first names the program, searched in PATH if it has no slash.
    pub arguments: Vec<String>,
    /// Environment, `NAME=VALUE` each.
    pub environment: Vec<String>,
    /// Absolute working directory; created if missing.
    pub working_directory: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub additional_gids: Vec<u32>,
    /// umask; 0o022 if absent.
    pub umask: Option<u32>,
    /// Capabilities.
    pub capabilities: CapabilitySets,
    /// Resource limits; those not named keep the sentry's defaults.
    pub rlimits: Vec<RlimitSpec>,
    /// no_new_privs(2).
    pub no_new_privileges: bool,
    /// Whether the standard streams are a terminal (else three byte streams).
    pub terminal: bool,
    /// Initial terminal size as (rows, columns) in character cells.
    pub terminal_size: Option<(u16, u16)>,
    /// Its oom_score_adj (proc_pid_oom_score_adj(5)), -1000 to 1000; 0 if absent.
    pub oom_adjustment: Option<i32>,
    /// I/O class and priority as ioprio_set(2) encodes them.
    pub io_priority: Option<u32>,
    /// How it is to be scheduled.
    pub scheduling: Option<SchedulingSpec>,
}

/// How a process is to be scheduled (sched_setattr(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulingSpec {
    /// Number of the policy: SCHED_OTHER, SCHED_FIFO, ...
    pub policy: u32,
    /// Priority of a real-time policy.
    pub priority: u32,
    /// Niceness, -20 to 19.
    pub nice: i32,
    /// Children start with the default policy.
    pub reset_on_fork: bool,
}

/// Capability sets as bit masks: bit N is capability number N of capabilities(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilitySets {
    /// Bounding set.
    pub bounding: u64,
    /// Effective set.
    pub effective: u64,
    /// Inheritable set.
    pub inheritable: u64,
    /// Permitted set.
    pub permitted: u64,
    /// Ambient set.
    pub ambient: u64,
}

/// One resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RlimitSpec {
    /// Number of the resource as in `<asm-generic/resource.h>`.
    pub resource: u32,
    /// Soft limit; `u64::MAX` is infinity.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// The root file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootSpec {
    /// Index of the file-system device that serves it.
    pub device: u16,
    /// How the sentry may cache it.
    pub cache: CachePolicy,
    /// Where writes go.
    pub writes: RootWrites,
}

/// What happens to writes below the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootWrites {
    /// They stay in sandbox memory, in an overlay above the device, and end with the sandbox.
    #[default]
    Overlay,
    /// They go to the device.
    Through,
    /// They fail with EROFS.
    ReadOnly,
}

/// Who else may change the files behind a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CachePolicy {
    /// Only this sandbox: cached without revalidation.
    #[default]
    Exclusive,
    /// Others too: attributes and names are revalidated at each use.
    Shared,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Absolute path in the container; created if missing.
    pub destination: String,
    /// What is mounted.
    pub source: MountSource,
    /// Flags: `MS_RDONLY`, `MS_NOSUID`, `MS_NODEV`, `MS_NOEXEC`, ... of mount(2).
    pub flags: u64,
}

/// Options of a tmpfs (tmpfs(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsSpec {
    /// Limit in bytes; half of sandbox memory if absent.
    pub size: Option<u64>,
    /// Mode of the root directory.
    pub mode: Option<u32>,
    /// Owner of the root directory.
    pub uid: u32,
    /// Group of the root directory.
    pub gid: u32,
    /// Whether it starts with what is below its place already.
    pub copies_up: bool,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A tree (or a single file) served by the gofer.
    Device {
        /// Index of the file-system device.
        device: u16,
        /// How the sentry may cache it.
        cache: CachePolicy,
    },
    /// tmpfs.
    Tmpfs(TmpfsSpec),
    /// proc.
    Proc,
    /// sysfs.
    Sysfs,
    /// devtmpfs or a tmpfs on /dev: filled with the standard devices.
    Dev,
    /// devpts.
    Devpts,
    /// mqueue.
    Mqueue,
    /// cgroup or cgroup2: an empty directory for now.
    Cgroup,
}
