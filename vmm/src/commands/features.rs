//! `features`: what this runtime can do, as JSON (OCI runtime specification, "Feature Structure").

use serde_json::json;

use super::{print, state::OCI_VERSION};
use crate::{bundle::KNOWN_MOUNT_OPTIONS, error::Result};

/// Oldest version of the specification whose bundles it takes.
const OLDEST_OCI_VERSION: &str = "1.0.0";

/// The command.
///
/// # Errors
/// If standard output is closed.
pub fn run() -> Result<()> {
    let mut capabilities: Vec<_> = caps::all().iter().map(ToString::to_string).collect();
    capabilities.sort();
    let mut options: Vec<_> = KNOWN_MOUNT_OPTIONS.iter().flat_map(|names| names.iter()).collect();
    options.sort();
    let features = json!({
        "ociVersionMin": OLDEST_OCI_VERSION,
        "ociVersionMax": OCI_VERSION,
        "hooks": [
            "prestart", "createRuntime", "createContainer", "startContainer", "poststart",
            "poststop",
        ],
        "mountOptions": options,
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "uts"],
            "capabilities": capabilities,
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true },
            "seccomp": {
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
                ],
                "operators": [
                    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
                ],
                "archs": ["SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
                "knownFlags": [
                    "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                    "SECCOMP_FILTER_FLAG_TSYNC",
                ],
                "supportedFlags": [
                    "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                    "SECCOMP_FILTER_FLAG_TSYNC",
                ],
            },
            "apparmor": { "enabled": false },
            "selinux": { "enabled": false },
        },
    });
    print(&format!("{features:#}\n"))
}
