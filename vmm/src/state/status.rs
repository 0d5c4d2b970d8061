//! How a container is: what its record, its stand-in and its sandbox process say together.

use std::fmt;

use super::{Container, Record};
use crate::control_socket::{Client, PROMPT, Phase, Reply, Request};

/// The status of a container (OCI runtime specification, "State"; paused is common besides).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being made.
    Creating,
    /// It waits for its start.
    Created,
    /// Its program runs.
    Running,
    /// It is paused.
    Paused,
    /// Its program has ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

impl From<Phase> for Status {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Creating => Self::Creating,
            Phase::Created => Self::Created,
            // Its processes have ended, but it has not until its output is delivered.
            Phase::Running | Phase::Ending => Self::Running,
            Phase::Paused => Self::Paused,
        }
    }
}

/// The status of `container`. A sandbox process that does not answer runs: nothing else is known.
pub fn status(container: &Container, record: &Record) -> Status {
    if record.has_stopped() {
        return Status::Stopped;
    }
    let ask = |client: Client| client.ask(&Request::Phase, &[], Some(PROMPT));
    match Client::connect(container.directory()).and_then(ask) {
        Ok(Reply::Phase(phase)) => phase.into(),
        _ if record.has_stopped() => Status::Stopped,
        _ if record.is_created => Status::Running,
        _ => Status::Creating,
    }
}
