//! `pause` and `resume`.

use super::{Context, ask};
use crate::{
    control_socket::{PROMPT, Request},
    error::Result,
};

/// Stops the container's programs until [`resume`].
///
/// # Errors
/// If there is no such container, or it does not run.
pub fn pause(context: &Context, id: &str) -> Result<()> {
    let (container, _) = context.find(id)?;
    ask(&container, &Request::Pause, Some(PROMPT)).map(|_| ())
}

/// Lets them go on.
///
/// # Errors
/// If there is no such container, or it is not paused.
pub fn resume(context: &Context, id: &str) -> Result<()> {
    let (container, _) = context.find(id)?;
    ask(&container, &Request::Resume, Some(PROMPT)).map(|_| ())
}
