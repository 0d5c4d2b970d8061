//! Why a container did not start.

use alloc::string::String;

use crate::errno::Errno;

/// What the host is told when the container cannot be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// What failed, one line.
    pub cause: String,
    /// Why.
    pub errno: Errno,
}

impl StartFailure {
    /// `cause` failed with `errno`.
    pub fn new(cause: impl Into<String>, errno: Errno) -> Self {
        Self { cause: cause.into(), errno }
    }
}
