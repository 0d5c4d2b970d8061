//! How a sandbox ends, as the event loop learns it.

use std::{cell::RefCell, fmt, rc::Rc};

use guest_abi::control::ExitStatus;

/// Why there is no sandbox any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The container's first process ended.
    Exited(ExitStatus),
    /// The container could not be started.
    StartFailed {
        /// What failed.
        cause: String,
        /// The Linux errno behind it.
        errno: u16,
    },
    /// A part of the sandbox failed or broke its protocol.
    Broken(String),
}

/// The place where subscribers of one event loop say that it shall end. The first word counts.
#[derive(Clone, Debug, Default)]
pub struct Ending(Rc<RefCell<Option<End>>>);

impl Ending {
    /// Says how it ends.
    pub fn set(&self, end: End) {
        self.0.borrow_mut().get_or_insert(end);
    }

    /// Says that `part` broke, and how.
    pub fn broken(&self, part: &str, error: impl fmt::Display) {
        self.set(End::Broken(format!("{part}: {error}")));
    }

    /// How it ends, if it does.
    pub fn get(&self) -> Option<End> {
        self.0.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_counts() {
        let ending = Ending::default();
        assert_eq!(ending.get(), None);
        ending.clone().set(End::Exited(ExitStatus::Code(3)));
        ending.broken("late", "too late");
        assert_eq!(ending.get(), Some(End::Exited(ExitStatus::Code(3))));
    }
}
