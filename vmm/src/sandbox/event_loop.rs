//! The loop that serves a running sandbox until it ends.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use guest_abi::control::{HostMessage, ProcessNumber, SignalTarget};

use super::watch::{Watch, Watched};
use crate::{
    devices::{End, Ending, StreamEvents, control::Control, input::Input, output::Output},
    error::{Failure, Result},
    signals::{Received, Signals},
    terminal::{self, RawMode},
};

pub(super) type Shared<T> = Rc<RefCell<T>>;
pub(super) type Subscriber = Box<dyn MutEventSubscriber>;

/// Back ends that the loop serves.
#[derive(Debug)]
pub struct Streams {
    /// Standard input.
    pub input: Input,
    /// Standard output.
    pub output: Output,
    /// Standard error.
    pub error: Output,
    /// Control device.
    pub control: Control,
}

/// All that the loop serves.
#[derive(Debug)]
pub struct Served {
    /// Back ends.
    pub streams: Streams,
    /// Signals to this process.
    pub signals: Signals,
    /// The host terminal, if the container has one.
    pub terminal: Option<RawMode>,
    /// Parts of the sandbox whose end is its end.
    pub watched: Vec<Watched>,
}

/// Serves until the sandbox ends, and until what its container wrote is delivered.
///
/// # Errors
/// If the host's epoll fails.
pub fn run(served: Served, ending: &Ending) -> Result<End> {
    let Served { streams, signals, terminal, watched } = served;
    let is_abandoned = Rc::new(Cell::new(false));
    let mut manager = EventManager::<Subscriber>::new().map_err(failed)?;
    let outputs = [("standard output", streams.output), ("standard error", streams.error)]
        .map(|(name, output)| shared(StreamEvents::new(name, output, ending.clone())));
    for output in &outputs {
        manager.add_subscriber(Box::new(Rc::clone(output)));
    }
    let input = StreamEvents::new("standard input", streams.input, ending.clone());
    manager.add_subscriber(Box::new(input));
    let control = shared(streams.control);
    manager.add_subscriber(Box::new(Rc::clone(&control)));
    for watched in watched {
        let watch = Watch::new(watched, Rc::clone(&control), ending.clone());
        manager.add_subscriber(Box::new(watch));
    }
    manager.add_subscriber(Box::new(SignalEvents {
        signals,
        terminal,
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

pub(super) fn shared<T>(value: T) -> Shared<T> {
    Rc::new(RefCell::new(value))
}

pub(super) fn are_delivered(outputs: &[Shared<StreamEvents<Output>>]) -> bool {
    outputs.iter().all(|output| output.borrow().pump().is_delivered().unwrap_or(true))
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

pub(super) fn failed(error: event_manager::Error) -> Failure {
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
                (Some(_), Some((rows, columns))) => {
                    HostMessage::Resize { process: ProcessNumber::FIRST, rows, columns }
                }
                _ => return Ok(()),
            },
            number => HostMessage::Signal {
                number: u8::try_from(number).map_err(|error| error.to_string())?,
                target: match received.is_from_terminal {
                    true => SignalTarget::Foreground,
                    false => SignalTarget::Process(ProcessNumber::FIRST),
                },
            },
        };
        self.control.borrow_mut().send(message).map_err(|error| error.to_string())
    }

    /// Stops the sandbox as a job, and tells it the terminal's size when it goes on.
    fn suspend(&mut self) -> std::result::Result<(), String> {
        let Some(terminal) = &self.terminal else {
            terminal::stop_process();
            return Ok(());
        };
        terminal.suspend().map_err(|error| error.to_string())?;
        let resized = Received { number: libc::SIGWINCH, is_from_terminal: true };
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

#[cfg(test)]
mod tests {
    use std::{
        os::fd::{AsFd, OwnedFd},
        sync::Arc,
        thread,
    };

    use guest_abi::{
        control::{ExitStatus, LogLevel, SentryMessage},
        device::DeviceKind,
        message,
    };
    use rustix::pipe::pipe;

    use super::*;
    use crate::{
        devices::host_stream::{Direction, HostStream},
        logging::{Log, LogFormat},
        virtqueue::{Doorbell, driver::Driver},
    };

    /// The sentry's side of a sandbox, and the host's.
    struct Rig {
        output: Driver,
        error: Driver,
        reports: Driver,
        /// Kept so that its queue stays open.
        _others: [Driver; 2],
        host_output: OwnedFd,
        sentry_ended: Doorbell,
    }

    fn rig() -> (Rig, Served, Ending) {
        let ending = Ending::default();
        let (input_driver, input) = Driver::connect(DeviceKind::Console, 1 << 20);
        let (output_driver, output) = Driver::connect(DeviceKind::Console, 1 << 20);
        let (error_driver, error) = Driver::connect(DeviceKind::Console, 1 << 20);
        let (messages_driver, from_host) = Driver::connect(DeviceKind::Control, 1 << 20);
        let (reports_driver, to_host) = Driver::connect(DeviceKind::Control, 1 << 20);
        let (host_output, write_end) = pipe().unwrap();
        let (read_end, _) = pipe().unwrap();
        let open = |end: &OwnedFd, direction| HostStream::open(end.as_fd(), direction).unwrap();
        let log = Arc::new(Log::open(LogLevel::Error, None, LogFormat::Text).unwrap());
        let sentry_ended = Doorbell::new().unwrap();
        let streams = Streams {
            input: Input::new(input, open(&read_end, Direction::Input)),
            output: Output::new(output, open(&write_end, Direction::Output)),
            error: Output::new(error, open(&write_end, Direction::Output)),
            control: Control::new(from_host, to_host, log, ending.clone()),
        };
        let served = Served {
            streams,
            signals: Signals::take_over().unwrap(),
            terminal: None,
            watched: vec![Watched::new(&sentry_ended, "the sentry stopped").unwrap()],
        };
        let rig = Rig {
            output: output_driver,
            error: error_driver,
            reports: reports_driver,
            _others: [input_driver, messages_driver],
            host_output,
            sentry_ended,
        };
        (rig, served, ending)
    }

    fn report(driver: &mut Driver, message: &SentryMessage) {
        driver.post(&message::encode(message).unwrap(), 64, 0);
        driver.kick.ring();
    }

    #[test]
    fn all_output_is_delivered_before_the_end() {
        let (mut rig, served, ending) = rig();
        let bytes = vec![7; 300_000];
        rig.output.post(&bytes, 65_536, 0);
        rig.output.kick.ring();
        rig.error.post(b"error", 64, 0);
        rig.error.kick.ring();
        let status = ExitStatus::Code(4);
        report(&mut rig.reports, &SentryMessage::Exited { status });
        let reader = thread::spawn(move || {
            let mut received = 0;
            let mut buffer = [0; 4096];
            while received < bytes.len() + 5 {
                received += rustix::io::read(&rig.host_output, &mut buffer).unwrap();
            }
            received
        });
        assert_eq!(run(served, &ending), Ok(End::Exited(status)));
        assert_eq!(reader.join().unwrap(), 300_005);
    }

    #[test]
    fn a_last_word_counts_more_than_the_silence_after_it() {
        let (mut rig, served, ending) = rig();
        rig.sentry_ended.ring();
        let status = ExitStatus::Signal(9);
        report(&mut rig.reports, &SentryMessage::Exited { status });
        assert_eq!(run(served, &ending), Ok(End::Exited(status)));

        let (rig, served, ending) = self::rig();
        rig.sentry_ended.ring();
        assert_eq!(run(served, &ending), Ok(End::Broken("the sentry stopped".to_owned())));
    }

    #[test]
    fn a_broken_queue_ends_the_sandbox() {
        let (mut rig, served, ending) = rig();
        rig.output.make_available(9999);
        rig.output.kick.ring();
        let Ok(End::Broken(message)) = run(served, &ending) else { panic!("not broken") };
        assert!(message.starts_with("standard output: "), "{message}");
    }
}
