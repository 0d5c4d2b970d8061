//! From root to nobody.

use std::io;

use rustix::{
    process::geteuid,
    thread::{
        CapabilitySets, capabilities, set_capabilities, set_keep_capabilities, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

/// The kernel's overflow id (user_namespaces(7)): it owns no file on any host.
const NOBODY: u32 = 65534;

/// Gives root's ids up, but keeps the capabilities for the steps that follow. Any other user keeps
/// its id.
pub fn become_nobody() -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let before = capabilities(None)?;
    // Without it the change of user would drop the permitted set (capabilities(7)).
    set_keep_capabilities(true)?;
    let (user, group) =
        (rustix::process::Uid::from_raw(NOBODY), rustix::process::Gid::from_raw(NOBODY));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    let kept = CapabilitySets { effective: before.permitted, ..before };
    Ok(set_capabilities(None, kept)?)
}
