//! `debug`: looks into a running sandbox.

use super::{Context, ask, print, unexpected};
use crate::{
    control_socket::{Reply, Request},
    error::{Failure, Result},
};

/// `debug --exits`: how often the vCPUs of a container have left its sentry, by reason.
///
/// # Errors
/// If there is no such container, it does not run, or it has no vCPUs whose exits are counted.
pub fn exits(context: &Context, id: &str) -> Result<()> {
    let (container, _) = context.find(id)?;
    let limit = Some(std::time::Duration::from_secs(10));
    match ask(&container, &Request::VmExits, limit)? {
        Reply::VmExits(Some(counts)) => {
            counts.iter().try_for_each(|(reason, count)| print(&format!("{reason:<32}{count}\n")))
        }
        Reply::VmExits(None) => Err(Failure::new(
            "no exits are counted: the container is not on the kvm platform, or this host's kernel does not count them",
            "run it with --platform=kvm on Linux 5.14 or newer",
        )),
        _ => Err(unexpected()),
    }
}
