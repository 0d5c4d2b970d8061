//! The side of the command that makes a stand-in.

use std::{
    cell::Cell,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
};

use super::{Answer, Order, SUBCOMMAND};
use crate::{
    channel::Channel,
    error::{Failure, Result},
    inherit::inherit_only,
};

/// What a stand-in stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A container: it starts the sandbox process.
    Container,
    /// A further process in a container, whose sandbox has the other end of the channel.
    Process,
}

impl Role {
    /// The role as an argument.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Process => "process",
        }
    }
}

/// A stand-in that was just started. Dropping this leaves it alone.
#[derive(Debug)]
pub struct StandIn {
    child: Child,
    channel: Channel,
    /// Orders that it has not answered.
    unanswered: Cell<u32>,
}

/// Standard streams of a stand-in, and whether the first is a terminal to control it.
#[derive(Debug)]
pub struct Streams {
    /// Input, output and error.
    pub descriptors: [OwnedFd; 3],
    /// The input is a terminal: its size matters.
    pub has_terminal: bool,
    /// It becomes the stand-in's controlling terminal.
    pub controls: bool,
}

/// Starts a stand-in for the container `id`. A container's passes `streams` on to the sandbox.
///
/// # Errors
/// If the process cannot be started.
pub fn spawn(role: Role, id: &str, streams: Streams) -> Result<StandIn> {
    let (channel, remote) = Channel::pair().map_err(cannot_start)?;
    let remote = OwnedFd::from(remote);
    let terminal = match (streams.has_terminal, streams.controls) {
        (false, _) => "none",
        (true, false) => "seen",
        (true, true) => "controlling",
    };
    let [input, output, error] = streams.descriptors;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("sandbox-vmm")
        .args([SUBCOMMAND, role.name(), terminal, &remote.as_raw_fd().to_string(), id])
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(error))
        .current_dir("/");
    let child = inherit_only(&mut command, &[remote.as_fd()]).spawn().map_err(cannot_start)?;
    Ok(StandIn { child, channel, unanswered: Cell::new(0) })
}

impl StandIn {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process itself, for who waits for it.
    pub fn into_child(self) -> Child {
        self.child
    }

    /// Its channel.
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Ends it at once, with the sandbox if there is one.
    pub fn kill(mut self) {
        // Failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Tells it to do something. It starts with that when it has started itself, and ends if it fails.
    ///
    /// # Errors
    /// Those of [`Self::answers`], if it has ended.
    pub fn order(&self, order: &Order, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        if let Err(error) = self.channel.send(order, descriptors) {
            // An earlier order failed, or it was killed.
            return self.answers().and(Err(cannot_start(error)));
        }
        self.unanswered.update(|count| count + 1);
        Ok(())
    }

    /// Waits until all orders are done.
    ///
    /// # Errors
    /// Why the first that failed did, or that it has ended.
    pub fn answers(&self) -> Result<()> {
        for _ in 0..self.unanswered.take() {
            self.channel.receive::<Answer>().map_err(cannot_start)?.0?;
        }
        Ok(())
    }
}

fn cannot_start(error: impl Into<io::Error>) -> Failure {
    Failure::new(
        format_args!("cannot start the container's process: {}", error.into()),
        "check the limits on processes and open files (ulimit -a)",
    )
}
