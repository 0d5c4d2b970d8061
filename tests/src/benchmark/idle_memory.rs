//! Memory of an idle sandbox.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
};

use crate::sandbox_binary;

/// A program that waits until its input ends.
const WAIT: [&str; 3] = ["/bin/sh", "-c", "echo up; read line"];

/// Proportional set size, in bytes, of all processes of a sandbox on `platform` whose program only
/// waits, the program included.
pub fn idle_sandbox_bytes(platform: &str) -> Option<u64> {
    let mut command = Command::new(sandbox_binary());
    command.arg(format!("--platform={platform}")).args(["do", "--"]).args(WAIT);
    idle_bytes(&mut command)
}

/// That of the same program without a sandbox.
pub fn idle_program_bytes() -> Option<u64> {
    idle_bytes(Command::new(WAIT[0]).args(&WAIT[1..]))
}

fn idle_bytes(command: &mut Command) -> Option<u64> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    child.stdout.as_mut()?.read_exact(&mut [0; 3]).ok()?;
    let total = tree(child.id()).into_iter().filter_map(proportional_set_size).sum();
    drop(child.stdin.take());
    child.wait().ok()?;
    Some(total)
}

/// A process and its descendants.
fn tree(pid: u32) -> Vec<u32> {
    let mut pids = vec![pid];
    let mut next = 0;
    while let Some(parent) = pids.get(next).copied() {
        pids.extend(children(parent));
        next += 1;
    }
    pids
}

fn children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

fn proportional_set_size(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
