//! `update`: changes the limits of a container.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use super::{Context, ask};
use crate::{
    bundle::limits,
    control_socket::{PROMPT, Request},
    error::{Failure, Result},
};

/// Single limits, as runc names their flags; sizes in bytes, times in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Relative weight.
    pub cpu_share: Option<u64>,
    /// Length of a period.
    pub cpu_period: Option<u64>,
    /// Processor time in a period; -1 for any.
    pub cpu_quota: Option<i64>,
    /// Length of a real-time period.
    pub cpu_rt_period: Option<u64>,
    /// Real-time processor time in a period.
    pub cpu_rt_runtime: Option<i64>,
    /// Relative weight of block input and output.
    pub blkio_weight: Option<u16>,
    /// Processors, as a list.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, as a list.
    pub cpuset_mems: Option<String>,
    /// Memory; -1 for any.
    pub memory: Option<i64>,
    /// Memory that is kept for it.
    pub memory_reservation: Option<i64>,
    /// Memory and swap together; -1 for any.
    pub memory_swap: Option<i64>,
    /// Tasks; -1 for any.
    pub pids_limit: Option<i64>,
}

/// The command: limits from a file (`-` is standard input) or from flags.
///
/// # Errors
/// If there is no such container, or the limits are not valid or refused.
pub fn run(context: &Context, id: &str, file: Option<PathBuf>, limits: &Limits) -> Result<()> {
    let (container, record) = context.find(id)?;
    container.lock()?;
    let resources = match file {
        Some(path) => serde_json::from_str(&read(&path)?).map_err(|error| invalid(&error))?,
        None => of_flags(limits)?,
    };
    if let Some(cgroup) = &record.cgroup {
        cgroup.limit(&resources)?;
    } else {
        let cause = "cannot update a container without a control group";
        return Err(Failure::new(cause, "set linux.cgroupsPath in config.json"));
    }
    ask(&container, &Request::Limit(limits::convert(&resources)), Some(PROMPT)).map(|_| ())
}

fn read(path: &Path) -> Result<String> {
    let read = || {
        if path == Path::new("-") {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            fs::read_to_string(path)
        }
    };
    read().map_err(|error| {
        Failure::new(
            format_args!("cannot read the limits {}: {error}", path.display()),
            "name a file like linux.resources of config.json with --resources",
        )
    })
}

fn of_flags(limits: &Limits) -> Result<LinuxResources> {
    let section = |entries: Vec<(&str, Option<Value>)>| -> Value {
        let set = entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(set.collect::<Map<_, _>>())
    };
    let processor = section(vec![
        ("shares", limits.cpu_share.map(Value::from)),
        ("period", limits.cpu_period.map(Value::from)),
        ("quota", limits.cpu_quota.map(Value::from)),
        ("realtimePeriod", limits.cpu_rt_period.map(Value::from)),
        ("realtimeRuntime", limits.cpu_rt_runtime.map(Value::from)),
        ("cpus", limits.cpuset_cpus.clone().map(Value::from)),
        ("mems", limits.cpuset_mems.clone().map(Value::from)),
    ]);
    let memory = section(vec![
        ("limit", limits.memory.map(Value::from)),
        ("reservation", limits.memory_reservation.map(Value::from)),
        ("swap", limits.memory_swap.map(Value::from)),
    ]);
    let mut resources = json!({ "cpu": processor, "memory": memory });
    if let (Some(limit), Value::Object(resources)) = (limits.pids_limit, &mut resources) {
        resources.insert("pids".to_owned(), json!({ "limit": limit }));
    }
    if let (Some(weight), Value::Object(resources)) = (limits.blkio_weight, &mut resources) {
        resources.insert("blockIO".to_owned(), json!({ "weight": weight }));
    }
    serde_json::from_value(resources).map_err(|error| invalid(&error))
}

fn invalid(error: &serde_json::Error) -> Failure {
    Failure::new(
        format_args!("the limits are not valid: {error}"),
        "see linux.resources of config.json",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_resources() {
        let limits = Limits {
            cpu_share: Some(512),
            cpu_rt_period: Some(1000),
            cpu_rt_runtime: Some(500),
            blkio_weight: Some(20),
            memory: Some(1 << 26),
            pids_limit: Some(-1),
            ..Limits::default()
        };
        let resources = of_flags(&limits).unwrap();
        assert_eq!(resources.cpu().as_ref().unwrap().shares(), Some(512));
        let processor = resources.cpu().as_ref().unwrap();
        assert_eq!(processor.realtime_period(), Some(1000));
        assert_eq!(processor.realtime_runtime(), Some(500));
        assert_eq!(resources.block_io().as_ref().unwrap().weight(), Some(20));
        assert_eq!(resources.memory().unwrap().limit(), Some(1 << 26));
        assert_eq!(resources.memory().unwrap().swap(), None);
        assert_eq!(resources.pids().unwrap().limit(), -1);
    }
}
