//! Processes that commands start in the running container.

use std::os::fd::{AsFd, OwnedFd};

use event_manager::{SubscriberId, SubscriberOps};
use guest_abi::{
    console::{CONSOLE_QUEUES, EXEC_CONSOLES},
    container::ProcessSpec,
    control::{ExitStatus, HostMessage, ProcessNumber},
};
use rustix::io::Errno;

use super::{
    super::{
        HostStreams, cannot_start,
        event_loop::{Shared, are_delivered, shared},
    },
    Supervisor, Table,
    clients::Awaited,
    duplicate,
    readiness::Source,
};
use crate::{
    channel::Channel,
    control_socket::Reply,
    devices::{StreamEvents, input::Input, output::Output},
    error::{Failure, Result},
    signals::KILL,
    stand_in::{Ended, Happened},
    virtqueue::{DeviceQueue, Doorbell, QueueError},
};

/// The queues of one console.
type Queues = [DeviceQueue; CONSOLE_QUEUES];

/// The processes and the consoles they can have.
#[derive(Debug)]
pub struct Executed {
    /// Consoles that no process has, by index.
    free: Table<u16, Queues>,
    /// What the sentry rings for any of their queues.
    doorbell: Option<Doorbell>,
    running: Table<ProcessNumber, Process>,
    last_number: u32,
}

/// One process, or what it left of itself: its streams, which others may still have.
#[derive(Debug)]
struct Process {
    /// Until it has ended.
    life_line: Option<Channel>,
    console: u16,
    input: Shared<StreamEvents<Input>>,
    outputs: [Shared<StreamEvents<Output>>; 2],
    subscribers: [SubscriberId; CONSOLE_QUEUES],
}

impl Executed {
    /// No process yet, and consoles over `queues`.
    pub fn new(queues: Vec<DeviceQueue>) -> Self {
        let doorbell = queues.first().map(|queue| queue.kick().clone());
        let mut queues = queues.into_iter();
        let next = || -> Option<Queues> { Some([queues.next()?, queues.next()?, queues.next()?]) };
        let free = (0..).zip(std::iter::from_fn(next)).collect();
        Self { free, doorbell, running: Table::new(), last_number: ProcessNumber::FIRST.0 }
    }

    /// What the stand-in of a process says.
    pub fn receive(&self, number: ProcessNumber) -> rustix::io::Result<(Happened, Vec<OwnedFd>)> {
        let life_line = self.running.get(&number).and_then(|process| process.life_line.as_ref());
        life_line.map_or(Err(Errno::AGAIN), Channel::try_receive)
    }

    /// What the sentry rings for any of the consoles, to be watched.
    pub fn doorbell(&self) -> Option<std::io::Result<OwnedFd>> {
        self.doorbell.as_ref().map(|doorbell| doorbell.as_fd().try_clone_to_owned())
    }

    /// Whether all that processes wrote is delivered.
    pub fn are_delivered(&self) -> bool {
        self.running.values().all(|process| are_delivered(&process.outputs))
    }
}

impl Supervisor {
    /// Has the sentry start `process` in `container`; `client` is told how that went. The descriptors
    /// are its standard streams and its life line.
    pub(super) fn execute(
        &mut self,
        client: u64,
        container: ProcessNumber,
        process: ProcessSpec,
        descriptors: Vec<OwnedFd>,
    ) -> Result<()> {
        let [input, output, error, life_line] = <[OwnedFd; 4]>::try_from(descriptors)
            .map_err(|_| Failure::new("exec without its streams", "please report it"))?;
        let (number, console) = self.admit([input, output, error], life_line)?;
        self.let_wait(client, Awaited::Started(number));
        self.tell(HostMessage::Execute { number, container, console, process });
        Ok(())
    }

    /// Gives a process that is to be started a number and a console, which its streams are connected
    /// to.
    pub(super) fn admit(
        &mut self,
        [input, output, error]: [OwnedFd; 3],
        life_line: OwnedFd,
    ) -> Result<(ProcessNumber, u16)> {
        let streams = HostStreams::received(input, output, error).map_err(cannot_start)?;
        let (console, queues) = self.executed.free.pop_first().ok_or_else(|| {
            Failure::new(
                format_args!(
                    "the streams of {EXEC_CONSOLES} processes run by exec are open already"
                ),
                "wait until one of them has ended",
            )
        })?;
        self.executed.last_number += 1;
        let number = ProcessNumber(self.executed.last_number);
        let life_line = Channel::from(life_line);
        self.watch(Source::LifeLine(number), duplicate(&life_line));
        let process_state = self.serve_streams(console, queues, streams, life_line);
        self.executed.running.insert(number, process_state);
        Ok((number, console))
    }

    fn serve_streams(
        &mut self,
        console: u16,
        queues: Queues,
        host: HostStreams,
        life_line: Channel,
    ) -> Process {
        let [input, output, error] = queues;
        let ending = || self.ending.clone();
        let events =
            |output| shared(StreamEvents::without_doorbell("exec output", output, ending()));
        let outputs =
            [events(Output::new(output, host.output)), events(Output::new(error, host.error))];
        let input = Input::new(input, host.input);
        let input = shared(StreamEvents::without_doorbell("exec input", input, ending()));
        let [first, second] = outputs.clone();
        let subscribers = [
            self.manager.add_subscriber(Box::new(input.clone())),
            self.manager.add_subscriber(Box::new(first)),
            self.manager.add_subscriber(Box::new(second)),
        ];
        Process { life_line: Some(life_line), console, input, outputs, subscribers }
    }

    /// The doorbell of the consoles rang: any of them may have something.
    pub(super) fn serve_consoles(&mut self) {
        if let Some(doorbell) = &self.executed.doorbell {
            doorbell.clear();
        }
        for process in self.executed.running.values() {
            let [input, output, error] = process.subscribers;
            // They were added, so they are known.
            if let Ok(mut ops) = self.manager.event_ops(input) {
                process.input.borrow_mut().serve(&mut ops);
            }
            for (id, stream) in [output, error].into_iter().zip(&process.outputs) {
                if let Ok(mut ops) = self.manager.event_ops(id) {
                    stream.borrow_mut().serve(&mut ops);
                }
            }
        }
    }

    /// The sentry has started a process.
    pub(super) fn process_started(&mut self, number: ProcessNumber, pid: u32) {
        self.reply_to_waiting(Awaited::Started(number), &Reply::Executed { pid });
    }

    /// The sentry could not start a process.
    pub(super) fn process_not_started(&mut self, number: ProcessNumber, failure: Failure) {
        self.reply_to_waiting(Awaited::Started(number), &Reply::Failed(failure));
        self.forget_process(number);
    }

    /// A process has ended; the sentry waited until all its output was taken. Its streams stay for
    /// those that it left behind.
    pub(super) fn process_ended(&mut self, number: ProcessNumber, status: ExitStatus) {
        self.unwatch(Source::LifeLine(number));
        let process = self.executed.running.get_mut(&number);
        if let Some(life_line) = process.and_then(|process| process.life_line.take()) {
            // A stand-in that was killed needs no status.
            let _ = life_line.try_send(&Ended(status));
        }
    }

    /// The container has ended, and all its processes with it.
    pub(super) fn end_all_processes(&mut self) {
        let numbers: Vec<_> = self.executed.running.keys().copied().collect();
        for number in numbers {
            self.process_ended(number, ExitStatus::Signal(KILL));
            self.forget_process(number);
        }
    }

    /// Closes its streams, and gives its console to the next one.
    pub(super) fn forget_process(&mut self, number: ProcessNumber) {
        self.unwatch(Source::LifeLine(number));
        let Some(process) = self.executed.running.remove(&number) else { return };
        for subscriber in process.subscribers {
            // It was added, so it is known.
            let _ = self.manager.remove_subscriber(subscriber);
        }
        match take_queues(process.input, process.outputs) {
            Some(Ok(queues)) => {
                self.executed.free.insert(process.console, queues);
            }
            Some(Err(error)) => self.ending.broken("exec console", error),
            None => self.ending.broken("exec console", "it is still in use"),
        }
    }
}

/// The queues, now that nobody serves them.
fn take_queues(
    input: Shared<StreamEvents<Input>>,
    outputs: [Shared<StreamEvents<Output>>; 2],
) -> Option<std::result::Result<Queues, QueueError>> {
    let [output, error] = outputs;
    let input = std::rc::Rc::into_inner(input)?.into_inner().into_pump();
    let output = std::rc::Rc::into_inner(output)?.into_inner().into_pump();
    let error = std::rc::Rc::into_inner(error)?.into_inner().into_pump();
    let queues = || Ok([input.into_queue()?, output.into_queue()?, error.into_queue()?]);
    Some(queues())
}
