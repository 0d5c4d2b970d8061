//! `run`: the container of a bundle, in the foreground.

use super::arguments::RunFlags;
use crate::{
    bundle::{Bundle, BundleOptions},
    error::{Failure, Result},
    logging::Log,
    sandbox::plan::LaunchPlan,
    terminal,
};

/// Longest container id in bytes.
const MAX_ID_BYTES: usize = 1024;

/// The plan of a `run` command.
///
/// # Errors
/// If the bundle or the id is not valid, or a terminal is asked for where there is none.
pub fn plan(flags: RunFlags, log: &Log) -> Result<LaunchPlan> {
    let id = flags.id.unwrap_or_else(|| format!("run-{}", std::process::id()));
    check_id(&id)?;
    let bundle = Bundle::load(&flags.bundle)?;
    let mut plan = bundle.plan(id, BundleOptions { overlay: flags.overlay })?;
    for section in bundle.ignored() {
        log.information(format_args!("config.json: {section} has no effect"));
    }
    let process = &mut plan.container.process;
    if process.terminal {
        if !terminal::is_interactive() {
            return Err(Failure::new(
                "config.json: process.terminal is true but there is no terminal",
                "run it from one, or set process.terminal to false",
            ));
        }
        process.terminal_size = process.terminal_size.or_else(terminal::size);
    }
    Ok(plan)
}

/// Checks that `id` is a name that other tools and file systems take too, as runc does.
fn check_id(id: &str) -> Result<()> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    let is_special = matches!(id, "" | "." | "..");
    if id.len() <= MAX_ID_BYTES && id.chars().all(is_allowed) && !is_special {
        return Ok(());
    }
    Err(Failure::new(
        format_args!("'{id}' cannot be a container's id"),
        "use letters, digits and _ + - . only",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_names() {
        for id in ["a", "run-1", "A_b+c.d"] {
            assert!(check_id(id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", "a/b", "a b", "é", &"x".repeat(1025)] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }
}
