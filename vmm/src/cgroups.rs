//! Control groups: where the host's processes of a container are counted and limited, on hosts with
//! version 1, version 2 or both.
//!
//! A limit of config.json is one of the container, and what the host can limit is the sandbox: its
//! processes and their memory. Memory and processor time mean the same for both. The number of
//! processes does not, and devices are not the container's but the sandbox's own; the sentry limits
//! those.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use libcgroups::{
    common::{AnyCgroupManager, CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager},
    stats::Stats,
};
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxPids, LinuxPidsBuilder, LinuxResources};
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Result};

/// Host tasks that a sandbox needs besides those of its container's processes.
const OWN_TASKS: i64 = 256;

/// Host tasks that one process of a container may need: a stub has a thread for each executor it
/// has run on, and a leader.
const TASKS_PER_PROCESS: i64 = 18;

/// How long killed processes may take to end.
const ENDING: Duration = Duration::from_secs(5);

/// How often those that end are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// A container's control group, by what finds it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    path: PathBuf,
    systemd: bool,
    container: String,
}

impl Cgroup {
    /// The control group at `path` of config.json; systemd makes it if `systemd`.
    pub fn new(path: &Path, systemd: bool, container: &str) -> Self {
        Self { path: path.to_owned(), systemd, container: container.to_owned() }
    }

    /// Puts process `pid` into it, and makes it first if need be.
    ///
    /// # Errors
    /// If the host refuses.
    pub fn add(&self, pid: u32) -> Result<()> {
        let pid = i32::try_from(pid).map_err(|error| self.failed("enter", &error))?;
        self.manager()?.add_task(Pid::from_raw(pid)).map_err(|error| self.failed("enter", &error))
    }

    /// Sets its limits.
    ///
    /// # Errors
    /// If the host refuses one.
    pub fn limit(&self, resources: &LinuxResources) -> Result<()> {
        let resources = host_resources(resources);
        let options = ControllerOpt {
            resources: &resources,
            disable_oom_killer: false,
            oom_score_adj: None,
            freezer_state: None,
        };
        self.manager()?.apply(&options).map_err(|error| self.failed("limit", &error))
    }

    /// Removes it, once its processes have ended. Those of a sandbox that was killed may take a
    /// moment longer than its stand-in.
    ///
    /// # Errors
    /// If it is still in use.
    pub fn remove(&self) -> Result<()> {
        let manager = self.manager()?;
        let deadline = Instant::now() + ENDING;
        while manager.get_all_pids().is_ok_and(|pids| !pids.is_empty()) && Instant::now() < deadline
        {
            thread::sleep(LOOK_INTERVAL);
        }
        manager.remove().map_err(|error| self.failed("remove", &error))
    }

    /// What its processes use.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn statistics(&self) -> Result<Stats> {
        self.manager()?.stats().map_err(|error| self.failed("read", &error))
    }

    fn manager(&self) -> Result<AnyCgroupManager> {
        let config = CgroupConfig {
            cgroup_path: self.path.clone(),
            systemd_cgroup: self.systemd,
            container_name: self.container.clone(),
        };
        create_cgroup_manager(config).map_err(|error| self.failed("find", &error))
    }

    fn failed(&self, what: &str, error: &dyn std::error::Error) -> Failure {
        Failure::new(
            format_args!("cannot {what} the control group {}: {error}", self.path.display()),
            "run it as root, or leave linux.cgroupsPath out of config.json",
        )
    }
}

/// What of `resources` the host is to limit, and how.
fn host_resources(resources: &LinuxResources) -> LinuxResources {
    let mut resources = resources.clone();
    resources.set_devices(None);
    // Zero is what engines send for "unset", and less for "any".
    let pids = resources.pids().as_ref().map(LinuxPids::limit).filter(|&limit| limit != 0);
    resources.set_pids(pids.and_then(|limit| {
        let tasks = limit.saturating_mul(TASKS_PER_PROCESS).saturating_add(OWN_TASKS);
        let tasks = if limit < 0 { -1 } else { tasks };
        LinuxPidsBuilder::default().limit(tasks).build().ok()
    }));
    if let Some(mut processor) = resources.cpu().clone() {
        let set = |value: Option<u64>| value.filter(|&value| value > 0);
        processor.set_shares(set(processor.shares()));
        processor.set_period(set(processor.period()));
        processor.set_quota(processor.quota().filter(|&quota| quota != 0));
        resources.set_cpu(Some(processor));
    }
    if let Some(mut memory) = *resources.memory() {
        let set = |value: Option<i64>| value.filter(|&value| value != 0);
        memory.set_limit(set(memory.limit()));
        memory.set_reservation(set(memory.reservation()));
        memory.set_swap(set(memory.swap()));
        // Kernel memory has no limit of its own any more (memory.kmem.limit_in_bytes).
        memory.set_kernel(None);
        memory.set_kernel_tcp(None);
        memory.set_swappiness(None);
        resources.set_memory(Some(memory));
    }
    if resources.block_io().as_ref().is_some_and(|block| block.weight() == Some(0)) {
        resources.set_block_io(None);
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_means_unset_and_devices_are_the_sandboxes_own() {
        let sent: LinuxResources = serde_json::from_str(
            r#"{"devices": [{"allow": false, "access": "rwm"}],
                "memory": {"limit": 0, "swap": 0, "reservation": 7},
                "cpu": {"shares": 0, "quota": 0, "period": 0},
                "blockIO": {"weight": 0}, "pids": {"limit": 5}}"#,
        )
        .unwrap();
        let resources = host_resources(&sent);
        assert!(resources.devices().is_none() && resources.block_io().is_none());
        let memory = resources.memory().unwrap();
        assert_eq!((memory.limit(), memory.swap(), memory.reservation()), (None, None, Some(7)));
        let processor = resources.cpu().as_ref().unwrap();
        assert_eq!((processor.shares(), processor.quota(), processor.period()), (None, None, None));
        assert_eq!(resources.pids().unwrap().limit(), 5 * TASKS_PER_PROCESS + OWN_TASKS);
    }

    #[test]
    fn a_limit_of_tasks_can_be_lifted() {
        let limit = |sent: &str| {
            let sent: LinuxResources = serde_json::from_str(sent).unwrap();
            host_resources(&sent).pids().as_ref().map(LinuxPids::limit)
        };
        assert_eq!(limit(r#"{"pids": {"limit": -1}}"#), Some(-1));
        assert_eq!(limit(r#"{"pids": {"limit": 0}}"#), None);
    }
}
