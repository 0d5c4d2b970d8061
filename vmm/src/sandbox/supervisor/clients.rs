//! Commands that are connected to the control socket.

use guest_abi::control::{HostMessage, ProcessEntry, ProcessNumber, SignalTarget};
use rustix::{
    io::Errno,
    net::{SocketFlags, accept_with},
};

use super::{Supervisor, Table, duplicate, readiness::Source};
use crate::{
    channel::Channel,
    control_socket::{Phase, Reply, Request},
    error::Failure,
};

/// Most commands that are connected at a time.
const MAX_CLIENTS: usize = 512;

/// The connected commands.
#[derive(Debug, Default)]
pub struct Clients {
    connected: Table<u64, Client>,
    next: u64,
}

#[derive(Debug)]
struct Client {
    channel: Channel,
    awaits: Option<Awaited>,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A phase.
    Phase(Phase),
    /// That a process runs.
    Started(ProcessNumber),
    /// The list of processes.
    Processes,
    /// The end.
    End,
}

impl Supervisor {
    /// Takes a connection that waits.
    pub(super) fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = accept_with(&self.listener, flags) else { return };
        if self.clients.connected.len() >= MAX_CLIENTS {
            return;
        }
        let number = self.clients.next;
        self.clients.next += 1;
        let channel = Channel::from(socket);
        self.watch(Source::Client(number), duplicate(&channel));
        self.clients.connected.insert(number, Client { channel, awaits: None });
    }

    /// Reads what a client asks.
    pub(super) fn read_client(&mut self, number: u64) {
        let Some(client) = self.clients.connected.get(&number) else { return };
        match client.channel.try_receive::<Request>() {
            Ok((request, descriptors)) => match self.serve_request(number, request, descriptors) {
                Ok(Some(reply)) => self.reply(number, &reply),
                Ok(None) => {}
                Err(failure) => self.reply(number, &Reply::Failed(failure)),
            },
            Err(Errno::AGAIN) => {}
            Err(_) => self.drop_client(number),
        }
    }

    /// The reply to a request, or none yet.
    fn serve_request(
        &mut self,
        client: u64,
        request: Request,
        descriptors: Vec<std::os::fd::OwnedFd>,
    ) -> Result<Option<Reply>, Failure> {
        match (request, self.phase) {
            (Request::Phase, phase) => return Ok(Some(Reply::Phase(phase))),
            (Request::VmExits, _) => {
                let counts = self.machine.as_ref().map(|machine| machine.exit_counts().0);
                return Ok(Some(Reply::VmExits(counts.filter(|counts| !counts.is_empty()))));
            }
            (Request::Wait, _) => self.let_wait(client, Awaited::End),
            (_, Phase::Ending) => return Err(not_running()),
            (Request::Signal { number, all: true }, _) => {
                self.signal_target(number, SignalTarget::All);
                return Ok(Some(Reply::Done));
            }
            (Request::Signal { number, all: false }, _) => {
                self.signal(ProcessNumber::FIRST, number);
                return Ok(Some(Reply::Done));
            }
            (Request::Start, Phase::Created) => {
                self.let_wait(client, Awaited::Phase(Phase::Running));
                self.tell(HostMessage::Start);
            }
            (Request::Start, _) => {
                let cause = "cannot start a container that has run or is running";
                return Err(Failure::new(cause, "create another one"));
            }
            (_, Phase::Creating) => return Err(not_running()),
            (Request::Pause, Phase::Running) => {
                self.let_wait(client, Awaited::Phase(Phase::Paused));
                self.tell(HostMessage::Pause);
            }
            (Request::Resume, Phase::Paused) => {
                self.let_wait(client, Awaited::Phase(Phase::Running));
                self.tell(HostMessage::Resume);
            }
            (Request::Pause, _) => return Err(not_running()),
            (Request::Resume, _) => {
                return Err(Failure::new("container not paused", "pause it first"));
            }
            (Request::Execute(_), Phase::Paused) => {
                let cause = "cannot exec in a paused container";
                return Err(Failure::new(cause, "resume it first"));
            }
            (Request::Execute(process), _) => self.execute(client, process, descriptors)?,
            (Request::LimitTasks(limit), _) => {
                self.tell(HostMessage::LimitTasks(limit));
                return Ok(Some(Reply::Done));
            }
            (Request::Processes, _) => {
                self.let_wait(client, Awaited::Processes);
                self.tell(HostMessage::ListProcesses);
            }
        }
        Ok(None)
    }

    /// The client gets its reply when that has come.
    pub(super) fn let_wait(&mut self, client: u64, awaited: Awaited) {
        if let Some(client) = self.clients.connected.get_mut(&client) {
            client.awaits = Some(awaited);
        }
    }

    /// The container is in another phase.
    pub(super) fn reply_to_phase(&mut self, phase: Phase) {
        self.reply_to_waiting(Awaited::Phase(phase), &Reply::Done);
    }

    /// The sentry has listed its processes.
    pub(super) fn reply_with_processes(&mut self, list: Vec<ProcessEntry>) {
        self.reply_to_waiting(Awaited::Processes, &Reply::Processes(list));
    }

    /// Replies to everybody who waits for `awaited`.
    pub(super) fn reply_to_waiting(&mut self, awaited: Awaited, reply: &Reply) {
        let waiting: Vec<u64> = self
            .clients
            .connected
            .iter()
            .filter(|(_, client)| client.awaits == Some(awaited))
            .map(|(number, _)| *number)
            .collect();
        waiting.into_iter().for_each(|number| self.reply(number, reply));
    }

    /// Replies to everybody who waits for anything: it has ended.
    pub(super) fn reply_to_all(&mut self, end: &Reply) {
        self.reply_to_waiting(Awaited::End, end);
        let waiting = self.clients.connected.iter().filter(|(_, client)| client.awaits.is_some());
        let waiting: Vec<u64> = waiting.map(|(number, _)| *number).collect();
        let reply = Reply::Failed(not_running());
        waiting.into_iter().for_each(|number| self.reply(number, &reply));
    }

    /// One request gets one reply, and that ends the connection. A client that does not read it is
    /// not waited for.
    fn reply(&mut self, number: u64, reply: &Reply) {
        if let Some(client) = self.clients.connected.get(&number) {
            let _ = client.channel.try_send(reply);
        }
        self.drop_client(number);
    }

    fn drop_client(&mut self, number: u64) {
        self.unwatch(Source::Client(number));
        self.clients.connected.remove(&number);
    }
}

/// What engines match to learn that a container has ended.
fn not_running() -> Failure {
    Failure::new("container not running", "start it first")
}
