//! Serves a container that commands control: its streams, its control socket, the life lines of its
//! stand-ins, and the processes that are started in it.
//!
//! Subscribers of the event loop only note what became ready; what it means is decided between two
//! turns of the loop, where the loop's own tables can be changed too.

mod clients;
mod executed;
mod further;
mod readiness;

use std::{collections::BTreeMap, os::fd::OwnedFd, rc::Rc, sync::Arc};

use event_manager::{EventManager, SubscriberOps};
use guest_abi::control::{ExitStatus, HostMessage, ProcessNumber, SentryMessage, SignalTarget};
use platform_kvm::Machine;

use super::{
    Later,
    event_loop::{Shared, Streams, Subscriber, are_delivered, failed, shared},
    watch::{Watch, Watched},
};
use crate::{
    channel::Channel,
    control_socket::{Phase, Reply},
    devices::{End, Ending, StreamEvents, control::Control, output::Output},
    error::Result,
    signals::KILL,
    stand_in::Happened,
};
use clients::Clients;
use executed::Executed;
use further::Further;
use readiness::{Inbox, Source};

/// How others reach the sandbox process.
#[derive(Debug)]
pub struct Connections {
    /// Listening control socket.
    pub listener: OwnedFd,
    /// The command that makes the container.
    pub maker: Channel,
    /// The container's stand-in.
    pub life_line: Channel,
}

/// Serves until the container ends, and until what it wrote is delivered.
///
/// # Errors
/// If the host's epoll fails.
pub fn run(
    connections: Connections,
    streams: Streams,
    later: Later,
    watched: Vec<Watched>,
    machine: Option<Arc<Machine>>,
    ending: &Ending,
) -> Result<End> {
    let Streams { input, output, error, control } = streams;
    let mut manager = EventManager::<Subscriber>::new().map_err(failed)?;
    let outputs = [("standard output", output), ("standard error", error)]
        .map(|(name, output)| shared(StreamEvents::new(name, output, ending.clone())));
    for output in &outputs {
        manager.add_subscriber(Box::new(Rc::clone(output)));
    }
    manager.add_subscriber(Box::new(StreamEvents::new("standard input", input, ending.clone())));
    let control = shared(control);
    manager.add_subscriber(Box::new(Rc::clone(&control)));
    for watched in watched {
        let watch = Watch::new(watched, Rc::clone(&control), ending.clone());
        manager.add_subscriber(Box::new(watch));
    }
    let mut supervisor = Supervisor {
        clients: Clients::default(),
        executed: Executed::new(later.exec_queues),
        further: Further::new(later.spare),
        maker: Some(connections.maker),
        life_line: connections.life_line,
        listener: connections.listener,
        inbox: Inbox::default(),
        phase: Phase::Creating,
        is_abandoned: false,
        outputs,
        control,
        ending: ending.clone(),
        machine,
        manager,
    };
    supervisor.watch_connections();
    supervisor.serve()
}

/// The state of it all.
struct Supervisor {
    manager: EventManager<Subscriber>,
    inbox: Inbox,
    control: Shared<Control>,
    outputs: [Shared<StreamEvents<Output>>; 2],
    ending: Ending,
    /// What runs the sentry on the kvm platform.
    machine: Option<Arc<Machine>>,
    phase: Phase,
    listener: OwnedFd,
    /// Until it is told that the container is created.
    maker: Option<Channel>,
    life_line: Channel,
    clients: Clients,
    executed: Executed,
    further: Further,
    /// Whether output that nobody reads is given up.
    is_abandoned: bool,
}

impl Supervisor {
    fn watch_connections(&mut self) {
        self.watch(Source::Listener(ProcessNumber::FIRST), self.listener.try_clone());
        self.watch(Source::LifeLine(ProcessNumber::FIRST), duplicate(&self.life_line));
        if let Some(maker) = self.maker.as_ref().map(duplicate) {
            self.watch(Source::Maker, maker);
        }
        if let Some(doorbell) = self.executed.doorbell() {
            self.watch(Source::Consoles, doorbell);
        }
    }

    /// Serves events until it is all over.
    fn serve(&mut self) -> Result<End> {
        loop {
            self.act();
            if let Some(end) = self.ending.get()
                && self.is_over(&end)
            {
                self.say_farewell(&end);
                return Ok(end);
            }
            match self.manager.run() {
                Ok(_) => {}
                Err(event_manager::Error::Epoll(error)) if error.errno() == libc::EINTR => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Deals with everything that has happened.
    fn act(&mut self) {
        while let Some(source) = self.inbox.next() {
            match source {
                Source::Listener(container) => self.accept(container),
                Source::Gofer(container) => self.gofer_ended(container),
                Source::Maker => self.maker_gone(),
                Source::LifeLine(number) => self.read_life_line(number),
                Source::Client(number) => self.read_client(number),
                Source::Consoles => self.serve_consoles(),
            }
        }
        loop {
            let report = self.control.borrow_mut().next_report();
            let Some(report) = report else { return };
            self.take_report(report);
        }
    }

    fn take_report(&mut self, report: SentryMessage) {
        match report {
            SentryMessage::Created(ProcessNumber::FIRST) => self.created(),
            SentryMessage::Created(number) => self.container_created(number),
            SentryMessage::Started(number) => self.enter(number, Phase::Running),
            SentryMessage::Paused(number) => self.enter(number, Phase::Paused),
            SentryMessage::Resumed(number) => self.enter(number, Phase::Running),
            SentryMessage::Processes { container, list } => {
                self.reply_with_processes(container, list);
            }
            SentryMessage::Executed { number, pid } => self.process_started(number, pid),
            SentryMessage::ExecuteFailed { number, cause, errno } => {
                self.process_not_started(number, super::start_failure(&cause, errno));
                self.container_ended(number);
            }
            SentryMessage::ExecutedExited { number, status } => {
                self.container_ended(number);
                self.process_ended(number, status);
                self.reply_to_all_of(number, &Reply::Ended(status));
            }
            SentryMessage::StreamsClosed { number } => self.forget_process(number),
            // The control device deals with the others itself.
            _ => {}
        }
    }

    fn created(&mut self) {
        self.phase = Phase::Created;
        let told = self.maker.take().map(|maker| maker.send(&Result::<()>::Ok(()), &[]));
        self.unwatch(Source::Maker);
        if !matches!(told, Some(Ok(()))) {
            self.maker_gone();
        }
    }

    /// The command that made the container is gone before it could know that it exists, so nobody
    /// does.
    fn maker_gone(&mut self) {
        if matches!(self.phase, Phase::Creating) {
            self.ending.set(End::Exited(ExitStatus::Signal(KILL)));
            self.is_abandoned = true;
        }
        self.unwatch(Source::Maker);
    }

    fn enter(&mut self, container: ProcessNumber, phase: Phase) {
        match container {
            ProcessNumber::FIRST => self.phase = phase,
            number => self.enter_further(number, phase),
        }
        self.reply_to_phase(container, phase);
    }

    /// How far a container is; none goes on when the sandbox ends.
    fn phase_of(&self, container: ProcessNumber) -> Phase {
        match container {
            _ if self.phase == Phase::Ending => Phase::Ending,
            ProcessNumber::FIRST => self.phase,
            number => self.further.phase(number),
        }
    }

    /// Whether nothing remains to be done after `end`.
    fn is_over(&mut self, end: &End) -> bool {
        if matches!(end, End::Exited(_)) {
            self.phase = Phase::Ending;
            let is_delivered = are_delivered(&self.outputs) && self.executed.are_delivered();
            return self.is_abandoned || is_delivered;
        }
        true
    }

    /// Tells those who wait for the end. The container's stand-in is told when all has gone.
    fn say_farewell(&mut self, end: &End) {
        if let (End::StartFailed { cause, errno }, Some(maker)) = (end, &self.maker) {
            let failure = super::start_failure(cause, *errno);
            // If the maker has gone, nobody wants to know.
            let _ = maker.send(&Result::<()>::Err(failure), &[]);
        }
        self.end_all_processes();
        let status = match end {
            End::Exited(status) => *status,
            End::StartFailed { .. } | End::Broken(_) => ExitStatus::Signal(KILL),
        };
        self.reply_to_all(&Reply::Ended(status));
    }

    fn read_life_line(&mut self, number: ProcessNumber) {
        let received = match number {
            ProcessNumber::FIRST => self.life_line.try_receive::<Happened>(),
            number => self.executed.receive(number),
        };
        match received {
            Ok((Happened::Signal(signal), _)) => self.signal(number, signal),
            Ok((Happened::Resized(rows, columns), _)) => {
                self.tell(HostMessage::Resize { process: number, rows, columns });
            }
            Err(rustix::io::Errno::AGAIN) => {}
            Err(_) => {
                // The stand-in was killed: so is what it stood for.
                self.unwatch(Source::LifeLine(number));
                self.signal(number, KILL);
                self.abandon_container(number);
                self.is_abandoned |= number == ProcessNumber::FIRST;
            }
        }
    }

    /// Sends signal `signal` to a process.
    fn signal(&mut self, process: ProcessNumber, signal: u8) {
        self.signal_target(process, signal, SignalTarget::Process(process));
    }

    /// Sends signal `number` to `target`, which is in `container` unless that is the number of an
    /// executed process.
    fn signal_target(&mut self, container: ProcessNumber, number: u8, target: SignalTarget) {
        if self.phase == Phase::Ending {
            // Only output is left, which whoever kills a container does not wait for.
            self.is_abandoned |= number == KILL;
        } else if matches!(self.further.phase(container), Phase::Creating | Phase::Created) {
            if !IGNORED_BY_DEFAULT.contains(&number) {
                self.abandon_container(container);
            }
        } else if matches!(self.phase, Phase::Creating | Phase::Created) {
            // There is no program yet that could handle it.
            if !IGNORED_BY_DEFAULT.contains(&number) {
                self.ending.set(End::Exited(ExitStatus::Signal(number)));
            }
        } else {
            self.tell(HostMessage::Signal { number, target });
        }
    }

    /// Tells the sentry something; a broken queue ends the sandbox.
    fn tell(&mut self, message: HostMessage) {
        let sent = self.control.borrow_mut().send(message);
        if let Err(error) = sent {
            self.ending.broken("control device", error);
        }
    }
}

/// Signals that do nothing to a process that does not handle them, or stop or continue it
/// (signal(7)).
const IGNORED_BY_DEFAULT: [u8; 8] = [17, 18, 19, 20, 21, 22, 23, 28];

/// A second descriptor of `channel`, to be watched.
fn duplicate(channel: &Channel) -> std::io::Result<OwnedFd> {
    use std::os::fd::AsFd;
    channel.as_fd().try_clone_to_owned()
}

/// Numbers that are not used again.
type Table<K, V> = BTreeMap<K, V>;
