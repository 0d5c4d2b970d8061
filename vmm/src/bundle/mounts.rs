//! `mounts` of config.json.

use std::path::{Path, PathBuf};

use guest_abi::container::{CachePolicy, MountSource, MountSpec};
use oci_spec::runtime::Mount;
use rustix::mount::MountFlags;

use super::{
    field::{absolute_path, invalid},
    mount_options::MountOptions,
};
use crate::{
    error::{Failure, Result},
    sandbox::plan::{Tree, Trees},
};

/// The mounts in order; host trees of bind mounts are added to `trees`.
pub fn convert(mounts: &[Mount], bundle: &Path, trees: &mut Trees) -> Result<Vec<MountSpec>> {
    let mut converted: Vec<MountSpec> = mounts
        .iter()
        .enumerate()
        .map(|(index, mount)| convert_one(index, mount, bundle, trees))
        .collect::<Result<_>>()?;
    if !converted.iter().any(|mount| mount.destination.trim_end_matches('/') == "/dev") {
        converted.insert(0, default_dev());
    }
    Ok(converted)
}

/// The devices that a container has even if no mount asks for them (OCI runtime specification,
/// "Default Devices").
fn default_dev() -> MountSpec {
    let flags = u64::from(MountFlags::NOSUID.bits());
    MountSpec { destination: "/dev".to_owned(), source: MountSource::Dev, flags }
}

fn convert_one(index: usize, mount: &Mount, bundle: &Path, trees: &mut Trees) -> Result<MountSpec> {
    let destination =
        absolute_path(format_args!("mounts[{index}].destination"), mount.destination())?;
    let options = options(index, mount)?;
    if options.maps_ids || mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        let name = format_args!("mounts[{index}]");
        return Err(invalid(name, "maps ids", "remove idmap: id-mapped mounts are not supported"));
    }
    let source = if is_bind(mount, options) {
        let source = mount.source().as_deref().ok_or_else(|| {
            invalid(format_args!("mounts[{index}].source"), "is missing", "name a host path")
        })?;
        let is_read_only = options.flags & u64::from(MountFlags::RDONLY.bits()) != 0;
        // A mere type says nothing of what is mounted below.
        let submounts = options.submounts || !options.bind;
        bind_source(&bundle.join(source), is_read_only, submounts, trees)?
    } else {
        virtual_source(index, mount, options, &destination)?
    };
    Ok(MountSpec { destination, source, flags: options.flags })
}

fn options(index: usize, mount: &Mount) -> Result<MountOptions> {
    let type_name = mount.typ().as_deref().unwrap_or_default();
    if matches!(type_name, "cgroup" | "cgroup2") {
        return Ok(MountOptions::default());
    }
    MountOptions::parse(mount.options().as_deref().unwrap_or_default()).map_err(|option| {
        let name = format!("mounts[{index}].options");
        invalid(name, format_args!("has '{option}'"), "remove it: it has no meaning here")
    })
}

fn is_bind(mount: &Mount, options: MountOptions) -> bool {
    options.bind || mount.typ().as_deref() == Some("bind")
}

/// The tree at `path` as the source of a mount, with what is mounted below it if `submounts`.
///
/// # Errors
/// If `path` does not exist or may not be looked at.
pub fn bind_source(
    path: &Path,
    is_read_only: bool,
    submounts: bool,
    trees: &mut Trees,
) -> Result<MountSource> {
    let path: PathBuf = path.canonicalize().map_err(|error| {
        Failure::new(
            format_args!("cannot use the mount source {}: {error}", path.display()),
            "create it or correct the path",
        )
    })?;
    let cache = CachePolicy::Shared;
    let device = trees.add(Tree { path, read_only: is_read_only, submounts, cache })?;
    Ok(MountSource::Device { device, cache })
}

/// A file system that the sentry makes itself.
fn virtual_source(
    index: usize,
    mount: &Mount,
    options: MountOptions,
    destination: &str,
) -> Result<MountSource> {
    Ok(match mount.typ().as_deref().unwrap_or_default() {
        "tmpfs" if destination.trim_end_matches('/') == "/dev" => MountSource::Dev,
        "devtmpfs" => MountSource::Dev,
        "tmpfs" => MountSource::Tmpfs(options.tmpfs),
        "proc" => MountSource::Proc,
        "sysfs" => MountSource::Sysfs,
        "devpts" => MountSource::Devpts,
        "mqueue" => MountSource::Mqueue,
        "cgroup" | "cgroup2" => MountSource::Cgroup,
        unknown => {
            return Err(invalid(
                format_args!("mounts[{index}].type"),
                format_args!("'{unknown}' is unknown"),
                "use bind, tmpfs, proc, sysfs, devtmpfs, devpts, mqueue or cgroup",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use guest_abi::container::TmpfsSpec;

    use super::*;

    fn mounts(json: &str) -> Result<(Vec<MountSpec>, Trees)> {
        let mounts: Vec<Mount> = serde_json::from_str(json).unwrap();
        let mut trees = Trees::default();
        convert(&mounts, Path::new("/"), &mut trees).map(|mounts| (mounts, trees))
    }

    #[test]
    fn converts_the_mounts_an_engine_sends() {
        let (mounts, trees) = mounts(
            r#"[{"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "gid=5"]},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro", "any"]},
                {"destination": "/dev/shm", "type": "tmpfs", "options": ["size=1m"]},
                {"destination": "/data", "type": "bind", "source": "usr",
                 "options": ["rbind", "rprivate", "ro"]}]"#,
        )
        .unwrap();
        let sources: Vec<_> = mounts.iter().map(|mount| &mount.source).collect();
        assert_eq!(sources[0], &MountSource::Proc);
        assert_eq!(sources[1], &MountSource::Dev);
        assert_eq!(mounts[2].flags, 2 | 8);
        assert_eq!(sources[3], &MountSource::Cgroup);
        assert_eq!(
            sources[4],
            &MountSource::Tmpfs(TmpfsSpec { size: Some(1 << 20), ..TmpfsSpec::default() })
        );
        let tree = trees.iter().next().unwrap();
        assert_eq!((tree.path.as_path(), tree.read_only), (Path::new("/usr"), true));
    }

    #[test]
    fn what_is_mounted_below_is_shown_unless_only_bind_is_said() {
        for (options, expected) in [
            (r#"["bind"]"#, false),
            (r#"["rbind"]"#, true),
            (r#"["bind", "rbind"]"#, true),
            ("[]", true),
        ] {
            let json = format!(
                r#"[{{"destination": "/x", "type": "bind", "source": "/", "options": {options}}}]"#
            );
            let (_, trees) = mounts(&json).unwrap();
            assert_eq!(trees.iter().next().unwrap().submounts, expected, "{options}");
        }
    }

    #[test]
    fn devices_are_there_without_a_mount() {
        let (mounts, _) = mounts(r#"[{"destination": "/proc", "type": "proc"}]"#).unwrap();
        assert_eq!(
            (mounts[0].destination.as_str(), &mounts[0].source),
            ("/dev", &MountSource::Dev)
        );
    }

    #[test]
    fn names_what_is_wrong() {
        let cases = [
            (r#"[{"destination": "/x", "type": "nfs"}]"#, "mounts[0].type 'nfs' is unknown"),
            (r#"[{"destination": "/x"}]"#, "mounts[0].type '' is unknown"),
            (r#"[{"destination": "x", "type": "proc"}]"#, "'x' is not absolute"),
            (r#"[{"destination": "/x", "type": "bind"}]"#, "mounts[0].source is missing"),
            (
                r#"[{"destination": "/x", "type": "bind", "source": "/nonexistent"}]"#,
                "mount source /nonexistent",
            ),
            (
                r#"[{"destination": "/x", "type": "bind", "source": "/", "options": ["idmap"]}]"#,
                "mounts[0] maps ids",
            ),
            (
                r#"[{"destination": "/x", "type": "proc", "options": ["what"]}]"#,
                "mounts[0].options has 'what'",
            ),
        ];
        for (json, expected) in cases {
            let message = mounts(json).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
