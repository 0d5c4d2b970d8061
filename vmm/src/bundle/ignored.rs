//! What config.json may ask for and this sandbox does not do.

use super::{Spec, capabilities};

/// What `spec` names that has no effect here: sections, and capabilities that are none.
/// Namespaces are not among them: a sandbox always has its own of each kind.
pub fn names(spec: &Spec) -> Vec<String> {
    let linux = spec.linux.as_ref();
    let process = spec.process.as_ref();
    let present = [
        ("linux.mountLabel", linux.is_some_and(|linux| linux.mount_label().is_some())),
        ("linux.intelRdt", linux.is_some_and(|linux| linux.intel_rdt().is_some())),
        (
            "process.apparmorProfile",
            process.is_some_and(|process| process.apparmor_profile.is_some()),
        ),
        ("process.selinuxLabel", process.is_some_and(|process| process.selinux_label.is_some())),
    ];
    let sections = present.into_iter().filter(|(_, is_present)| *is_present);
    let capabilities = process.and_then(|process| process.capabilities.as_ref());
    let unknown = capabilities.map(capabilities::unknown).unwrap_or_default();
    let unknown = unknown.into_iter().map(|name| format!("{name:?} in process.capabilities"));
    sections.map(|(name, _)| name.to_owned()).chain(unknown).collect()
}
