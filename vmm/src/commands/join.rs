//! `create` of a pod's container: in the sandbox of another container, without one of its own.
//!
//! What the sandbox process cannot do in its jail is done here: devices are kept for the container's
//! trees, its stand-in starts the gofer that serves them, and the sandbox gets what it needs of all
//! this over its control socket.

use std::os::fd::{AsFd, OwnedFd};

use guest_abi::device::DeviceDescriptor;
use rustix::fs::{FallocateFlags, fallocate};

use super::{Context, unexpected};
use crate::{
    channel::Channel,
    control_socket::{self, Client, Reply, Request},
    devices::host_stream::own_descriptions,
    error::{Failure, Result},
    gofer::{self, GoferMount},
    sandbox::plan::{LaunchPlan, Tree},
    stand_in::{Order, StandIn},
    state::{Container, Record, Status, status},
};

/// The sandbox that a container is to be made in.
#[derive(Debug)]
pub struct Sandbox {
    container: Container,
    /// What is remembered of its first container.
    pub record: Record,
}

/// Finds the sandbox of the container `id`.
///
/// # Errors
/// If there is no such container, or it does not run.
pub fn find(context: &Context, id: &str) -> Result<Sandbox> {
    let failed = |cause: &dyn std::fmt::Display| {
        Failure::new(
            format_args!("cannot use the sandbox {id}: {cause}"),
            "create and start the sandbox's container first, with the same --root",
        )
    };
    let (container, record) = context.find(id).map_err(|failure| failed(&failure))?;
    match status(&container, &record) {
        Status::Running | Status::Paused | Status::Created => Ok(Sandbox { container, record }),
        other => Err(failed(&format_args!("it is {other}"))),
    }
}

/// Refuses what is the sandbox's to decide.
///
/// # Errors
/// If the container asks for kernel settings or for a mapping of users.
pub fn check(plan: &LaunchPlan) -> Result<()> {
    let container = &plan.container;
    if let Some((name, _)) = container.sysctls.first() {
        return Err(Failure::new(
            format_args!(
                "config.json: linux.sysctl: {} belongs to the sandbox",
                name.replace('/', ".")
            ),
            "set it for the sandbox's container",
        ));
    }
    if !container.uid_mappings.is_empty() || !container.gid_mappings.is_empty() {
        return Err(Failure::new(
            "config.json: linux.uidMappings are not supported for further containers of a sandbox",
            "leave them out",
        ));
    }
    Ok(())
}

/// Duplicates of a container's standard streams that the sandbox process can use in its jail.
///
/// # Errors
/// If the limit of open files is reached.
pub fn own_streams(streams: &[OwnedFd; 3]) -> Result<[OwnedFd; 3]> {
    own_descriptions(streams)
        .map_err(|error| Failure::new(error, "check the limit of open files (ulimit -n)"))
}

impl Sandbox {
    /// Makes the container that `plan` describes, with `stand_in` and the state directory
    /// `container`. It waits for its start then.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn join(
        &self,
        plan: &LaunchPlan,
        container: &Container,
        stand_in: &StandIn,
        streams: &[OwnedFd; 3],
    ) -> Result<()> {
        let client = Client::connect(self.container.directory()).map_err(failed)?;
        let mounts =
            plan.trees.iter().map(|tree| reserve(&client, tree)).collect::<Result<Vec<_>>>()?;
        let mut plan = plan.clone();
        let indices: Vec<u16> = mounts.iter().map(|(index, _)| *index).collect();
        plan.renumber(&indices)?;
        let mounts: Vec<GoferMount> = mounts.into_iter().map(|(_, mount)| mount).collect();

        let (gofer, gofer_remote) = Channel::pair().map_err(failed)?;
        let (life_line, life_line_remote) = Channel::pair().map_err(failed)?;
        stand_in.order(&Order::JoinSandbox, &[gofer_remote.as_fd(), life_line_remote.as_fd()])?;
        stand_in.answers()?;
        drop((gofer_remote, life_line_remote));
        gofer::instruct(&gofer, &mounts)?;

        let listener = control_socket::bind(container.directory()).map_err(failed)?;
        let [input, output, error] = streams;
        let descriptors = [
            input.as_fd(),
            output.as_fd(),
            error.as_fd(),
            life_line.as_fd(),
            listener.as_fd(),
            gofer.as_fd(),
        ];
        match client.ask(&Request::CreateContainer(plan.container), &descriptors, None) {
            Ok(Reply::Done) => Ok(()),
            Ok(Reply::Failed(failure)) => Err(failure),
            Ok(_) => Err(unexpected()),
            Err(rustix::io::Errno::MSGSIZE) => Err(Failure::new(
                "config.json says more than 64 KiB",
                "shorten its environment, arguments or seccomp rules",
            )),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Has the sandbox keep a device for `tree`, and clears what the last one who used it left.
fn reserve(client: &Client, tree: &Tree) -> Result<(u16, GoferMount)> {
    let (reply, descriptors) =
        client.ask_for_descriptors(&Request::ReserveDevice).map_err(failed)?;
    let (index, device) = match reply {
        Reply::Device { index, descriptor } => (index, descriptor),
        Reply::Failed(failure) => return Err(failure),
        _ => return Err(unexpected()),
    };
    let [window, kick, call] = <[OwnedFd; 3]>::try_from(descriptors).map_err(|_| unexpected())?;
    clear(&window, &device).map_err(failed)?;
    let mount =
        GoferMount { tree: tree.clone(), device, window, kick: kick.into(), call: call.into() };
    Ok((index, mount))
}

/// A window without pages reads as zero: its rings are empty.
fn clear(window: &OwnedFd, device: &DeviceDescriptor) -> rustix::io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(window, flags, 0, device.window_size)
}

fn failed(error: rustix::io::Errno) -> Failure {
    Failure::new(
        format_args!("cannot make a container in the sandbox: {error}"),
        "look whether the sandbox's container runs, and check the limit of open files (ulimit -n)",
    )
}
