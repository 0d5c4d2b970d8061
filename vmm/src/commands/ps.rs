//! `ps`: the processes of a container.

use std::fs;

use guest_abi::control::ProcessEntry;

use super::{Context, ask, print, unexpected};
use crate::{
    control_socket::{PROMPT, Reply, Request},
    error::Result,
};

/// The command. With `json` it prints the ids of the host processes that the container consists of,
/// which engines look up in the host's own list; else the processes inside.
///
/// # Errors
/// If there is no such container, or it does not run.
pub fn run(context: &Context, id: &str, json: bool) -> Result<()> {
    let (container, record) = context.find(id)?;
    let Reply::Processes(processes) = ask(&container, &Request::Processes, Some(PROMPT))? else {
        return Err(unexpected());
    };
    if json {
        let pids = descendants(record.stand_in.pid);
        return print(&format!("{}\n", serde_json::json!(pids)));
    }
    print(&table(&processes))
}

fn table(processes: &[ProcessEntry]) -> String {
    let header = format!("{:<10} {:>7} {:>7} {:>8} CMD\n", "UID", "PID", "PPID", "TIME");
    let line = |process: &ProcessEntry| {
        let seconds = process.milliseconds / 1000;
        let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        let ProcessEntry { pid, parent, uid, name, .. } = process;
        format!("{uid:<10} {pid:>7} {parent:>7} {time:>8} {name}\n")
    };
    std::iter::once(header).chain(processes.iter().map(line)).collect()
}

/// `pid` and the processes below it.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(children(parent));
        next += 1;
    }
    found
}

/// Children of all threads of a process (proc(5), /proc/PID/task/TID/children).
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_found() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        assert!(descendants(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_table_shows_what_runs_inside() {
        let process = ProcessEntry {
            pid: 1,
            parent: 0,
            uid: 0,
            milliseconds: 3_725_000,
            name: "sh".to_owned(),
        };
        let table = table(&[process]);
        assert!(table.ends_with("0                1       0 01:02:05 sh\n"), "{table}");
    }
}
