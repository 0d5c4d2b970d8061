//! The host's namespaces that config.json names.
//!
//! The sentry has namespaces of its own, so those of the host matter in two ways only: engines find a
//! container's network by the namespace of its pid, and what another container has cannot be shared
//! by joining a namespace, since it is inside another sandbox.

use std::{
    fs::{self, File},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use rustix::thread::{CapabilitySet, capabilities};

use super::Launch;
use crate::{
    bundle::Spec,
    error::{Failure, Result},
    sandbox::settings::Network,
    stand_in::{Order, StandIn},
};

/// Checks that the namespaces to join are none of another container's.
///
/// # Errors
/// The first that cannot be shared.
pub fn check(spec: &Spec) -> Result<()> {
    namespaces(spec).try_for_each(check_one)
}

fn check_one(namespace: &LinuxNamespace) -> Result<()> {
    let Some(path) = namespace.path() else { return Ok(()) };
    let kind = match namespace.typ() {
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::Network if is_of_sandbox(path) => "network",
        _ => return Ok(()),
    };
    Err(Failure::new(
        format_args!(
            "cannot share the {kind} namespace {} of another container: each container has a \
             kernel of its own",
            path.display()
        ),
        format_args!("leave out --{kind} container:NAME, or run both programs in one container"),
    ))
}

/// Checks that the pid namespace to join, if any, is that of the sandbox whose first container is
/// known as process `sandbox`. Of the others a pod has one each.
///
/// # Errors
/// If it is another one.
pub fn check_shared(spec: &Spec, sandbox: u32) -> Result<()> {
    let pid = namespaces(spec).find(|namespace| namespace.typ() == LinuxNamespaceType::Pid);
    let Some(path) = pid.and_then(|namespace| namespace.path().as_ref()) else { return Ok(()) };
    if path == Path::new(&format!("/proc/{sandbox}/ns/pid")) {
        return Ok(());
    }
    Err(Failure::new(
        format_args!(
            "cannot share the pid namespace {}: it is not that of the sandbox's first container",
            path.display()
        ),
        format_args!("name /proc/{sandbox}/ns/pid, or leave out the path"),
    ))
}

/// Whether `path` is /proc/PID/ns/net of a process of this program: a stand-in, whose container has
/// its network inside its sandbox.
fn is_of_sandbox(path: &Path) -> bool {
    let process = path.ancestors().nth(2);
    let is_process = process.is_some_and(|process| process.parent() == Some(Path::new("/proc")));
    let executable = process.filter(|_| is_process).map(|process| process.join("exe"));
    let identity = |path: PathBuf| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let other = executable.and_then(identity);
    other.is_some() && other == identity("/proc/self/exe".into())
}

/// Orders the stand-in into the container's network namespace: engines find that by its pid. A new
/// one takes privileges (unshare(2)); without, nobody could put anything into it either.
///
/// # Errors
/// If there is no such namespace. The stand-in answers whether the host refuses.
pub fn enter_network(launch: &Launch<'_>, spec: &Spec, stand_in: &StandIn) -> Result<()> {
    match network(spec).map(LinuxNamespace::path) {
        None => Ok(()),
        Some(None) if !may_make_namespaces() => {
            launch.context.log.information(
                "no network namespace on the host, which takes root; the sandbox has its own",
            );
            Ok(())
        }
        Some(None) => stand_in.order(&Order::Network { join: false }, &[]),
        Some(Some(path)) => {
            let namespace = open(path)?;
            stand_in.order(&Order::Network { join: true }, &[namespace.as_fd()])
        }
    }
}

fn may_make_namespaces() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Says in the log that the container does not get what its network namespace has, which is that of
/// process `pid`.
pub fn tell_network(launch: &Launch<'_>, spec: &Spec, pid: u32) {
    let is_made =
        network(spec).is_some_and(|namespace| namespace.path().is_some() || may_make_namespaces());
    if launch.network != Network::Sandbox || !is_made {
        return;
    }
    let routes = fs::read_to_string(format!("/proc/{pid}/net/route")).unwrap_or_default();
    let interfaces = interfaces(&routes);
    if !interfaces.is_empty() {
        launch.context.log.warning(format_args!(
            "the container has loopback only: {} stays as it is until the sandbox has a network \
             stack for it",
            interfaces.join(", ")
        ));
    }
}

fn network(spec: &Spec) -> Option<&LinuxNamespace> {
    namespaces(spec).find(|namespace| namespace.typ() == LinuxNamespaceType::Network)
}

/// The interfaces that are in use: those that a table of routes (proc_net_route, "Iface") names.
fn interfaces(routes: &str) -> Vec<&str> {
    let names = routes.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let mut names: Vec<&str> = names.filter(|name| *name != "lo").collect();
    names.dedup();
    names
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| {
        Failure::new(
            format_args!("cannot join the network namespace {}: {error}", path.display()),
            "name one that exists in config.json",
        )
    })
}

fn namespaces(spec: &Spec) -> impl Iterator<Item = &LinuxNamespace> {
    let linux = spec.linux.as_ref();
    linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(namespace: &str) -> Result<()> {
        let config =
            format!(r#"{{"ociVersion": "1.0.2", "linux": {{"namespaces": [{namespace}]}}}}"#);
        check(&serde_json::from_str(&config).unwrap())
    }

    #[test]
    fn what_another_container_has_cannot_be_shared() {
        for kind in ["pid", "ipc", "network"] {
            assert_eq!(checked(&format!(r#"{{"type": "{kind}"}}"#)), Ok(()));
            let path = format!("/proc/{}/ns/{kind}", std::process::id());
            let refused = checked(&format!(r#"{{"type": "{kind}", "path": "{path}"}}"#));
            let text = refused.unwrap_err().to_string();
            assert!(text.starts_with(&format!("cannot share the {kind} namespace")), "{text}");
        }
        // Of the engine, of a process that is not ours, and of none.
        for path in ["/run/netns/blue", "/proc/1/ns/net", "/proc/0/ns/net", "/"] {
            assert_eq!(checked(&format!(r#"{{"type": "network", "path": "{path}"}}"#)), Ok(()));
        }
    }

    #[test]
    fn a_further_container_shares_the_pid_namespace_of_its_sandbox() {
        let check = |pid: u32| {
            let path = format!("/proc/{pid}/ns/pid");
            let spec = format!(
                r#"{{"ociVersion": "1.0.2", "linux": {{"namespaces":
                    [{{"type": "pid", "path": "{path}"}}, {{"type": "ipc", "path": "/ipc"}}]}}}}"#
            );
            check_shared(&serde_json::from_str(&spec).unwrap(), 7)
        };
        assert_eq!(check(7), Ok(()));
        let text = check(8).unwrap_err().to_string();
        assert!(text.starts_with("cannot share the pid namespace /proc/8/ns/pid"), "{text}");
    }

    #[test]
    fn interfaces_in_use_have_routes() {
        let routes = "Iface\tDestination\tGateway\n\
                      eth0\t00000000\t010011AC\neth0\t000011AC\t00000000\nlo\t0\t0\n";
        assert_eq!(interfaces(routes), ["eth0"]);
        assert!(interfaces("").is_empty());
    }
}
