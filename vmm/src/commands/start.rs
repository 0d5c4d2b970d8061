//! `start`: runs the program of a created container.

use super::{Context, ask, start_hooks, state::state_json};
use crate::{
    control_socket::Request,
    error::{Failure, Result},
    hooks,
    state::{Container, Record, Status},
};

/// The command.
///
/// # Errors
/// If there is no such container, or it is not in the state to be started.
pub fn run(context: &Context, id: &str) -> Result<()> {
    let (container, record) = context.find(id)?;
    container.lock()?;
    start(context, &container, &record)
}

/// Starts `container`, which is locked.
///
/// # Errors
/// As [`run`].
pub fn start(context: &Context, container: &Container, record: &Record) -> Result<()> {
    if record.has_stopped() {
        return Err(Failure::new(
            "cannot start a container that has stopped",
            "delete it and create another one",
        ));
    }
    start_hooks::run(container, record).inspect_err(|_| {
        // Without them it must not run. If it cannot be ended, the failure says why it should be.
        let _ = record.stand_in.kill();
    })?;
    ask(container, &Request::Start, None)?;
    let after = record.hooks.as_ref().and_then(|hooks| hooks.poststart().as_ref());
    let state = state_json(record, Status::Running).to_string();
    for failure in hooks::run_all("poststart", after, &state) {
        // The specification has its failure logged and the container go on.
        context.log.warning(failure);
    }
    Ok(())
}
