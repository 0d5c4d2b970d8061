//! `ps`: the processes of a container.

use std::fs;

use super::{
    Context, ask, print,
    ps_columns::{columns, table},
    unexpected,
};
use crate::{
    control_socket::{PROMPT, Reply, Request},
    error::Result,
};

/// The command. With `json` it prints the ids of the host processes that the container consists of,
/// which engines look up in the host's own list; else the processes inside, as `options` of ps(1)
/// ask for.
///
/// # Errors
/// If there is no such container, or it does not run; if an option is not known.
pub fn run(context: &Context, id: &str, json: bool, options: &[String]) -> Result<()> {
    let columns = columns(options)?;
    let (container, record) = context.find(id)?;
    let Reply::Processes(processes) = ask(&container, &Request::Processes, Some(PROMPT))? else {
        return Err(unexpected());
    };
    if json {
        let pids = descendants(record.stand_in.pid);
        return print(&format!("{}\n", serde_json::json!(pids)));
    }
    print(&table(&processes, &columns))
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
}
