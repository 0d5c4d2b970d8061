//! What a command inherits from whoever called `sandbox-vmm`.

use guest_abi::container::{CapabilitySets, ProcessSpec, RlimitSpec};
use rustix::process::Resource;

use crate::terminal;

/// Resources with their numbers in `<asm-generic/resource.h>`.
const RESOURCES: &[(Resource, u32)] = &[
    (Resource::Cpu, libc::RLIMIT_CPU),
    (Resource::Fsize, libc::RLIMIT_FSIZE),
    (Resource::Data, libc::RLIMIT_DATA),
    (Resource::Stack, libc::RLIMIT_STACK),
    (Resource::Core, libc::RLIMIT_CORE),
    (Resource::Rss, libc::RLIMIT_RSS),
    (Resource::Nproc, libc::RLIMIT_NPROC),
    (Resource::Nofile, libc::RLIMIT_NOFILE),
    (Resource::Memlock, libc::RLIMIT_MEMLOCK),
    (Resource::As, libc::RLIMIT_AS),
    (Resource::Locks, libc::RLIMIT_LOCKS),
    (Resource::Sigpending, libc::RLIMIT_SIGPENDING),
    (Resource::Msgqueue, libc::RLIMIT_MSGQUEUE),
    (Resource::Nice, libc::RLIMIT_NICE),
    (Resource::Rtprio, libc::RLIMIT_RTPRIO),
    (Resource::Rttime, libc::RLIMIT_RTTIME),
];

/// The caller's process without a program: its user, limits, umask, environment and terminal.
pub fn process() -> ProcessSpec {
    let uid = rustix::process::getuid().as_raw();
    let is_interactive = terminal::is_interactive();
    ProcessSpec {
        environment: environment(),
        working_directory: "/".to_owned(),
        uid,
        gid: rustix::process::getgid().as_raw(),
        additional_gids: groups(),
        umask: Some(umask()),
        capabilities: capabilities_of(uid),
        rlimits: rlimits(),
        terminal: is_interactive,
        terminal_size: terminal::size().filter(|_| is_interactive),
        ..ProcessSpec::default()
    }
}

/// What user `uid` may do inside: everything as root, for inside it is root of the sandbox only.
pub fn capabilities_of(uid: u32) -> CapabilitySets {
    let all = caps::all().iter().fold(0, |mask, capability| mask | capability.bitmask());
    let held = if uid == 0 { all } else { 0 };
    CapabilitySets { bounding: all, effective: held, permitted: held, inheritable: 0, ambient: 0 }
}

/// The environment; variables that are not UTF-8 are left out, since the sentry is told strings.
fn environment() -> Vec<String> {
    std::env::vars_os()
        .filter_map(|(name, value)| {
            Some(format!("{}={}", name.into_string().ok()?, value.into_string().ok()?))
        })
        .collect()
}

fn groups() -> Vec<u32> {
    let groups = rustix::process::getgroups().unwrap_or_default();
    groups.into_iter().map(rustix::process::Gid::as_raw).collect()
}

/// The umask; umask(2) can only be read by setting it, so it is set back at once. The process has
/// one thread when commands are parsed.
fn umask() -> u32 {
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    umask.bits()
}

fn rlimits() -> Vec<RlimitSpec> {
    let unlimited = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    RESOURCES
        .iter()
        .map(|&(resource, number)| {
            let limit = rustix::process::getrlimit(resource);
            RlimitSpec {
                resource: number,
                soft: unlimited(limit.current),
                hard: unlimited(limit.maximum),
            }
        })
        .collect()
}
