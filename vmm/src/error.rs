//! What a command answers when it cannot do its work: one line with cause and remedy.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Exit status when the sandbox itself failed.
pub const STATUS_SANDBOX_FAILED: u8 = 125;
/// Exit status when the program was found but could not be executed.
pub const STATUS_NOT_EXECUTABLE: u8 = 126;
/// Exit status when the program was not found.
pub const STATUS_NOT_FOUND: u8 = 127;

/// A failure as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    cause: String,
    remedy: String,
    status: u8,
}

/// Result of an operation that fails with a [`Failure`].
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The sandbox could not do what was asked because of `cause`; `remedy` says what helps.
    pub fn new(cause: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self { cause: one_line(&cause), remedy: one_line(&remedy), status: STATUS_SANDBOX_FAILED }
    }

    /// The same failure with another exit status.
    #[must_use]
    pub fn with_status(self, status: u8) -> Self {
        Self { status, ..self }
    }

    /// The exit status of the command.
    pub const fn status(&self) -> u8 {
        self.status
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; {}", self.cause, self.remedy)
    }
}

impl std::error::Error for Failure {}

/// `text` on one line and without terminal control characters: it may quote hostile input.
fn one_line(text: &impl fmt::Display) -> String {
    text.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_line_whatever_it_quotes() {
        let failure = Failure::new("bad name 'a\nb\x1b[2J'", "choose another");
        assert_eq!(failure.to_string(), "bad name 'a b [2J'; choose another");
        assert_eq!(failure.status(), STATUS_SANDBOX_FAILED);
        assert_eq!(failure.with_status(127).status(), 127);
    }
}
