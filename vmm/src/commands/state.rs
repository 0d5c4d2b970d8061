//! `state`: what a container is, as JSON.

use serde_json::{Value, json};

use super::{Context, print};
use crate::{
    error::Result,
    state::{Record, Status, status},
};

/// The version of the OCI runtime specification that states are written in.
pub const OCI_VERSION: &str = "1.2.0";

/// The command.
///
/// # Errors
/// If there is no such container.
pub fn run(context: &Context, id: &str) -> Result<()> {
    let (container, record) = context.find(id)?;
    let state = state_json(&record, status(&container, &record));
    print(&format!("{state:#}\n"))
}

/// The state (OCI runtime specification, "State"), with the members that runc adds.
pub fn state_json(record: &Record, status: Status) -> Value {
    let pid = if status == Status::Stopped { 0 } else { record.stand_in.pid };
    json!({
        "ociVersion": OCI_VERSION,
        "id": record.id,
        "pid": pid,
        "status": status.to_string(),
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
        "annotations": record.annotations,
        "owner": record.owner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_container_has_no_pid() {
        let record = Record::example();
        let state = state_json(&record, Status::Running);
        assert_eq!(state["pid"], 7);
        assert_eq!(state["status"], "running");
        assert_eq!(state["annotations"]["a"], "b");
        assert_eq!(state_json(&record, Status::Stopped)["pid"], 0);
    }
}
