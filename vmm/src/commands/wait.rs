//! `wait`: waits for the end of a container.

use super::{Context, ask, unexpected};
use crate::{
    control_socket::{Reply, Request},
    error::Result,
};

/// The command; the container's status as a shell would show it.
///
/// # Errors
/// If there is no such container, or it has ended already.
pub fn run(context: &Context, id: &str) -> Result<u8> {
    let (container, record) = context.find(id)?;
    match ask(&container, &Request::Wait, None)? {
        Reply::Ended(status) => {
            // The sandbox process says so a moment before it ends itself.
            let _ = record.stand_in.await_end();
            Ok(status.shell_code())
        }
        _ => Err(unexpected()),
    }
}
