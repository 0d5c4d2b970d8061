//! Signals (signal(7)): numbers, actions, queues, sending and delivery.

mod action;
mod deliver;
mod frame;
mod info;
mod number;
mod pending;
mod send;
mod stack;

pub use action::{ActionFlags, Disposition, Handler, SignalAction, SignalActions};
pub use frame::{
    FaultRecord, UserStack, alternate_stack_from_user, minimum_stack_size, return_from_handler,
};
pub use info::{SIGINFO_SIZE, SignalInfo, code};
pub use number::{DefaultAction, Signal, SignalSet};
pub use pending::PendingSignals;
pub use stack::{AUTO_DISARM, AlternateStack, DISABLE, ON_STACK};
