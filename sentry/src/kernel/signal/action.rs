//! What a process does with each signal (sigaction(2)).
#![allow(missing_docs, reason = "flags keep the names of their man pages")]

use bitflags::bitflags;

use super::{DefaultAction, Signal, SignalSet};

bitflags! {
    /// Flags of sigaction(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the names are those of sigaction(2)")]
    pub struct ActionFlags: u64 {
        const NO_CHILD_STOP = 0x1;
        const NO_CHILD_WAIT = 0x2;
        const SIGINFO = 0x4;
        const RESTORER = 0x0400_0000;
        const ON_STACK = 0x0800_0000;
        const RESTART = 0x1000_0000;
        const NO_DEFER = 0x4000_0000;
        const RESET_HANDLER = 0x8000_0000;
    }
}

/// Who handles a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handler {
    /// SIG_DFL.
    #[default]
    Default,
    /// SIG_IGN.
    Ignore,
    /// The function at this user address.
    Function(u64),
}

impl Handler {
    /// From the value in `struct sigaction`.
    pub const fn from_user(value: u64) -> Self {
        match value {
            0 => Self::Default,
            1 => Self::Ignore,
            address => Self::Function(address),
        }
    }

    /// The value in `struct sigaction`.
    pub const fn to_user(self) -> u64 {
        match self {
            Self::Default => 0,
            Self::Ignore => 1,
            Self::Function(address) => address,
        }
    }
}

/// The action for one signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalAction {
    /// Who handles it.
    pub handler: Handler,
    /// Flags.
    pub flags: ActionFlags,
    /// Where the handler returns to (SA_RESTORER).
    pub restorer: u64,
    /// Signals blocked while the handler runs.
    pub mask: SignalSet,
}

/// What is to be done with a signal now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing.
    Ignore,
    /// The default, which is not to ignore it.
    Default(DefaultAction),
    /// The handler runs.
    Handle(SignalAction),
}

/// The actions of a process, or of several after clone(2) with CLONE_SIGHAND.
#[derive(Clone, Debug)]
pub struct SignalActions([SignalAction; Signal::MAX as usize]);

impl Default for SignalActions {
    fn default() -> Self {
        Self([SignalAction::default(); Signal::MAX as usize])
    }
}

impl SignalActions {
    /// The action for `signal`.
    pub const fn get(&self, signal: Signal) -> &SignalAction {
        &self.0[signal.index()]
    }

    /// Replaces the action for `signal`.
    pub const fn set(&mut self, signal: Signal, action: SignalAction) {
        self.0[signal.index()] = action;
    }

    /// What is to be done with `signal`.
    pub fn disposition(&self, signal: Signal) -> Disposition {
        let action = self.get(signal);
        match (action.handler, signal.default_action()) {
            (Handler::Ignore, _) | (Handler::Default, DefaultAction::Ignore) => Disposition::Ignore,
            (Handler::Default, default) => Disposition::Default(default),
            (Handler::Function(_), _) => Disposition::Handle(*action),
        }
    }

    /// The signals that are ignored, explicitly or by default.
    pub fn ignores(&self, signal: Signal) -> bool {
        self.disposition(signal) == Disposition::Ignore
    }

    /// Handled signals go back to the default, ignored ones stay ignored (execve(2)).
    pub fn reset_for_exec(&mut self) {
        for action in &mut self.0 {
            let ignored = action.handler == Handler::Ignore;
            *action = SignalAction::default();
            if ignored {
                action.handler = Handler::Ignore;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_keeps_ignored_signals_only() {
        let mut actions = SignalActions::default();
        let handled = SignalAction { handler: Handler::Function(0x1000), ..Default::default() };
        actions.set(Signal::INT, handled);
        actions.set(Signal::HUP, SignalAction { handler: Handler::Ignore, ..Default::default() });
        actions.reset_for_exec();
        assert_eq!(actions.get(Signal::INT).handler, Handler::Default);
        assert!(actions.ignores(Signal::HUP));
        assert!(actions.ignores(Signal::CHLD));
    }
}
