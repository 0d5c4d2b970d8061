//! What config.json may ask for that would change what programs see, and cannot be given.

use oci_spec::runtime::{Linux, LinuxNamespace, LinuxPersonalityDomain};

use super::{Spec, field::invalid};
use crate::error::Result;

/// Values of `linux.rootfsPropagation`. All are the same here: no mount of a sandbox propagates.
const PROPAGATIONS: [&str; 8] =
    ["shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable"];

/// Refuses what cannot be given.
///
/// # Errors
/// If the version of the specification is unknown, the personality is not that of 64-bit Linux,
/// clocks are to be shifted, a namespace comes twice or the propagation of the root is none.
pub fn refuse(spec: &Spec) -> Result<()> {
    refuse_version(&spec.oci_version)?;
    let Some(linux) = &spec.linux else { return Ok(()) };
    refuse_namespaces(linux.namespaces().as_deref().unwrap_or_default())?;
    refuse_linux(linux)
}

/// Versions are three numbers and perhaps more after a dash or plus (SemVer 2.0.0).
/// A configuration without one is taken, as runc takes it.
fn refuse_version(version: &str) -> Result<()> {
    if version.is_empty() {
        return Ok(());
    }
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<Option<u32>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [Some(1), Some(_), Some(_)] => Ok(()),
        [Some(_), Some(_), Some(_)] => {
            let what = format_args!("'{version}' is not supported");
            Err(invalid("ociVersion", what, "use version 1 of the specification"))
        }
        _ => {
            let what = format_args!("'{version}' is no version");
            Err(invalid("ociVersion", what, "write it as 1.0.2"))
        }
    }
}

fn refuse_namespaces(namespaces: &[LinuxNamespace]) -> Result<()> {
    for (index, namespace) in namespaces.iter().enumerate() {
        let kind = namespace.typ();
        if namespaces.iter().take(index).any(|earlier| earlier.typ() == kind) {
            let what = format_args!("has {kind} twice");
            return Err(invalid("linux.namespaces", what, "remove one of them"));
        }
        if namespace.path().as_ref().is_some_and(|path| !path.is_absolute()) {
            let name = format_args!("linux.namespaces[{index}].path");
            return Err(invalid(name, "is not absolute", "start it with '/'"));
        }
    }
    Ok(())
}

fn refuse_linux(linux: &Linux) -> Result<()> {
    if let Some(personality) = linux.personality() {
        if personality.domain() != LinuxPersonalityDomain::PerLinux {
            let what = "asks for LINUX32, and the sandbox runs 64-bit programs only";
            return Err(invalid("linux.personality", what, "use LINUX"));
        }
        if personality.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
            return Err(invalid("linux.personality.flags", "is not empty", "remove it"));
        }
    }
    if linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty()) {
        let what = "is not supported: the sandbox has one time namespace";
        return Err(invalid("linux.timeOffsets", what, "remove it"));
    }
    match linux.rootfs_propagation().as_deref() {
        Some(value) if !value.is_empty() && !PROPAGATIONS.contains(&value) => {
            let what = format_args!("'{value}' is not supported");
            Err(invalid(
                "linux.rootfsPropagation",
                what,
                "use shared, slave, private or unbindable",
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_cannot_be_given() {
        let message = |json: &str| {
            let spec = format!(r#"{{"ociVersion": "1.0.2", "linux": {json}}}"#);
            let spec: Spec = serde_json::from_str(&spec).unwrap();
            refuse(&spec).err().map(|failure| failure.to_string()).unwrap_or_default()
        };
        assert!(message(r#"{"personality": {"domain": "LINUX32"}}"#).contains("LINUX32"));
        assert_eq!(message(r#"{"personality": {"domain": "LINUX"}}"#), "");
        assert!(message(r#"{"rootfsPropagation": "odd"}"#).contains("'odd' is not supported"));
        assert_eq!(message(r#"{"rootfsPropagation": "rslave", "timeOffsets": {}}"#), "");
        let offsets = r#"{"timeOffsets": {"monotonic": {"secs": 1, "nanosecs": 0}}}"#;
        assert!(message(offsets).contains("linux.timeOffsets"));
        let twice = r#"{"namespaces": [{"type": "pid"}, {"type": "pid"}]}"#;
        assert!(message(twice).contains("has pid twice"), "{}", message(twice));
        let relative = r#"{"namespaces": [{"type": "network", "path": "ns/net"}]}"#;
        assert!(message(relative).contains("not absolute"));
    }

    #[test]
    fn versions_are_those_of_the_specification() {
        for known in ["1.0.0", "1.0.2-dev", "1.2.0+build"] {
            assert!(refuse_version(known).is_ok(), "{known}");
        }
        for unknown in ["2.0.0", "0.1.0", "1.0", "one.two.three", "1.0.0.0"] {
            assert!(refuse_version(unknown).is_err(), "{unknown}");
        }
    }
}
