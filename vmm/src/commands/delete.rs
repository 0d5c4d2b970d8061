//! `delete`: forgets a container.

use super::{Context, state::state_json};
use crate::{
    cgroups::Cgroup,
    error::{Failure, Result},
    hooks,
    state::{Container, Record, Status, status},
};

/// The command. With `force`, a container that still is there is killed, and one that is unknown is
/// deleted already.
///
/// # Errors
/// If there is no such container, or it has not stopped.
pub fn run(context: &Context, id: &str, force: bool) -> Result<()> {
    context.root.sweep(id);
    let container = if force {
        match context.root.try_find(id)? {
            Some(container) => container,
            None => return Ok(()),
        }
    } else {
        context.root.find(id)?
    };
    container.lock()?;
    let Some(record) = container.record()? else {
        // Its maker was killed before it had made anything.
        return container.remove();
    };
    match status(&container, &record) {
        Status::Stopped => {}
        // It has no program yet that could miss the chance to clean up.
        Status::Created => kill(&record)?,
        _ if force => kill(&record)?,
        status => {
            return Err(Failure::new(
                format_args!("cannot delete container {id} that is not stopped: {status}"),
                "stop it first, or use --force",
            ));
        }
    }
    forget(context, container, &record)
}

fn kill(record: &Record) -> Result<()> {
    record
        .stand_in
        .kill()
        .map_err(|error| Failure::new(error, "kill the container's process by its pid"))
}

/// Forgets a container that has ended, and runs its last hooks.
///
/// # Errors
/// If its state cannot be removed.
pub fn forget(context: &Context, container: Container, record: &Record) -> Result<()> {
    if let Some(Err(failure)) = record.cgroup.as_ref().map(Cgroup::remove) {
        // Somebody else may have put a process there.
        context.log.warning(failure);
    }
    container.remove()?;
    let poststop = record.hooks.as_ref().and_then(|hooks| hooks.poststop().as_ref());
    let state = state_json(record, Status::Stopped).to_string();
    for failure in hooks::run_all("poststop", poststop, &state) {
        // The specification has its failure logged and the deletion go on.
        context.log.warning(failure);
    }
    Ok(())
}
