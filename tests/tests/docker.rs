//! Containers under a real Docker engine (tests/docker).
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::{path::Path, process::Command};

use integration_tests::{describe, sandbox_binary};

#[test]
fn docker_uses_it_as_it_uses_runc() {
    let is_possible =
        rustix::process::geteuid().is_root() && Path::new("/usr/sbin/dockerd").exists();
    if !is_possible {
        // The engine is a package of .ci/debian-packages; who tests without it tests less.
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/run.sh");
    let output = Command::new("timeout")
        .args(["--kill-after=30", "600", "bash"])
        .arg(script)
        .env("SANDBOX_VMM", sandbox_binary())
        .output()
        .unwrap_or_else(|error| panic!("cannot run the script: {error}"));
    const LEFT_OUT: i32 = 77;
    let is_left_out = output.status.code() == Some(LEFT_OUT);
    assert!(is_left_out || output.status.success(), "{}", describe(&output));
}
