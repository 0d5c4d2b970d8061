//! The control socket: how commands talk to the sandbox process of a running container.
//!
//! A SOCK_SEQPACKET socket in the container's state directory. A client connects, sends one
//! [`Request`], some with descriptors, and gets one [`Reply`]. Who makes a further container in the
//! sandbox asks for its devices first, one request after the other.

mod client;

pub use client::{Client, PROMPT, bind};

use std::collections::BTreeMap;

use guest_abi::{
    container::{ContainerSpec, Limits, ProcessSpec},
    control::{ExitStatus, ProcessEntry},
    device::DeviceDescriptor,
};
use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// Name of the socket in the container's state directory.
pub const SOCKET_NAME: &str = "control";

/// What a command asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "each exists for a moment, and there are few")]
pub enum Request {
    /// How far the container is.
    Phase,
    /// Start the container's program.
    Start,
    /// Send a signal to the first process, or to all.
    Signal {
        /// Linux signal number.
        number: u8,
        /// Whether every process gets it.
        all: bool,
    },
    /// Stop running user code.
    Pause,
    /// Go on.
    Resume,
    /// Keep a device for a tree of a container that this connection is going to make.
    ReserveDevice,
    /// Make a container in the sandbox, on the devices that were kept for it. Carries six
    /// descriptors: its standard streams, the life line of its stand-in, its listening control socket
    /// and the channel of its gofer. Answered when it is ready to start.
    CreateContainer(ContainerSpec),
    /// Start another process. Carries four descriptors: its standard streams and the life line of
    /// its stand-in.
    Execute(ProcessSpec),
    /// Change what the container may use, as far as it is given.
    Limit(Limits),
    /// List the processes.
    Processes,
    /// Answer when the container has ended.
    Wait,
    /// How often its vCPUs have left it.
    VmExits,
}

/// What the sandbox process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Request::Phase`].
    Phase(Phase),
    /// To [`Request::ReserveDevice`]; carries window, kick and call.
    Device {
        /// Its place in the device table.
        index: u16,
        /// What it is.
        descriptor: DeviceDescriptor,
    },
    /// It is done.
    Done,
    /// It cannot be done.
    Failed(Failure),
    /// To [`Request::Execute`].
    Executed {
        /// Process id in the container.
        pid: u32,
    },
    /// To [`Request::Processes`].
    Processes(Vec<ProcessEntry>),
    /// To [`Request::Wait`].
    Ended(ExitStatus),
    /// To [`Request::VmExits`]: counts by reason, if somebody counts.
    VmExits(Option<BTreeMap<String, u64>>),
}

/// How far a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It is being made.
    Creating,
    /// It waits for its start.
    Created,
    /// Its program runs.
    Running,
    /// It is paused.
    Paused,
    /// Its program has ended; what it wrote is still being delivered.
    Ending,
}
