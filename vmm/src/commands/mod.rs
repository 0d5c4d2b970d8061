//! The commands of an OCI runtime, one a module.

mod attached;
pub mod create;
pub mod debug;
pub mod delete;
pub mod events;
pub mod exec;
pub mod features;
pub mod install;
mod join;
pub mod kill;
pub mod list;
mod namespaces;
mod own_user;
pub mod pause;
pub mod ps;
mod ps_columns;
pub mod run;
pub mod start;
mod start_hooks;
pub mod state;
pub mod update;
pub mod wait;

use std::{io::Write, path::Path};

use crate::{
    control_socket::{Client, Reply, Request},
    error::{Failure, Result},
    logging::Log,
    sandbox::settings::{Network, Settings},
    state::{Container, Record, StateRoot},
};

/// What every command knows.
#[derive(Debug)]
pub struct Context {
    /// Where containers are remembered.
    pub root: StateRoot,
    /// The log.
    pub log: Log,
}

/// How a sandbox that a command makes is to be.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// Its size and platform.
    pub settings: Settings,
    /// Whether systemd makes control groups.
    pub systemd_cgroup: bool,
    /// Whether a container does without a control group that the host refuses.
    pub is_rootless: bool,
    /// Whether a flag says how many executors it has; else a limit of config.json does.
    pub has_executors: bool,
    /// What its network is.
    pub network: Network,
    /// The context.
    pub context: &'a Context,
}

impl Context {
    /// The container `id` and what is remembered of it.
    ///
    /// # Errors
    /// If there is none, or it is only half made.
    pub fn find(&self, id: &str) -> Result<(Container, Record)> {
        let container = self.root.find(id)?;
        let record = container.record()?.ok_or_else(|| {
            Failure::new(
                format_args!("container {id} is not made completely"),
                "wait for its creation, or delete it with --force",
            )
        })?;
        Ok((container, record))
    }
}

/// Asks the sandbox process of `container`; without `limit` the answer may take as long as it does.
///
/// # Errors
/// What the sandbox process answers, or that it is gone: engines match the words.
pub fn ask(
    container: &Container,
    request: &Request,
    limit: Option<std::time::Duration>,
) -> Result<Reply> {
    let ask = |client: Client| client.ask(request, &[], limit);
    match Client::connect(container.directory()).and_then(ask) {
        Ok(Reply::Failed(failure)) => Err(failure),
        Ok(reply) => Ok(reply),
        Err(rustix::io::Errno::TIMEDOUT) => Err(Failure::new(
            "the sandbox process does not answer",
            "kill the container, and please report it",
        )),
        Err(_) => Err(not_running()),
    }
}

/// The failure of a command that needs a running container.
pub fn not_running() -> Failure {
    Failure::new("container not running", "start it first")
}

/// The failure of a reply that does not belong to the request.
fn unexpected() -> Failure {
    Failure::new("the sandbox process is of another version", "create the container anew")
}

/// Prints to standard output.
///
/// # Errors
/// If that is closed.
pub fn print(text: &str) -> Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(error, "give the command a standard output to write to"))
}

/// Writes `pid` to the file at `path`, whole at once: engines wait for the file to appear.
///
/// # Errors
/// If it cannot be written.
pub fn write_pid_file(path: &Path, pid: u32) -> Result<()> {
    let failed = |error: std::io::Error| {
        Failure::new(
            format_args!("cannot write the pid file {}: {error}", path.display()),
            "name a file that you may write with --pid-file",
        )
    };
    let name = path.file_name().ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
    let temporary = path.with_file_name(format!(".{}", name.display()));
    std::fs::write(&temporary, pid.to_string()).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}
