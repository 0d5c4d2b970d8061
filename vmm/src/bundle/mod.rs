//! From a bundle's config.json to a launch plan.

mod capabilities;
mod cri;
mod devices;
mod field;
mod id_mappings;
mod ignored;
pub mod limits;
mod mount_options;
mod mounts;
mod process;
mod rlimits;
mod root;
mod scheduling;
mod seccomp;
mod spec;
mod sysctl;
mod unsupported;

pub use capabilities::bit as capability_bit;
pub use cri::PodRole;
pub use mount_options::KNOWN_MOUNT_OPTIONS;
pub use mounts::bind_source;
pub use process::convert as process;
pub use root::add_root;
pub use spec::{Process, Spec};

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use guest_abi::container::{ContainerSpec, Limits, SharedNamespaces};
use rustix::fs::OFlags;

use crate::{
    error::{Failure, Result},
    sandbox::plan::{LaunchPlan, SPARE_TREES, Trees},
};

/// Name of the configuration inside a bundle.
pub const CONFIG_FILE: &str = "config.json";

/// Largest config.json that is read, in bytes; Docker's are about 20 KiB.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// How a bundle is run, beyond what its config.json says.
#[derive(Clone, Copy, Debug, Default)]
pub struct BundleOptions {
    /// Keep writes to a writable root in sandbox memory instead of the host directory.
    pub overlay: bool,
    /// Prepare the container and let it wait until it is told to start.
    pub waits_for_start: bool,
}

/// A bundle as read, before its host paths are looked at.
#[derive(Clone, Debug)]
pub struct Bundle {
    directory: PathBuf,
    spec: Spec,
}

impl Bundle {
    /// Reads the bundle in `directory`.
    ///
    /// # Errors
    /// If there is no readable config.json of the right shape.
    pub fn load(directory: &Path) -> Result<Self> {
        let directory = std::path::absolute(directory)
            .map_err(|error| Failure::new(error, "name a bundle directory with --bundle"))?;
        let config = read_config(&directory)?;
        Self::parse(directory, &config)
    }

    /// Takes `config` as the config.json of a bundle in `directory` (absolute).
    ///
    /// # Errors
    /// If it is not JSON, or not of config.json's shape.
    pub fn parse(directory: PathBuf, config: &[u8]) -> Result<Self> {
        let spec = serde_json::from_slice(config).map_err(|error| {
            Failure::new(
                format_args!("{}: {error}", directory.join(CONFIG_FILE).display()),
                "correct it; `sandbox-vmm spec` writes an example",
            )
        })?;
        Ok(Self { directory, spec })
    }

    /// Absolute path of its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Absolute path of its root.
    pub fn root_path(&self) -> PathBuf {
        let path = self.spec.root.as_ref().map(|root| root.path().as_path());
        self.directory.join(path.unwrap_or(Path::new("")))
    }

    /// What config.json says.
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What it is to a pod.
    ///
    /// # Errors
    /// If its annotations contradict themselves.
    pub fn pod_role(&self) -> Result<PodRole> {
        cri::pod_role(&self.spec)
    }

    /// What config.json asks for that this sandbox does not do, for the log.
    pub fn ignored(&self) -> Vec<String> {
        ignored::names(&self.spec)
    }

    /// The name that is asked for; else the host's, which a new UTS namespace starts with
    /// (uts_namespaces(7)).
    fn host_name(&self) -> Result<String> {
        match self.spec.hostname.as_deref() {
            None | Some("") => Ok(host_name()),
            name => field::host_name("hostname", name),
        }
    }

    /// The plan to run it as the container `id`.
    ///
    /// # Errors
    /// If a field has no valid meaning, or a host path it names cannot be used.
    pub fn plan(&self, id: String, options: BundleOptions) -> Result<LaunchPlan> {
        unsupported::refuse(&self.spec)?;
        let role = self.pod_role()?;
        let mut trees = Trees::default();
        let root = root::convert(self.spec.root.as_ref(), &self.directory, options, &mut trees)?;
        let linux = self.spec.linux.as_ref();
        let container = ContainerSpec {
            id,
            hostname: self.host_name()?,
            domainname: field::host_name("domainname", self.spec.domainname.as_deref())?,
            process: process::convert(self.spec.process.as_ref())?,
            root,
            has_init: true,
            waits_for_start: options.waits_for_start,
            limits: linux
                .and_then(|linux| linux.resources().as_ref())
                .map_or_else(Limits::default, limits::convert),
            mounts: mounts::convert(
                self.spec.mounts.as_deref().unwrap_or_default(),
                &self.directory,
                &mut trees,
            )?,
            masked_paths: field::absolute_paths(
                "linux.maskedPaths",
                linux.and_then(|linux| linux.masked_paths().as_deref()),
            )?,
            readonly_paths: field::absolute_paths(
                "linux.readonlyPaths",
                linux.and_then(|linux| linux.readonly_paths().as_deref()),
            )?,
            seccomp: seccomp::convert(linux.and_then(|linux| linux.seccomp().as_ref()))?,
            sysctls: sysctl::convert(linux.and_then(|linux| linux.sysctl().as_ref()))?,
            nodes: devices::convert(
                linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default(),
            )?,
            uid_mappings: id_mappings::convert(
                "linux.uidMappings",
                linux.and_then(|linux| linux.uid_mappings().as_deref()),
            )?,
            gid_mappings: id_mappings::convert(
                "linux.gidMappings",
                linux.and_then(|linux| linux.gid_mappings().as_deref()),
            )?,
            shared: match role {
                PodRole::Container(_) => cri::shared_namespaces(&self.spec),
                PodRole::None | PodRole::Sandbox => SharedNamespaces::default(),
            },
        };
        let spare_trees = if role == PodRole::Sandbox { SPARE_TREES } else { 0 };
        Ok(LaunchPlan { container, trees, spare_trees })
    }
}

/// Reads config.json of the bundle in `directory`, if it is a regular file of sensible size.
fn read_config(directory: &Path) -> Result<Vec<u8>> {
    let path = directory.join(CONFIG_FILE);
    let file = open_regular(&path).map_err(|error| {
        Failure::new(
            format_args!("cannot read {}: {error}", path.display()),
            "name a directory that holds config.json with --bundle, or make one with \
             `sandbox-vmm spec`",
        )
    })?;
    let mut config = Vec::new();
    file.take(MAX_CONFIG_BYTES + 1)
        .read_to_end(&mut config)
        .map_err(|error| Failure::new(error, format_args!("make {} readable", path.display())))?;
    if u64::try_from(config.len()).is_ok_and(|length| length <= MAX_CONFIG_BYTES) {
        Ok(config)
    } else {
        Err(Failure::new(
            format_args!("{} is larger than {} MiB", path.display(), MAX_CONFIG_BYTES >> 20),
            "make it smaller",
        ))
    }
}

/// Opens a regular file for reading; a FIFO or device in its place must not block the command.
fn open_regular(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(std::io::Error::other("not a regular file"))
    }
}

/// The host's own name.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
