//! Containers under real engines: Docker, containerd and Podman (tests/engines).
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::{path::Path, process::Command};

use integration_tests::{describe, sandbox_binary};

/// Environment variable that, as `skip`, leaves this test out where no engine can run.
const VARIABLE: &str = "SANDBOX_TEST_ENGINES";

/// What the scripts need of the host, besides root.
const NEEDED: &[&str] = &["/usr/sbin/dockerd", "/usr/bin/containerd", "/usr/bin/podman"];

#[test]
fn engines_use_it_as_they_use_runc() {
    if std::env::var(VARIABLE).is_ok_and(|value| value == "skip") {
        return;
    }
    let missing = NEEDED.iter().find(|program| !Path::new(program).exists());
    assert!(
        rustix::process::geteuid().is_root() && missing.is_none(),
        "this test needs root and the packages of .ci/debian-packages (missing: {missing:?}); \
         {VARIABLE}=skip leaves it out",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/run.sh");
    let output = Command::new("timeout")
        .args(["--kill-after=30", "600", "bash"])
        .arg(script)
        .env("SANDBOX_VMM", sandbox_binary())
        .output()
        .unwrap_or_else(|error| panic!("cannot run the script: {error}"));
    assert!(output.status.success(), "{}", describe(&output));
}
