//! Commands that are connected to the control socket.

use std::os::fd::BorrowedFd;

use guest_abi::control::{HostMessage, ProcessEntry, ProcessNumber, SignalTarget};
use rustix::{
    io::Errno,
    net::{SocketFlags, accept_with},
};

use super::{super::devices::Device, Supervisor, Table, duplicate, readiness::Source};
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
    /// The container whose control socket it has connected to.
    container: ProcessNumber,
    awaits: Option<Awaited>,
    /// Devices that are kept for the container that it is going to make.
    kept: Vec<Device>,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A phase of a container.
    Phase(ProcessNumber, Phase),
    /// That a process runs, or that a further container is made.
    Started(ProcessNumber),
    /// The list of a container's processes.
    Processes(ProcessNumber),
    /// The end of a container.
    End(ProcessNumber),
}

impl Supervisor {
    /// Takes a connection that waits at the control socket of `container`.
    pub(super) fn accept(&mut self, container: ProcessNumber) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = match container {
            ProcessNumber::FIRST => Some(&self.listener),
            number => self.further.listener(number),
        };
        let Some(Ok(socket)) = listener.map(|listener| accept_with(listener, flags)) else {
            return;
        };
        if self.clients.connected.len() >= MAX_CLIENTS {
            return;
        }
        let number = self.clients.next;
        self.clients.next += 1;
        let channel = Channel::from(socket);
        self.watch(Source::Client(number), duplicate(&channel));
        self.clients
            .connected
            .insert(number, Client { channel, container, awaits: None, kept: Vec::new() });
    }

    /// Reads what a client asks.
    pub(super) fn read_client(&mut self, number: u64) {
        let Some(client) = self.clients.connected.get(&number) else { return };
        let container = client.container;
        match client.channel.try_receive::<Request>() {
            Ok((request, descriptors)) => {
                match self.serve_request(number, container, request, descriptors) {
                    Ok(Some(reply)) => self.reply(number, &reply),
                    Ok(None) => {}
                    Err(failure) => self.reply(number, &Reply::Failed(failure)),
                }
            }
            Err(Errno::AGAIN) => {}
            Err(_) => self.client_gone(number),
        }
    }

    /// The reply to a request, or none yet.
    fn serve_request(
        &mut self,
        client: u64,
        container: ProcessNumber,
        request: Request,
        descriptors: Vec<std::os::fd::OwnedFd>,
    ) -> Result<Option<Reply>, Failure> {
        match (request, self.phase_of(container)) {
            (Request::Phase, phase) => return Ok(Some(Reply::Phase(phase))),
            (Request::VmExits, _) => {
                let counts = self.machine.as_ref().map(|machine| machine.exit_counts().0);
                return Ok(Some(Reply::VmExits(counts.filter(|counts| !counts.is_empty()))));
            }
            (Request::Wait, _) => self.let_wait(client, Awaited::End(container)),
            (_, Phase::Ending) => return Err(not_running()),
            (Request::Signal { number, all: true }, _) => {
                self.signal_target(container, number, SignalTarget::All(container));
                return Ok(Some(Reply::Done));
            }
            (Request::Signal { number, all: false }, _) => {
                self.signal(container, number);
                return Ok(Some(Reply::Done));
            }
            (Request::Start, Phase::Created) => {
                self.let_wait(client, Awaited::Phase(container, Phase::Running));
                self.tell(HostMessage::Start(container));
            }
            (Request::Start, _) => {
                let cause = "cannot start a container that has run or is running";
                return Err(Failure::new(cause, "create another one"));
            }
            (_, Phase::Creating) => return Err(not_running()),
            (Request::Pause, Phase::Running) => {
                self.let_wait(client, Awaited::Phase(container, Phase::Paused));
                self.tell(HostMessage::Pause(container));
            }
            (Request::Resume, Phase::Paused) => {
                self.let_wait(client, Awaited::Phase(container, Phase::Running));
                self.tell(HostMessage::Resume(container));
            }
            (Request::Pause, _) => return Err(not_running()),
            (Request::Resume, _) => {
                return Err(Failure::new("container not paused", "pause it first"));
            }
            (Request::Execute(_), Phase::Paused) => {
                let cause = "cannot exec in a paused container";
                return Err(Failure::new(cause, "resume it first"));
            }
            (Request::Execute(process), _) => {
                self.execute(client, container, process, descriptors)?;
            }
            (Request::ReserveDevice | Request::CreateContainer(_), _)
                if container != ProcessNumber::FIRST =>
            {
                let cause = "a container can only be made in the sandbox of a pod";
                return Err(Failure::new(cause, "name the sandbox's own container"));
            }
            (Request::ReserveDevice, _) => self.reserve_device(client)?,
            (Request::CreateContainer(spec), _) => {
                self.create_container(client, spec, descriptors)?;
            }
            (Request::Limit(limits), _) => {
                self.tell(HostMessage::Limit { container, limits });
                return Ok(Some(Reply::Done));
            }
            (Request::Processes, _) => {
                self.let_wait(client, Awaited::Processes(container));
                self.tell(HostMessage::ListProcesses(container));
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

    /// Sends `client` a reply that is not the last; whether it could.
    pub(super) fn send_to(
        &self,
        client: u64,
        reply: &Reply,
        descriptors: &[BorrowedFd<'_>],
    ) -> bool {
        let client = self.clients.connected.get(&client);
        client.is_some_and(|client| client.channel.try_send_with(reply, descriptors).is_ok())
    }

    /// Keeps `device` for a client.
    pub(super) fn keep_for(&mut self, client: u64, device: Device) {
        match self.clients.connected.get_mut(&client) {
            Some(client) => client.kept.push(device),
            None => self.further.give_back(vec![device]),
        }
    }

    /// What is kept for a client, which is about to be used.
    pub(super) fn take_kept(&mut self, client: u64) -> Vec<Device> {
        let client = self.clients.connected.get_mut(&client);
        client.map(|client| std::mem::take(&mut client.kept)).unwrap_or_default()
    }

    /// The container is in another phase.
    pub(super) fn reply_to_phase(&mut self, container: ProcessNumber, phase: Phase) {
        self.reply_to_waiting(Awaited::Phase(container, phase), &Reply::Done);
    }

    /// The sentry has listed a container's processes.
    pub(super) fn reply_with_processes(
        &mut self,
        container: ProcessNumber,
        list: Vec<ProcessEntry>,
    ) {
        self.reply_to_waiting(Awaited::Processes(container), &Reply::Processes(list));
    }

    /// Replies to everybody who waits for anything of a further container: it has ended.
    pub(super) fn reply_to_all_of(&mut self, container: ProcessNumber, end: &Reply) {
        self.reply_to_waiting(Awaited::End(container), end);
        let waits = |client: &Client| client.container == container && client.awaits.is_some();
        self.reply_not_running(waits);
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
        self.reply_to_waiting(Awaited::End(ProcessNumber::FIRST), end);
        self.reply_not_running(|client| client.awaits.is_some());
    }

    fn reply_not_running(&mut self, waits: impl Fn(&Client) -> bool) {
        let waiting = self.clients.connected.iter().filter(|(_, client)| waits(client));
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

    /// A client hung up. If it was making a container, nobody knows that there is one.
    fn client_gone(&mut self, number: u64) {
        let awaits = self.clients.connected.get(&number).and_then(|client| client.awaits);
        self.drop_client(number);
        if let Some(Awaited::Started(container)) = awaits {
            self.abandon_container(container);
        }
    }

    fn drop_client(&mut self, number: u64) {
        self.unwatch(Source::Client(number));
        let Some(client) = self.clients.connected.remove(&number) else { return };
        self.further.give_back(client.kept);
    }
}

/// What engines match to learn that a container has ended.
fn not_running() -> Failure {
    Failure::new("container not running", "start it first")
}
