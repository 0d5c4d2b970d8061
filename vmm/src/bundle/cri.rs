//! What the annotations of a pod's containers say (container runtime interface).
//!
//! An engine makes a sandbox as a container (the pod's pause container), and then each container of
//! the pod with the sandbox's id.

use oci_spec::runtime::LinuxNamespaceType;

use super::{Spec, field::invalid};
use crate::error::{Failure, Result};
use guest_abi::container::SharedNamespaces;

/// The annotations of containerd, and of CRI-O: type of a container, and id of its sandbox.
const NAMES: [(&str, &str); 2] = [
    ("io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"),
    ("io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"),
];

/// What a container is to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodRole {
    /// No part of one: it has a sandbox of its own.
    None,
    /// The first one, whose sandbox further ones are started in.
    Sandbox,
    /// A further one, in the sandbox of this container.
    Container(String),
}

/// The role of the container that `spec` describes.
///
/// # Errors
/// If its type is unknown, or it does not say in which sandbox it is.
pub fn pod_role(spec: &Spec) -> Result<PodRole> {
    let annotation = |name: &str| spec.annotations.as_ref()?.get(name);
    for (kind_name, sandbox_name) in NAMES {
        let name = format_args!("annotations[\"{kind_name}\"]");
        return match annotation(kind_name).map(String::as_str) {
            None => continue,
            Some("sandbox") => Ok(PodRole::Sandbox),
            Some("container") => match annotation(sandbox_name) {
                Some(sandbox) => Ok(PodRole::Container(sandbox.clone())),
                None => {
                    let help = format_args!("name the sandbox's container in {sandbox_name}");
                    Err(Failure::new(format_args!("config.json: {name} names no sandbox"), help))
                }
            },
            Some(other) => {
                let what = format_args!("'{other}' is unknown");
                Err(invalid(name, what, "use sandbox or container"))
            }
        };
    }
    Ok(PodRole::None)
}

/// Which namespaces a further container shares with the first one: those that it is to join, and
/// those that it does not ask for, of which a container outside would have the host's.
pub fn shared_namespaces(spec: &Spec) -> SharedNamespaces {
    let namespaces = spec.linux.as_ref().and_then(|linux| linux.namespaces().as_deref());
    let is_shared = |kind| {
        let asked = namespaces.unwrap_or_default().iter().find(|one| one.typ() == kind);
        asked.is_none_or(|namespace| namespace.path().is_some())
    };
    SharedNamespaces {
        pid: is_shared(LinuxNamespaceType::Pid),
        ipc: is_shared(LinuxNamespaceType::Ipc),
        uts: is_shared(LinuxNamespaceType::Uts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(more: &str) -> Spec {
        serde_json::from_str(&format!(r#"{{"ociVersion": "1.0.2", {more}}}"#)).unwrap()
    }

    #[test]
    fn roles_are_those_of_the_annotations() {
        let role = |annotations: &str| {
            pod_role(&spec(&format!(r#""annotations": {{{annotations}}}"#)))
                .map_err(|failure| failure.to_string())
        };
        assert_eq!(role(r#""color": "blue""#), Ok(PodRole::None));
        assert_eq!(role(r#""io.kubernetes.cri.container-type": "sandbox""#), Ok(PodRole::Sandbox));
        let further = r#""io.kubernetes.cri-o.ContainerType": "container""#;
        let text = role(further).unwrap_err();
        assert!(text.contains("names no sandbox"), "{text}");
        let further = role(&format!(r#"{further}, "io.kubernetes.cri-o.SandboxID": "pod""#));
        assert_eq!(further, Ok(PodRole::Container("pod".to_owned())));
        let text = role(r#""io.kubernetes.cri.container-type": "odd""#).unwrap_err();
        assert!(text.contains("'odd' is unknown"), "{text}");
    }

    #[test]
    fn namespaces_with_a_path_and_those_not_named_are_shared() {
        let namespaces = r#"[{"type": "pid"}, {"type": "ipc", "path": "/proc/7/ns/ipc"}]"#;
        let shared =
            shared_namespaces(&spec(&format!(r#""linux": {{"namespaces": {namespaces}}}"#)));
        assert_eq!(shared, SharedNamespaces { pid: false, ipc: true, uts: true });
    }
}
