//! `events`: what a container uses, as JSON lines.

use std::{thread, time::Duration};

use serde_json::json;

use super::{Context, not_running, print};
use crate::{
    error::{Failure, Result},
    state::{Status, status},
};

/// The command: once, or every `interval` until the container ends.
///
/// # Errors
/// If there is no such container, or it has no control group.
pub fn run(context: &Context, id: &str, once: bool, interval: Duration) -> Result<()> {
    let (container, record) = context.find(id)?;
    let cgroup = record.cgroup.as_ref().ok_or_else(|| {
        Failure::new("the container has no control group", "set linux.cgroupsPath in config.json")
    })?;
    if status(&container, &record) == Status::Stopped {
        return Err(not_running());
    }
    loop {
        let statistics = cgroup.statistics()?;
        let event = json!({ "type": "stats", "id": id, "data": statistics });
        print(&format!("{event}\n"))?;
        if once {
            return Ok(());
        }
        thread::sleep(interval);
        if status(&container, &record) == Status::Stopped {
            return Ok(());
        }
    }
}
