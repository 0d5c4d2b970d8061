//! What the annotations of a pod's containers say (container runtime interface).
//!
//! An engine makes a sandbox as a container (the pod's pause container), and then each container of
//! the pod with the sandbox's id. Podman does not say so of its pod's infra container, and of a pod
//! without one it names the pod, which is no container. What is in a pod that has an infra container
//! is known by its control group.

use oci_spec::runtime::LinuxNamespaceType;

use super::{Spec, field::invalid};
use crate::error::{Failure, Result};
use guest_abi::container::SharedNamespaces;

/// The annotations of containerd, and of CRI-O: type of a container, and id of its sandbox.
const NAMES: [(&str, &str); 2] = [
    ("io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"),
    ("io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"),
];

/// Digits of an id of Podman's.
const PODMAN_ID_LENGTH: usize = 64;

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
                Some(_) if is_podmans(spec) && podmans_pod(spec).is_none() => Ok(PodRole::None),
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
    Ok(if podmans_pod(spec).is_some() { PodRole::Sandbox } else { PodRole::None })
}

fn is_podmans(spec: &Spec) -> bool {
    let annotations = spec.annotations.as_ref();
    annotations.and_then(|all| all.get("io.container.manager")).is_some_and(|name| name == "libpod")
}

/// The id of the pod that Podman makes a container for: `/PARENT/POD/libpod-ID` is its control group,
/// or with systemd `PARENT-libpod_pod_POD.slice:libpod:ID`.
fn podmans_pod(spec: &Spec) -> Option<&str> {
    let path = spec.linux.as_ref()?.cgroups_path().as_ref()?.to_str()?;
    let pod = if let Some((slice, _)) = path.split_once(".slice:libpod:") {
        slice.rsplit_once("libpod_pod_")?.1
    } else {
        let (parent, _) = path.rsplit_once("/libpod-")?;
        parent.rsplit('/').next()?
    };
    let is_id = pod.len() == PODMAN_ID_LENGTH && pod.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_id.then_some(pod)
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
    fn podmans_pods_are_known_by_their_control_group() {
        let pod = "868c".repeat(16);
        let role = |path: &str, annotations: &str| {
            let linux = format!(r#""linux": {{"cgroupsPath": "{path}"}}"#);
            pod_role(&spec(&format!(r#"{linux}, "annotations": {{{annotations}}}"#))).unwrap()
        };
        let paths = [
            format!("/libpod_parent/{pod}/libpod-b579"),
            format!("machine-libpod_pod_{pod}.slice:libpod:b579"),
        ];
        let manager = r#""io.container.manager": "libpod""#;
        let further =
            format!(r#"{manager}, "{}": "container", "{}": "b579""#, NAMES[1].0, NAMES[1].1);
        for path in paths {
            assert_eq!(role(&path, manager), PodRole::Sandbox);
            assert_eq!(role(&path, &further), PodRole::Container("b579".to_owned()));
        }
        for path in ["/libpod_parent/libpod-b579", "machine.slice:libpod:b579", "/a/b", ""] {
            assert_eq!(role(path, manager), PodRole::None, "{path}");
            assert_eq!(role(path, &further), PodRole::None, "{path}");
        }
    }

    #[test]
    fn namespaces_with_a_path_and_those_not_named_are_shared() {
        let namespaces = r#"[{"type": "pid"}, {"type": "ipc", "path": "/proc/7/ns/ipc"}]"#;
        let shared =
            shared_namespaces(&spec(&format!(r#""linux": {{"namespaces": {namespaces}}}"#)));
        assert_eq!(shared, SharedNamespaces { pid: false, ipc: true, uts: true });
    }
}
