//! Further containers that commands make in the sandbox. Each has a control socket and a gofer of its
//! own; its first process is kept among those that commands execute.

use std::{collections::VecDeque, os::fd::OwnedFd};

use guest_abi::{
    container::ContainerSpec,
    control::{HostMessage, MAX_CONTROL_MESSAGE, ProcessNumber, SignalTarget},
    message,
};
use rustix::net::{Shutdown, shutdown};

use super::{
    super::{devices::Device, plan::SPARE_TREES},
    Supervisor, Table,
    clients::Awaited,
    duplicate,
    readiness::Source,
};
use crate::{
    channel::Channel,
    control_socket::{Phase, Reply},
    error::{Failure, Result},
    signals::KILL,
};

/// The further containers, and what the next ones are made of.
#[derive(Debug, Default)]
pub struct Further {
    containers: Table<ProcessNumber, Member>,
    /// Devices that nobody has. The one that waited longest is taken first, so that a gofer whose
    /// maker was killed is long gone when its device is used again.
    free: VecDeque<Device>,
    /// Devices of containers that have ended, whose gofers may not have.
    leaving: Table<ProcessNumber, (Channel, Vec<Device>)>,
}

/// One further container.
#[derive(Debug)]
struct Member {
    phase: Phase,
    listener: OwnedFd,
    /// The channel of its gofer, as long as that is there.
    gofer: Option<Channel>,
    devices: Vec<Device>,
    /// Whoever wanted it is gone: it is killed as soon as it is made.
    is_abandoned: bool,
}

impl Further {
    /// No container yet, and `spare` for the next ones.
    pub fn new(spare: Vec<Device>) -> Self {
        Self { free: spare.into(), ..Self::default() }
    }

    /// How far the container is; the end if there is none.
    pub fn phase(&self, number: ProcessNumber) -> Phase {
        self.containers.get(&number).map_or(Phase::Ending, |member| member.phase)
    }

    /// Its listening control socket.
    pub fn listener(&self, number: ProcessNumber) -> Option<&OwnedFd> {
        self.containers.get(&number).map(|member| &member.listener)
    }

    /// Takes devices back that were not used.
    pub fn give_back(&mut self, devices: Vec<Device>) {
        self.free.extend(devices);
    }
}

impl Supervisor {
    /// Keeps a device for the container that `client` is going to make, and tells it which.
    pub(super) fn reserve_device(&mut self, client: u64) -> Result<()> {
        let device = self.further.free.pop_front().ok_or_else(|| {
            let cause = format_args!(
                "the sandbox has no device left for another mount: of a container that was made \
                 as a pod's sandbox, further ones may have {SPARE_TREES} roots and bind mounts"
            );
            Failure::new(
                cause,
                "delete another container of the pod, or annotate the first one as a sandbox",
            )
        })?;
        let index = device.index();
        let reply = Reply::Device { index, descriptor: device.descriptor.clone() };
        let ends = device.ends();
        let sent = ends.is_some_and(|ends| self.send_to(client, &reply, &ends));
        if sent {
            self.keep_for(client, device);
        } else {
            self.further.give_back(vec![device]);
        }
        Ok(())
    }

    /// Has the sentry make the container `spec`; `client` is told how that went. The descriptors are
    /// its standard streams, its life line, its control socket and the channel of its gofer.
    pub(super) fn create_container(
        &mut self,
        client: u64,
        container: ContainerSpec,
        descriptors: Vec<OwnedFd>,
    ) -> Result<()> {
        let devices = self.take_kept(client);
        let Ok([input, output, error, life_line, listener, gofer]) =
            <[OwnedFd; 6]>::try_from(descriptors)
        else {
            self.further.give_back(devices);
            return Err(Failure::new("a container without its streams", "please report it"));
        };
        let admitted = self.admit([input, output, error], life_line);
        let (number, console) = match admitted {
            Ok(admitted) => admitted,
            Err(failure) => {
                self.further.give_back(devices);
                return Err(failure);
            }
        };
        let gofer = Channel::from(gofer);
        self.watch(Source::Listener(number), listener.try_clone());
        self.watch(Source::Gofer(number), duplicate(&gofer));
        let phase = Phase::Creating;
        let gofer = Some(gofer);
        let member = Member { phase, listener, gofer, devices, is_abandoned: false };
        self.further.containers.insert(number, member);
        let message = HostMessage::CreateContainer { number, console, container };
        if message::encode(&message).is_ok_and(|bytes| bytes.len() <= MAX_CONTROL_MESSAGE) {
            self.let_wait(client, Awaited::Started(number));
            self.tell(message);
            return Ok(());
        }
        self.forget_process(number);
        self.container_ended(number);
        let cause = format_args!("config.json says more than {MAX_CONTROL_MESSAGE} bytes");
        Err(Failure::new(cause, "shorten its environment, arguments or seccomp rules"))
    }

    /// The sentry has made a further container.
    pub(super) fn container_created(&mut self, number: ProcessNumber) {
        self.enter_further(number, Phase::Created);
        self.reply_to_waiting(Awaited::Started(number), &Reply::Done);
        if self.further.containers.get(&number).is_some_and(|member| member.is_abandoned) {
            self.kill_container(number);
        }
    }

    /// The further container is in another phase.
    pub(super) fn enter_further(&mut self, number: ProcessNumber, phase: Phase) {
        if let Some(member) = self.further.containers.get_mut(&number) {
            member.phase = phase;
        }
    }

    /// Nobody wants the container any more, or it cannot go on. One that is being made has nothing
    /// yet that could be killed.
    pub(super) fn abandon_container(&mut self, number: ProcessNumber) {
        let Some(member) = self.further.containers.get_mut(&number) else { return };
        member.is_abandoned = true;
        if member.phase != Phase::Creating {
            self.kill_container(number);
        }
    }

    fn kill_container(&mut self, number: ProcessNumber) {
        let target = SignalTarget::Process(number);
        self.tell(HostMessage::Signal { number: KILL, target });
    }

    /// All processes of a container have ended, or it could not be made. Its gofer is told to end.
    pub(super) fn container_ended(&mut self, number: ProcessNumber) {
        let Some(member) = self.further.containers.remove(&number) else { return };
        self.unwatch(Source::Listener(number));
        let Some(gofer) = member.gofer else {
            self.further.give_back(member.devices);
            return;
        };
        // In one direction: its own end is to show as a hang-up. It has ended already if that fails.
        let _ = shutdown(&gofer, Shutdown::Write);
        self.further.leaving.insert(number, (gofer, member.devices));
    }

    /// A gofer has ended. Without it a container has no files.
    pub(super) fn gofer_ended(&mut self, number: ProcessNumber) {
        self.unwatch(Source::Gofer(number));
        if let Some((_, devices)) = self.further.leaving.remove(&number) {
            self.further.give_back(devices);
        } else if let Some(member) = self.further.containers.get_mut(&number) {
            member.gofer = None;
            self.tell(HostMessage::LoseDevices(number));
            self.abandon_container(number);
        }
    }
}
