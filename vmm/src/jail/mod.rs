//! The jail of the sandbox process. See README.md.

mod empty_root;
pub mod heap;
pub mod landlock;
pub mod namespaces;
mod nobody;
pub mod only_tree;
pub mod privileges;

use rustix::{
    process::{
        DumpableBehavior, Resource, Rlimit, parent_process_death_signal, set_dumpable_behavior,
        set_parent_process_death_signal, setrlimit,
    },
    thread::{CapabilitySet, set_no_new_privs},
};

use crate::{file_pages, logging::Log};
use guest_abi::control::LogLevel;
use namespaces::Namespaces;

/// Closes the jail around this process, which must have one thread still. What it needs of the host
/// is open already. What cannot be given up is told to `log`.
pub fn enter(log: &Log) {
    let told = |what: &str, result: std::io::Result<()>| {
        if let Err(error) = result {
            log.line(LogLevel::Information, format_args!("jail: {what}: {error}"));
        }
    };
    heap::fix_number();
    heap::trim();
    told("pages of the program", file_pages::release());
    let death_signal = parent_process_death_signal();
    told("limits", limit_resources());
    told("user", nobody::become_nobody());
    match namespaces::leave(Namespaces::ALL) {
        Ok(()) => told("root directory", empty_root::enter()),
        Err(error) => log.line(
            LogLevel::Information,
            format_args!("jail: the host allows no namespaces: {error}"),
        ),
    }
    told("capabilities", privileges::keep_only(CapabilitySet::empty()).map_err(Into::into));
    told("new privileges", set_no_new_privs(true).map_err(Into::into));
    told("Landlock", landlock::deny_all());
    let undumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    told("dumpable", undumpable.map_err(Into::into));
    // A change of user forgets it (prctl(2)). A parent that died meanwhile hung up its channel.
    let kept = death_signal.and_then(set_parent_process_death_signal);
    told("death signal", kept.map_err(Into::into));
}

/// No core files: they would hold the container's memory. Stubs are processes of one user on the
/// host, `nobody`, and the control group is what limits them.
fn limit_resources() -> std::io::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)?;
    let all = Rlimit { current: None, maximum: None };
    // Without privileges the caller's limit stays.
    let _ = setrlimit(Resource::Nproc, all);
    Ok(())
}
