//! `linux.sysctl`: settings of the container's own namespaces.

use std::collections::HashMap;

use sentry::kernel::Settings;

use super::field::invalid;
use crate::error::Result;

/// The settings as (path below /proc/sys, value), by path.
///
/// # Errors
/// In runc's words, if one is of no namespace or has a field of its own.
pub fn convert(settings: Option<&HashMap<String, String>>) -> Result<Vec<(String, String)>> {
    let mut converted = Vec::new();
    for (name, value) in settings.into_iter().flatten() {
        let path = path(name);
        // Below these two, all are: those that the sentry does not know are refused by it.
        let is_namespaced = Settings::names().any(|known| known == path)
            || path == "kernel/domainname"
            || path.starts_with("fs/mqueue/")
            || path.starts_with("net/");
        if path == "kernel/hostname" {
            return Err(refused(
                name,
                "is not allowed as it conflicts with the OCI \"hostname\" field",
            ));
        }
        if !is_namespaced {
            return Err(refused(name, "is not in a separate kernel namespace"));
        }
        converted.push((path, value.clone()));
    }
    converted.sort();
    Ok(converted)
}

fn refused(name: &str, why: &str) -> crate::error::Failure {
    invalid(format_args!("sysctl {name:?}"), why, "remove it from linux.sysctl")
}

/// The path of a name: dots separate its parts, unless a slash comes before the first dot; then
/// dots stand for themselves (sysctl(8)).
fn path(name: &str) -> String {
    let swap = |character| match character {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    match name.find(['.', '/']).and_then(|at| name.get(at..)) {
        Some(rest) if rest.starts_with('.') => name.chars().map(swap).collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert_one(name: &str) -> Result<Vec<(String, String)>> {
        convert(Some(&HashMap::from([(name.to_owned(), "1".to_owned())])))
    }

    #[test]
    fn names_become_paths() {
        let path = |name: &str| convert_one(name).unwrap()[0].0.clone();
        assert_eq!(path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path("kernel.msgmax"), "kernel/msgmax");
    }

    #[test]
    fn what_belongs_to_the_host_is_refused() {
        for name in ["vm.swappiness", "kernel.panic", "fs.file-max", "", "kernel"] {
            let message = convert_one(name).unwrap_err().to_string();
            let expected = format!("sysctl {name:?} is not in a separate kernel namespace");
            assert!(message.contains(&expected), "{message}");
        }
        let message = convert_one("kernel.hostname").unwrap_err().to_string();
        assert!(message.contains("conflicts with the OCI \"hostname\" field"), "{message}");
    }
}
