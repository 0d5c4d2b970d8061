//! The sandbox process of a container that commands control: it is started by the container's
//! stand-in, told what to run by the command that makes the container, and then serves the control
//! socket until the container ends.

use std::{
    ffi::CStr,
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::ExitCode,
    sync::Arc,
};

use guest_abi::{
    control::{ExitStatus, LogLevel},
    message,
};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    thread::set_name,
};
use serde::{Deserialize, Serialize};

use super::{
    HostStreams, Sandbox, cannot_start, exit_status,
    plan::LaunchPlan,
    settings::Settings,
    supervisor::{self, Connections},
};
use crate::{
    channel::Channel,
    devices::{End, Ending},
    error::{Failure, Result},
    gofer::die_with_parent,
    logging::{Log, LogFormat},
    stand_in::Ended,
};

/// What ps(1) calls the process.
const NAME: &CStr = c"sandbox";

/// What the sandbox process is to do; large, so it comes in a file.
#[derive(Debug, Serialize, Deserialize)]
struct Work {
    plan: LaunchPlan,
    settings: Settings,
    log_level: LogLevel,
    log_format: LogFormat,
}

/// The first message: descriptors of the work, the listening control socket and, if there is one,
/// the log.
#[derive(Debug, Serialize, Deserialize)]
struct Launch {
    has_log: bool,
}

/// The answer, when the container is ready to start.
type Created = Result<()>;

/// Tells the sandbox process at the other end of `channel`, which may not have started yet, to make the
/// container.
///
/// # Errors
/// If it cannot be told.
pub fn instruct(
    channel: &Channel,
    plan: LaunchPlan,
    settings: &Settings,
    log: &Log,
    listener: BorrowedFd<'_>,
) -> Result<()> {
    let work =
        Work { plan, settings: *settings, log_level: log.threshold(), log_format: log.format() };
    let work = write_work(&work).map_err(cannot_start)?;
    let log = log.file();
    let mut descriptors = vec![work.as_fd(), listener];
    descriptors.extend(log.as_ref().map(AsFd::as_fd));
    let launch = Launch { has_log: log.is_some() };
    channel.send(&launch, &descriptors).map_err(|error| cannot_start(error.into()))
}

/// Waits until the container is ready to start.
///
/// # Errors
/// Why there is none.
pub fn await_created(channel: &Channel) -> Result<()> {
    match channel.receive::<Created>() {
        Ok((created, _)) => created,
        Err(_) => Err(Failure::new(
            "the sandbox process ended while it made the container",
            "run it with --debug to see more, and please report it",
        )),
    }
}

fn write_work(work: &Work) -> io::Result<File> {
    let bytes = message::encode(work).map_err(|_| io::Error::other("a path is not UTF-8"))?;
    let mut file = File::from(memfd_create("sandbox-work", MemfdFlags::CLOEXEC)?);
    file.write_all(&bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Runs the sandbox process, a child of the stand-in with its standard streams, which are the
/// container's, and with every signal blocked: what is meant for the container comes through the
/// stand-in. `maker` and `life_line` lead to the command that makes the container and to the stand-in.
pub fn main(maker: &Channel, life_line: &Channel) -> ExitCode {
    die_with_parent();
    // Without it the process has its parent's name.
    let _ = set_name(NAME);
    match serve(maker, life_line) {
        Ok(status) => {
            // A stand-in that is gone needs no status.
            let _ = life_line.send(&Ended(status), &[]);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            // If the maker has gone, nobody wants to know.
            let _ = maker.send(&Created::Err(failure), &[]);
            ExitCode::FAILURE
        }
    }
}

/// Makes the container and serves it to its end.
fn serve(maker: &Channel, life_line: &Channel) -> Result<ExitStatus> {
    let (launch, descriptors) =
        maker.receive::<Launch>().map_err(|error| cannot_start(error.into()))?;
    let (work, listener, log) = unpack(&launch, descriptors)?;
    let log = Arc::new(Log::of_file(work.log_level, log, work.log_format));
    let streams = HostStreams::of_process().map_err(cannot_start)?;
    leave_streams().map_err(cannot_start)?;
    let ending = Ending::default();
    let sandbox = Sandbox::start(work.plan, &work.settings, &log, streams, &ending, true)?;
    let duplicate = |channel: &Channel| channel.as_fd().try_clone_to_owned().map(Channel::from);
    let connections = Connections {
        listener,
        maker: duplicate(maker).map_err(cannot_start)?,
        life_line: duplicate(life_line).map_err(cannot_start)?,
    };
    let Sandbox { mut parts, streams, later, watched } = sandbox;
    let machine = parts.executors.machine();
    parts.begin()?;
    let end = supervisor::run(connections, streams, later, watched, machine, &ending);
    parts.stop();
    match end? {
        End::Exited(status) => Ok(status),
        end => exit_status(end.clone())
            .map(ExitStatus::Code)
            .inspect_err(|failure| log.line(LogLevel::Error, failure)),
    }
}

fn unpack(launch: &Launch, descriptors: Vec<OwnedFd>) -> Result<(Work, OwnedFd, Option<File>)> {
    let missing = || cannot_start(io::Error::other("a descriptor is missing"));
    let mut descriptors = descriptors.into_iter();
    let mut file = File::from(descriptors.next().ok_or_else(missing)?);
    let listener = descriptors.next().ok_or_else(missing)?;
    let log = if launch.has_log { descriptors.next().map(File::from) } else { None };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(cannot_start)?;
    let work = message::decode(&bytes)
        .map_err(|_| cannot_start(io::Error::other("the plan is malformed")))?;
    Ok((work, listener, log))
}

/// The standard streams are the container's: nothing of ours goes there.
fn leave_streams() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
