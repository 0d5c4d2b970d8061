//! `do`: one command with the host's files.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    str::FromStr,
};

use guest_abi::container::{
    ContainerSpec, MountSource, MountSpec, ProcessSpec, RootWrites, TmpfsSpec,
};
use rustix::mount::MountFlags;

use super::{arguments::DoFlags, caller};
use crate::{
    bundle,
    error::{Failure, Result},
    sandbox::plan::{LaunchPlan, Trees},
};

/// `--volume`: a host path shown in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    source: PathBuf,
    destination: String,
    read_only: bool,
}

impl FromStr for Volume {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let (Some(source), Some(destination)) = (parts.next(), parts.next()) else {
            return Err("expected SRC:DST or SRC:DST:ro");
        };
        let read_only = match (parts.next(), parts.next()) {
            (None, _) | (Some("rw"), None) => false,
            (Some("ro"), None) => true,
            _ => return Err("expected nothing or :ro after SRC:DST"),
        };
        if source.is_empty() || !destination.starts_with('/') {
            return Err("expected a host path and an absolute path in the sandbox");
        }
        Ok(Self { source: source.into(), destination: destination.to_owned(), read_only })
    }
}

/// `--user`: a user and a group by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserFlag {
    uid: u32,
    gid: u32,
}

impl FromStr for UserFlag {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) => Ok(Self { uid, gid }),
            _ => Err("expected numbers, as in 1000:1000"),
        }
    }
}

/// The plan of a `do` command.
///
/// # Errors
/// If a path it names cannot be used, or an argument is not UTF-8.
pub fn plan(flags: DoFlags) -> Result<LaunchPlan> {
    let mut trees = Trees::default();
    let writes = match (flags.read_only, flags.writable) {
        (true, _) => RootWrites::ReadOnly,
        (false, true) => RootWrites::Through,
        (false, false) => RootWrites::Overlay,
    };
    let root_path = canonical_root(&flags.root)?;
    let root = bundle::add_root(&root_path, writes, &mut trees)?;
    let mut mounts = virtual_mounts();
    for volume in &flags.volume {
        mounts.push(volume_mount(volume, &mut trees)?);
    }
    let container = ContainerSpec {
        id: format!("do-{}", std::process::id()),
        hostname: flags.hostname.clone().unwrap_or_else(bundle::host_name),
        process: process(flags, &root_path)?,
        root,
        mounts,
        ..ContainerSpec::default()
    };
    Ok(LaunchPlan { container, trees, spare_trees: 0 })
}

fn canonical_root(root: &Path) -> Result<PathBuf> {
    root.canonicalize().map_err(|error| {
        Failure::new(
            format_args!("cannot use the root directory {}: {error}", root.display()),
            "name a directory that you may read with --root",
        )
    })
}

/// The first process: the caller's, with what the flags change.
fn process(flags: DoFlags, root: &Path) -> Result<ProcessSpec> {
    let mut process = caller::process();
    process.arguments = flags.command.into_iter().map(argument).collect::<Result<_>>()?;
    process.working_directory = working_directory(flags.cwd, root)?;
    for variable in flags.env {
        set_variable(&mut process.environment, variable);
    }
    if let Some(UserFlag { uid, gid }) = flags.user {
        process.capabilities = caller::capabilities_of(uid);
        process.additional_gids = Vec::new();
        (process.uid, process.gid) = (uid, gid);
    }
    Ok(process)
}

fn argument(argument: OsString) -> Result<String> {
    argument.into_string().map_err(|argument| {
        Failure::new(
            format_args!("the argument {} is not UTF-8", argument.display()),
            "pass such text in a file or on standard input",
        )
    })
}

/// The working directory: as asked for, else the caller's if the sandbox shows it.
fn working_directory(asked: Option<PathBuf>, root: &Path) -> Result<String> {
    let directory = match asked {
        Some(directory) if directory.is_absolute() => directory,
        Some(directory) => {
            return Err(Failure::new(
                format_args!("--cwd {} is not absolute", directory.display()),
                "start it with '/'",
            ));
        }
        None if root == Path::new("/") => std::env::current_dir().unwrap_or_else(|_| "/".into()),
        None => "/".into(),
    };
    argument(directory.into_os_string())
}

/// Replaces or adds `variable` (`NAME=VALUE`), or removes it (`NAME`).
fn set_variable(environment: &mut Vec<String>, variable: String) {
    let name = variable.split('=').next().unwrap_or_default();
    environment.retain(|known| known.split('=').next() != Some(name));
    if variable.contains('=') {
        environment.push(variable);
    }
}

/// The file systems that the sentry makes itself.
fn virtual_mounts() -> Vec<MountSpec> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let shared_memory =
        MountSource::Tmpfs(TmpfsSpec { mode: Some(0o1777), ..TmpfsSpec::default() });
    [
        ("/proc", MountSource::Proc, quiet),
        ("/sys", MountSource::Sysfs, quiet | MountFlags::RDONLY),
        ("/dev", MountSource::Dev, MountFlags::NOSUID),
        ("/dev/pts", MountSource::Devpts, MountFlags::NOSUID | MountFlags::NOEXEC),
        ("/dev/mqueue", MountSource::Mqueue, quiet),
        ("/dev/shm", shared_memory, MountFlags::NOSUID | MountFlags::NODEV),
    ]
    .into_iter()
    .map(|(destination, source, flags)| MountSpec {
        destination: destination.to_owned(),
        source,
        flags: flags.bits().into(),
    })
    .collect()
}

fn volume_mount(volume: &Volume, trees: &mut Trees) -> Result<MountSpec> {
    let flags = if volume.read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    Ok(MountSpec {
        destination: volume.destination.clone(),
        source: bundle::bind_source(&volume.source, volume.read_only, true, trees)?,
        flags: flags.bits().into(),
    })
}
