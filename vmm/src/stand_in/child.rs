//! The stand-in itself. It is to be small: it parses no configuration and holds none.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    process::{Child, ExitCode},
};

use guest_abi::control::ExitStatus;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
    process::{Pid, WaitOptions, setsid, waitpid},
    thread::{CapabilitySet, set_no_new_privs},
};

use super::{Answer, Ended, Happened, Order, Role};
use crate::{
    channel::Channel,
    error::{Failure, Result},
    file_pages,
    fork::fork,
    gofer::spawn_unasked,
    inherit::{enter_network, take_controlling_terminal, take_inherited},
    jail::{
        namespaces::{self, Namespaces},
        only_tree, privileges,
    },
    sandbox::service,
    seccomp::Filter,
    signals::{self, Signals},
    terminal,
};

/// What the arguments say.
struct Arguments {
    role: Role,
    has_terminal: bool,
    controls: bool,
    channel: Channel,
}

/// What this process is, once it knows.
enum Connected {
    /// The stand-in.
    StandIn(LifeLine),
    /// The sandbox process, with channels to its maker and to its stand-in.
    Sandbox { maker: Channel, life_line: Channel },
}

/// The connection to the sandbox process, and what of the container is a child.
struct LifeLine {
    channel: Channel,
    child: Option<Part>,
    /// The container's root on the host.
    root: Option<OwnedFd>,
}

impl LifeLine {
    /// One whose stand-in has not been told of a root.
    const fn new(channel: Channel, child: Option<Part>) -> Self {
        Self { channel, child, root: None }
    }
}

/// A part of a container.
enum Part {
    Sandbox(Pid),
    Gofer(Child),
}

/// Runs the stand-in: its arguments are its role, what terminal it has, the number of its channel's
/// descriptor, and the container's id, which is for people to see.
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
    let mut line = match connect(&arguments) {
        Some(Connected::StandIn(line)) => line,
        Some(Connected::Sandbox { maker, life_line }) => {
            // They are the stand-in's.
            drop((arguments, signals));
            return service::main(&maker, &life_line);
        }
        None => return ExitCode::FAILURE,
    };
    if !arguments.has_terminal {
        let _ = release_streams();
    }
    // It waits from now on. Without /proc it is larger, and that is all.
    let _ = file_pages::release();
    if let Some(root) = line.root.take() {
        let _ = enter(root);
    }
    give_up_privileges();
    // A host without filters of system calls has none for the sandbox either.
    let _ = Filter::StandIn.install();
    let status = stand(&line, &signals);
    let sandbox = match line.child {
        Some(Part::Sandbox(sandbox)) => Some(sandbox),
        Some(Part::Gofer(gofer)) => {
            end_gofer(gofer);
            None
        }
        None => None,
    };
    end_as(status, sandbox)
}

/// Makes `root` all that it sees of the host's files. Without the privilege for that, nothing changes.
fn enter(root: OwnedFd) -> io::Result<()> {
    namespaces::leave(Namespaces::MOUNTS)?;
    Ok(only_tree::enter(root)?)
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
    })
}

/// The life line: the channel itself, or for a container one to a sandbox process that is started
/// when the channel says so.
fn connect(arguments: &Arguments) -> Option<Connected> {
    let channel = &arguments.channel;
    let mut root = None;
    if arguments.role == Role::Process {
        let channel = channel.as_fd().try_clone_to_owned().ok()?;
        return Some(Connected::StandIn(LifeLine::new(Channel::from(channel), None)));
    }
    loop {
        let (order, descriptors) = channel.receive::<Order>().ok()?;
        let mut descriptors = descriptors.into_iter();
        let descriptor = descriptors.next();
        match order {
            Order::Network { join } => {
                let answer = network(join, descriptor);
                channel.send(&answer, &[]).ok()?;
                if answer.is_err() {
                    // What was ordered next is not to be done in another network; it is read, or the
                    // answer would be lost with it (unix(7)).
                    while channel.receive::<Order>().is_ok() {}
                    return None;
                }
            }
            Order::Root => root = descriptor,
            Order::StartSandbox => {
                return started_as(start_sandbox(descriptor?), channel, root);
            }
            Order::JoinSandbox => {
                let started = start_gofer(descriptor?, descriptors.next()?);
                return started_as(started.map(Connected::StandIn), channel, root);
            }
        }
    }
}

/// Answers how the start went. In the sandbox process, that is its stand-in's to do.
fn started_as(
    started: Result<Connected>,
    channel: &Channel,
    root: Option<OwnedFd>,
) -> Option<Connected> {
    let started = match started {
        Ok(Connected::StandIn(line)) => Ok(LifeLine { root, ..line }),
        Ok(sandbox) => return Some(sandbox),
        Err(failure) => Err(failure),
    };
    let answer: Answer = started.as_ref().map(|_| ()).map_err(Clone::clone);
    channel.send(&answer, &[]).ok()?;
    started.ok().map(Connected::StandIn)
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

/// Makes the sandbox process, a copy of this one: to execute the program again would take it longer
/// than all else that it does before its jail closes. Answers in both.
fn start_sandbox(maker: OwnedFd) -> Result<Connected> {
    let failed = |error: io::Error| {
        Failure::new(
            format_args!("cannot start the sandbox process: {error}"),
            "check the limits on processes and open files (ulimit -a)",
        )
    };
    let (line, remote) = Channel::pair().map_err(|error| failed(error.into()))?;
    Ok(match fork().map_err(failed)? {
        Some(sandbox) => Connected::StandIn(LifeLine::new(line, Some(Part::Sandbox(sandbox)))),
        None => Connected::Sandbox { maker: Channel::from(maker), life_line: remote },
    })
}

fn start_gofer(remote: OwnedFd, life_line: OwnedFd) -> Result<LifeLine> {
    let gofer = spawn_unasked(remote).map_err(|error| {
        Failure::new(
            format_args!("cannot start the gofer: {error}"),
            "check the limits on processes and open files (ulimit -a)",
        )
    })?;
    Ok(LifeLine::new(Channel::from(life_line), Some(Part::Gofer(gofer))))
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

/// Ends the gofer: the container's files are written.
fn end_gofer(mut gofer: Child) {
    // Failure means that it has ended already.
    let _ = gofer.kill();
    let _ = gofer.wait();
}

/// Ends as the process did, or as the sandbox did if that did not say.
fn end_as(status: Option<ExitStatus>, sandbox: Option<Pid>) -> ExitCode {
    let waited = sandbox
        .and_then(|pid| retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty())).ok().flatten());
    let end = status.or_else(|| match waited?.1.terminating_signal() {
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
