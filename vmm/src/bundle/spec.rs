//! config.json: its root object and `process`, with the fields that mean something to a container of
//! Linux. The objects below are oci-spec's. Its own root object also has those of other systems, and its
//! process checks `execCPUAffinity`, which has no effect in a sandbox, by a library of regular
//! expressions: a third of all that had to be relocated in every process of ours.

use std::{collections::HashMap, path::PathBuf};

use oci_spec::runtime::{
    Box as ConsoleSize, Hooks, Linux, LinuxIOPriority, Mount, PosixRlimit, Root, Scheduler, User,
};
use serde::Deserialize;

/// The configuration of a container (OCI runtime specification, "Configuration").
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Version of the specification.
    #[serde(default)]
    pub oci_version: String,
    /// The container's root.
    pub root: Option<Root>,
    /// What else it shows, in order.
    pub mounts: Option<Vec<Mount>>,
    /// What runs in it.
    pub process: Option<Process>,
    /// Its host name.
    pub hostname: Option<String>,
    /// Its domain name.
    pub domainname: Option<String>,
    /// Programs of the host that are run at its turns.
    pub hooks: Option<Hooks>,
    /// What others remember of it.
    pub annotations: Option<HashMap<String, String>>,
    /// What only Linux has.
    pub linux: Option<Linux>,
}

/// A process of a container.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether it has a terminal.
    pub terminal: Option<bool>,
    /// Size of that.
    pub console_size: Option<ConsoleSize>,
    /// User and groups.
    pub user: User,
    /// The program and its arguments.
    pub args: Option<Vec<String>>,
    /// Its environment.
    pub env: Option<Vec<String>>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// What it may.
    pub capabilities: Option<CapabilityNames>,
    /// Its limits (getrlimit(2)).
    pub rlimits: Option<Vec<PosixRlimit>>,
    /// Whether it may gain nothing more.
    pub no_new_privileges: Option<bool>,
    /// Its AppArmor profile.
    pub apparmor_profile: Option<String>,
    /// How likely it is to be ended when memory runs out.
    pub oom_score_adj: Option<i32>,
    /// Its label of SELinux.
    pub selinux_label: Option<String>,
    /// Its priority of input and output (ioprio_set(2)).
    pub io_priority: Option<LinuxIOPriority>,
    /// How it is scheduled (sched_setattr(2)).
    pub scheduler: Option<Scheduler>,
    /// Where it may run if `exec` starts it.
    #[serde(rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<CpuAffinity>,
}

/// Names of capabilities (capabilities(7)) by set. oci-spec's type refuses a name that it does not
/// know, which the specification wants logged and passed over.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CapabilityNames {
    /// The most that a program file can give.
    pub bounding: Option<Vec<String>>,
    /// Those that are in force.
    pub effective: Option<Vec<String>>,
    /// Those kept by a program file that names them too.
    pub inheritable: Option<Vec<String>>,
    /// The most that can be in force.
    pub permitted: Option<Vec<String>>,
    /// Those kept by any program file.
    pub ambient: Option<Vec<String>>,
}

/// Lists of processors (cpuset(7), List format).
#[derive(Clone, Debug, Deserialize)]
pub struct CpuAffinity {
    /// Before it is in the container's control group.
    pub initial: Option<String>,
    /// From then on.
    pub r#final: Option<String>,
}
