//! Launch of a sandbox: a [`plan`] becomes memory, devices, a gofer process and executors.

mod event_loop;
pub mod plan;
pub mod settings;
mod watch;

use crate::{
    error::{Failure, Result},
    logging::Log,
};
use plan::LaunchPlan;
use settings::Settings;

/// Runs `plan` to its end and returns the status to exit with.
///
/// # Errors
/// If the sandbox cannot be started.
pub fn run(_plan: LaunchPlan, _settings: &Settings, _log: Log) -> Result<u8> {
    Err(Failure::new("the sentry is not linked yet", "wait for the next version"))
}
