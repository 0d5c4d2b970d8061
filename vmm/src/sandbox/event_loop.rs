//! The loop that serves a running sandbox until it ends.

use std::{
    cell::{Cell, RefCell},
    os::fd::OwnedFd,
    rc::Rc,
};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use guest_abi::control::HostMessage;

use super::watch::Watch;
use crate::{
    devices::{End, Ending, StreamEvents, control::Control, input::Input, output::Output},
    error::{Failure, Result},
    signals::{Received, Signals},
    terminal::{self, RawMode},
};

type Shared<T> = Rc<RefCell<T>>;
type Subscriber = Box<dyn MutEventSubscriber>;

/// What the loop serves.
#[derive(Debug)]
pub struct Served {
    /// Standard input.
    pub input: Input,
    /// Standard output.
    pub output: Output,
    /// Standard error.
    pub error: Output,
    /// Control device.
    pub control: Control,
    /// Signals to this process.
    pub signals: Signals,
    /// The host terminal, if the container has one.
    pub terminal: Option<RawMode>,
    /// Descriptors that become readable when a part of the sandbox is gone, and what that means.
    pub watched: Vec<(OwnedFd, String)>,
}

/// Serves until the sandbox ends, and until what its container wrote is delivered.
///
/// # Errors
/// If the host's epoll fails.
pub fn run(served: Served, ending: &Ending) -> Result<End> {
    let is_abandoned = Rc::new(Cell::new(false));
    let mut manager = EventManager::<Subscriber>::new().map_err(failed)?;
    let outputs = [
        ("standard output", served.output),
        ("standard error", served.error),
    ]
    .map(|(name, output)| shared(StreamEvents::new(name, output, ending.clone())));
    for output in &outputs {
        manager.add_subscriber(Box::new(Rc::clone(output)));
    }
    let input = StreamEvents::new("standard input", served.input, ending.clone());
    manager.add_subscriber(Box::new(input));
    let control = shared(served.control);
    manager.add_subscriber(Box::new(Rc::clone(&control)));
    for (descriptor, meaning) in served.watched {
        manager.add_subscriber(Box::new(Watch::new(descriptor, meaning, ending.clone())));
    }
    manager.add_subscriber(Box::new(SignalEvents {
        signals: served.signals,
        terminal: served.terminal,
        control,
        ending: ending.clone(),
        is_abandoned: Rc::clone(&is_abandoned),
    }));
    let end = wait(&mut manager, || ending.get())?;
    if matches!(end, End::Exited(_)) {
        let is_over = || is_abandoned.get() || are_delivered(&outputs);
        wait(&mut manager, || is_over().then_some(()))?;
    }
    Ok(end)
}

fn shared<T>(value: T) -> Shared<T> {
    Rc::new(RefCell::new(value))
}

fn are_delivered(outputs: &[Shared<StreamEvents<Output>>]) -> bool {
    outputs
        .iter()
        .all(|output| output.borrow().pump().is_delivered().unwrap_or(true))
}

/// Serves events until `done` answers.
fn wait<T>(manager: &mut EventManager<Subscriber>, done: impl Fn() -> Option<T>) -> Result<T> {
    loop {
        if let Some(answer) = done() {
            return Ok(answer);
        }
        match manager.run() {
            Ok(_) => {}
            Err(event_manager::Error::Epoll(error)) if error.errno() == libc::EINTR => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

fn failed(error: event_manager::Error) -> Failure {
    Failure::new(error, "check the limit of open files (ulimit -n)")
}

/// Passes signals on to the container.
struct SignalEvents {
    signals: Signals,
    terminal: Option<RawMode>,
    control: Shared<Control>,
    ending: Ending,
    /// Set by a signal that comes when only a reader of the output is waited for.
    is_abandoned: Rc<Cell<bool>>,
}

/// Signals that end a program which does not handle them, by somebody's wish.
const ENDING_SIGNALS: [libc::c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

impl SignalEvents {
    fn take(&mut self, received: Received) -> std::result::Result<(), String> {
        if self.ending.get().is_some() && ENDING_SIGNALS.contains(&received.number) {
            self.is_abandoned.set(true);
            return Ok(());
        }
        let message = match received.number {
            libc::SIGTSTP => return self.suspend(),
            libc::SIGWINCH => match (&self.terminal, terminal::size()) {
                (Some(_), Some((rows, columns))) => HostMessage::Resize { rows, columns },
                _ => return Ok(()),
            },
            number => HostMessage::Signal {
                number: u8::try_from(number).map_err(|error| error.to_string())?,
                foreground: received.is_from_terminal,
            },
        };
        self.control
            .borrow_mut()
            .send(message)
            .map_err(|error| error.to_string())
    }

    /// Stops the sandbox as a job, and tells it the terminal's size when it goes on.
    fn suspend(&mut self) -> std::result::Result<(), String> {
        let Some(terminal) = &self.terminal else {
            terminal::stop_process();
            return Ok(());
        };
        terminal.suspend().map_err(|error| error.to_string())?;
        let resized = Received {
            number: libc::SIGWINCH,
            is_from_terminal: true,
        };
        self.take(resized)
    }
}

impl MutEventSubscriber for SignalEvents {
    fn init(&mut self, ops: &mut EventOps) {
        if let Err(error) = ops.add(Events::new(&self.signals, EventSet::IN)) {
            self.ending.broken("signals", error);
        }
    }

    fn process(&mut self, _events: Events, _ops: &mut EventOps) {
        while let Some(received) = self.signals.next() {
            if let Err(error) = self.take(received) {
                self.ending.broken("signals", error);
            }
        }
    }
}
