//! What config.json may ask for and this sandbox does not do.

use super::Spec;

/// Names of the sections present in `spec` that have no effect here. Namespaces are not among
/// them: a sandbox always has its own of each kind.
pub fn sections(spec: &Spec) -> Vec<&'static str> {
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
    present.into_iter().filter_map(|(name, is_present)| is_present.then_some(name)).collect()
}
