//! The stand-in itself. It is to be small: it parses no configuration and holds none.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, Command, ExitCode},
};

use guest_abi::control::ExitStatus;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
    process::setsid,
    thread::{CapabilitySet, set_no_new_privs},
};

use super::{Answer, Ended, Happened, Order, Role};
use crate::{
    channel::Channel,
    error::{Failure, Result},
    file_pages,
    gofer::spawn_unasked,
    inherit::{enter_network, inherit_only, take_controlling_terminal, take_inherited},
    jail::privileges,
    sandbox::service,
    signals::{self, Signals},
    terminal,
};

/// What the arguments say.
struct Arguments {
    role: Role,
    has_terminal: bool,
    controls: bool,
    channel: Channel,
    id: OsString,
}

/// The connection to the sandbox process, and what of the container is a child.
struct LifeLine {
    channel: Channel,
    child: Option<Part>,
}

/// A part of a container.
enum Part {
    Sandbox(Child),
    Gofer(Child),
}

/// Runs the stand-in: its arguments are its role, what terminal it has, the number of its channel's
/// descriptor and the container's id.
pub fn main() -> ExitCode {
    signals::reset();
    let Some(arguments) = parse(std::env::args_os().skip(2)) else {
        return ExitCode::FAILURE;
    };
    // A new session: what the caller's terminal does to its jobs is not meant for the container.
    let _ = setsid();
    if arguments.controls {
        // Without it the container still runs; it only does not see its terminal's size change.
        let _ = take_controlling_terminal();
    }
    let Ok(signals) = Signals::take_all() else {
        return ExitCode::FAILURE;
    };
    let Some(line) = connect(&arguments) else {
        return ExitCode::FAILURE;
    };
    if !arguments.has_terminal {
        let _ = release_streams();
    }
    give_up_privileges();
    // It waits from now on. Without /proc it is larger, and that is all.
    let _ = file_pages::release();
    let status = stand(&line, &signals);
    match line.child {
        Some(Part::Gofer(gofer)) => end_with(status, gofer),
        Some(Part::Sandbox(sandbox)) => end_as(status, Some(sandbox)),
        None => end_as(status, None),
    }
}

/// It starts nothing any more, and joins nothing. Without, it is as powerful as who started it.
fn give_up_privileges() {
    let _ = privileges::keep_only(CapabilitySet::empty());
    let _ = set_no_new_privs(true);
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Arguments> {
    let role = match arguments.next()?.to_str()? {
        "container" => Role::Container,
        "process" => Role::Process,
        _ => return None,
    };
    let terminal = arguments.next()?;
    let number = arguments.next()?.to_str()?.parse().ok()?;
    Some(Arguments {
        role,
        has_terminal: terminal != "none",
        controls: terminal == "controlling",
        channel: Channel::from(take_inherited(number)?),
        id: arguments.next()?,
    })
}

/// The life line: the channel itself, or for a container one to a sandbox process that is started
/// when the channel says so.
fn connect(arguments: &Arguments) -> Option<LifeLine> {
    let channel = &arguments.channel;
    if arguments.role == Role::Process {
        let channel = channel.as_fd().try_clone_to_owned().ok()?;
        return Some(LifeLine { channel: Channel::from(channel), child: None });
    }
    loop {
        let (order, descriptors) = channel.receive::<Order>().ok()?;
        let mut descriptors = descriptors.into_iter();
        let descriptor = descriptors.next();
        match order {
            Order::Network { join } => {
                let answer = network(join, descriptor);
                channel.send(&answer, &[]).ok()?;
            }
            Order::StartSandbox => {
                let started = start_sandbox(descriptor?, &arguments.id);
                let answer: Answer = started.as_ref().map(|_| ()).map_err(Clone::clone);
                channel.send(&answer, &[]).ok()?;
                return started.ok();
            }
            Order::JoinSandbox => {
                let started = start_gofer(descriptor?, descriptors.next()?);
                let answer: Answer = started.as_ref().map(|_| ()).map_err(Clone::clone);
                channel.send(&answer, &[]).ok()?;
                return started.ok();
            }
        }
    }
}

fn network(join: bool, namespace: Option<OwnedFd>) -> Answer {
    let entered = match (join, &namespace) {
        (true, None) => Err(io::Error::other("no descriptor")),
        (_, namespace) => enter_network(namespace.as_ref().map(AsFd::as_fd)),
    };
    entered.map_err(|error| {
        Failure::new(
            format_args!("cannot enter the container's network namespace: {error}"),
            "run it as root, or leave the network namespace out of config.json",
        )
    })
}

fn start_sandbox(channel: OwnedFd, id: &OsString) -> Result<LifeLine> {
    let failed = |error: io::Error| {
        Failure::new(
            format_args!("cannot start the sandbox process: {error}"),
            "check the limits on processes and open files (ulimit -a)",
        )
    };
    let (line, remote) = Channel::pair().map_err(|error| failed(error.into()))?;
    let remote = OwnedFd::from(remote);
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("sandbox-vmm")
        .arg(service::SUBCOMMAND)
        .args([channel.as_raw_fd().to_string(), remote.as_raw_fd().to_string()])
        .arg(id);
    let kept = [channel.as_fd(), remote.as_fd()];
    let sandbox = inherit_only(&mut command, &kept).spawn().map_err(failed)?;
    Ok(LifeLine { channel: line, child: Some(Part::Sandbox(sandbox)) })
}

fn start_gofer(remote: OwnedFd, life_line: OwnedFd) -> Result<LifeLine> {
    let gofer = spawn_unasked(remote).map_err(|error| {
        Failure::new(
            format_args!("cannot start the gofer: {error}"),
            "check the limits on processes and open files (ulimit -a)",
        )
    })?;
    Ok(LifeLine { channel: Channel::from(life_line), child: Some(Part::Gofer(gofer)) })
}

/// Lets go of the standard streams: who reads the container's output waits for all copies.
fn release_streams() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// Passes on what happens until the sandbox hangs up; answers what it said last.
fn stand(line: &LifeLine, signals: &Signals) -> Option<ExitStatus> {
    let mut status = None;
    loop {
        let mut polled =
            [PollFd::new(&line.channel, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        retry_on_intr(|| poll(&mut polled, None::<&Timespec>)).ok()?;
        while let Some(received) = signals.next() {
            if let Some(happened) = happened(received) {
                // A sandbox that does not listen any more is about to hang up.
                let _ = line.channel.try_send(&happened);
            }
        }
        match line.channel.try_receive::<Ended>() {
            Ok((Ended(last), _)) => status = Some(last),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return status,
        }
    }
}

/// What a signal means to the sandbox. Keys of a terminal reach the container as bytes, so signals
/// that the terminal itself makes are not for it; the sandbox sees for itself that it hung up.
fn happened(received: signals::Received) -> Option<Happened> {
    match received.number {
        libc::SIGWINCH => terminal::size().map(|(rows, columns)| Happened::Resized(rows, columns)),
        libc::SIGCHLD => None,
        _ if received.is_from_terminal => None,
        number => u8::try_from(number).ok().map(Happened::Signal),
    }
}

/// Ends as the container did, or as a killed one if nobody said; its files are written.
fn end_with(status: Option<ExitStatus>, mut gofer: Child) -> ExitCode {
    // Failure means that it has ended already.
    let _ = gofer.kill();
    let _ = gofer.wait();
    end_as(status, None)
}

/// Ends as the process did, or as the sandbox did if that did not say.
fn end_as(status: Option<ExitStatus>, sandbox: Option<Child>) -> ExitCode {
    let wait_status = sandbox.and_then(|mut sandbox| sandbox.wait().ok());
    let end = status.or_else(|| match wait_status?.signal() {
        Some(number) => u8::try_from(number).ok().map(ExitStatus::Signal),
        None => Some(ExitStatus::Code(crate::error::STATUS_SANDBOX_FAILED)),
    });
    match end {
        Some(ExitStatus::Code(code)) => ExitCode::from(code),
        Some(ExitStatus::Signal(number)) => {
            signals::die_of(number.into());
            ExitCode::from(ExitStatus::Signal(number).shell_code())
        }
        None => {
            signals::die_of(libc::SIGKILL);
            ExitCode::FAILURE
        }
    }
}
