//! `exec`: another process in a running container.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use guest_abi::container::ProcessSpec;

use super::{Context, attached::stand_for, not_running, run::wait, unexpected, write_pid_file};
use crate::{
    bundle::{self, Bundle, BundleOptions},
    channel::Channel,
    console_socket::offer_terminal,
    control_socket::{Client, Reply, Request},
    devices::host_stream::own_descriptions,
    error::{Failure, Result},
    signals::Signals,
    stand_in::{self, Role, Streams},
    state::{Container, Record},
    terminal,
};

/// What to execute, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The container.
    pub id: String,
    /// The process.
    pub process: Source,
    /// Where its terminal's master end goes.
    pub console_socket: Option<PathBuf>,
    /// Where the pid of its stand-in goes.
    pub pid_file: Option<PathBuf>,
    /// Return when it runs.
    pub detach: bool,
}

/// Where the description of a process comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file like `process` of config.json.
    File(PathBuf),
    /// The container's own process with these changes.
    Changes(Changes),
}

/// What flags change.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// It gets a terminal.
    pub terminal: bool,
    /// Working directory.
    pub working_directory: Option<String>,
    /// Variables to set.
    pub environment: Vec<String>,
    /// User and group.
    pub user: Option<(u32, u32)>,
    /// More capabilities, as a mask.
    pub capabilities: u64,
    /// More groups.
    pub additional_gids: Vec<u32>,
    /// no_new_privs(2).
    pub no_new_privileges: bool,
}

/// The command; without `detach`, the process's status as a shell would show it.
///
/// # Errors
/// If there is no such container, it does not run, or the process cannot be started.
pub fn run(context: &Context, options: &Options) -> Result<u8> {
    // Before there is a child that could inherit what a signal does to this process.
    let signals = Signals::take_over().map_err(failed)?;
    let (container, record) = context.find(&options.id)?;
    if record.has_stopped() {
        return Err(Failure::new("cannot exec in a stopped container", "start another one"));
    }
    let mut process = read_process(&options.process, &record)?;
    let own_terminal = process.terminal && options.console_socket.is_none();
    if own_terminal {
        check_own_terminal(options)?;
        process.terminal_size = process.terminal_size.or_else(terminal::size);
    }
    let streams = streams(&process, options)?;
    if !options.detach && options.console_socket.is_none() {
        return run_attached(options, &container, process, &streams, &signals);
    }
    let controls = process.terminal && !own_terminal;
    let own_streams = streams_of_stand_in(&process, &streams, controls)?;
    let stand_in = stand_in::spawn(Role::Process, &options.id, own_streams)?;
    if let Some(cgroup) = &record.cgroup
        && let Err(failure) = cgroup.add(stand_in.id())
    {
        // It is small, and what it stands for is counted in any case.
        context.log.warning(failure);
    }
    let life_line = stand_in.channel().as_fd();
    let started = start(&container, process, &streams, life_line)
        .and_then(|()| tell_pid(options, stand_in.id()));
    // Who reads the other ends waits for all copies.
    drop(streams);
    match started {
        Err(failure) => {
            stand_in.kill();
            Err(failure)
        }
        Ok(()) if options.detach => Ok(0),
        Ok(()) => wait(stand_in.into_child(), &signals, own_terminal),
    }
}

/// Runs the process on the command's own streams. No stand-in is needed: the caller waits for the
/// command.
fn run_attached(
    options: &Options,
    container: &Container,
    process: ProcessSpec,
    streams: &[OwnedFd; 3],
    signals: &Signals,
) -> Result<u8> {
    let has_terminal = process.terminal;
    let (line, remote) = Channel::pair().map_err(|error| failed(error.into()))?;
    start(container, process, streams, remote.as_fd())?;
    // A sandbox that is gone shows as a hang-up.
    drop(remote);
    tell_pid(options, std::process::id())?;
    let status = stand_for(&line, signals, has_terminal).map_err(failed)?;
    Ok(status.shell_code())
}

fn tell_pid(options: &Options, pid: u32) -> Result<()> {
    options.pid_file.as_ref().map_or(Ok(()), |path| write_pid_file(path, pid))
}

fn read_process(source: &Source, record: &Record) -> Result<ProcessSpec> {
    match source {
        Source::File(path) => {
            let failed = |error: &dyn std::fmt::Display| {
                Failure::new(
                    format_args!("cannot use the process file {}: {error}", path.display()),
                    "name a JSON file like `process` of config.json with --process",
                )
            };
            let text = fs::read(path).map_err(|error| failed(&error))?;
            let process: bundle::Process =
                serde_json::from_slice(&text).map_err(|error| failed(&error))?;
            bundle::process(Some(&process))
        }
        Source::Changes(changes) => {
            let bundle = Bundle::load(&record.bundle)?;
            let plan = bundle.plan(record.id.clone(), BundleOptions::default())?;
            Ok(apply(changes.clone(), plan.container.process))
        }
    }
}

/// `process` as the flags say.
fn apply(changes: Changes, mut process: ProcessSpec) -> ProcessSpec {
    process.arguments = changes.arguments;
    process.terminal = changes.terminal;
    process.terminal_size = None;
    if let Some(directory) = changes.working_directory {
        process.working_directory = directory;
    }
    process.environment.extend(changes.environment);
    if let Some((uid, gid)) = changes.user {
        (process.uid, process.gid) = (uid, gid);
    }
    let sets = &mut process.capabilities;
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        *set |= changes.capabilities;
    }
    process.additional_gids.extend(changes.additional_gids);
    process.no_new_privileges |= changes.no_new_privileges;
    process
}

fn check_own_terminal(options: &Options) -> Result<()> {
    if !options.detach && terminal::is_interactive() {
        return Ok(());
    }
    Err(Failure::new(
        "cannot allocate tty if it will detach without setting console socket",
        "run it from a terminal without --detach, or leave out --tty",
    ))
}

/// The process's standard streams.
fn streams(process: &ProcessSpec, options: &Options) -> Result<[OwnedFd; 3]> {
    match &options.console_socket {
        Some(_) if !process.terminal => Err(Failure::new(
            "cannot use console socket if the process has no terminal",
            "add --tty or set terminal in the process file",
        )),
        Some(socket) => {
            let terminal = offer_terminal(socket, process.terminal_size)?;
            let copy = || terminal.try_clone().map_err(failed);
            Ok([copy()?, copy()?, copy()?])
        }
        None => own_streams().map_err(failed),
    }
}

fn own_streams() -> io::Result<[OwnedFd; 3]> {
    Ok([
        io::stdin().as_fd().try_clone_to_owned()?,
        io::stdout().as_fd().try_clone_to_owned()?,
        io::stderr().as_fd().try_clone_to_owned()?,
    ])
}

/// The stand-in sees its terminal, whose size matters, and nothing else.
fn streams_of_stand_in(
    process: &ProcessSpec,
    streams: &[OwnedFd; 3],
    controls: bool,
) -> Result<Streams> {
    let null = || -> io::Result<OwnedFd> {
        Ok(File::options().read(true).write(true).open(Path::new("/dev/null"))?.into())
    };
    let [input, ..] = streams;
    let input = if process.terminal { input.try_clone() } else { null() };
    let descriptors = [input.map_err(failed)?, null().map_err(failed)?, null().map_err(failed)?];
    Ok(Streams { descriptors, has_terminal: process.terminal, controls })
}

/// Has the sandbox process start it, with these streams and the remote end of its life line.
///
/// # Errors
/// If it cannot be started, or the container is gone.
pub(super) fn start(
    container: &Container,
    process: ProcessSpec,
    streams: &[OwnedFd; 3],
    life_line: BorrowedFd<'_>,
) -> Result<()> {
    // The sandbox process could not open anything a second time: it is in its jail.
    let [input, output, error] = own_descriptions(streams).map_err(failed)?;
    let descriptors = [input.as_fd(), output.as_fd(), error.as_fd(), life_line];
    let request = Request::Execute(process);
    let ask = |client: Client| client.ask(&request, &descriptors, None);
    match Client::connect(container.directory()).and_then(ask) {
        Ok(Reply::Executed { .. }) => Ok(()),
        Ok(Reply::Failed(failure)) => Err(failure),
        Ok(_) => Err(unexpected()),
        Err(rustix::io::Errno::MSGSIZE) => Err(Failure::new(
            "arguments and environment are longer than 64 KiB",
            "pass them in a file",
        )),
        Err(_) => Err(not_running()),
    }
}

fn failed(error: io::Error) -> Failure {
    Failure::new(
        format_args!("cannot execute a process in the container: {error}"),
        "check the limit of open files (ulimit -n)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_change_the_containers_own_process() {
        let own = ProcessSpec {
            arguments: vec!["init".to_owned()],
            environment: vec!["A=1".to_owned()],
            working_directory: "/w".to_owned(),
            uid: 5,
            ..ProcessSpec::default()
        };
        let changes = Changes {
            arguments: vec!["ls".to_owned()],
            environment: vec!["B=2".to_owned()],
            user: Some((0, 7)),
            capabilities: 1 << 21,
            ..Changes::default()
        };
        let process = apply(changes, own);
        assert_eq!(process.arguments, ["ls"]);
        assert_eq!(process.environment, ["A=1", "B=2"]);
        assert_eq!((process.uid, process.gid), (0, 7));
        assert_eq!(process.working_directory, "/w");
        assert_eq!(process.capabilities.effective, 1 << 21);
    }
}
