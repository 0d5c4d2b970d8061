//! The sandbox process's side: starting a gofer and ending it.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::Path,
    process::{Child, Command, Stdio},
};

use guest_abi::device::DeviceDescriptor;
use rustix::net::{Shutdown, shutdown};

use super::{
    SUBCOMMAND,
    channel::{Channel, Request, Response, Source},
    system::inherit_nothing,
};
use crate::{
    error::{Failure, Result},
    sandbox::plan::Tree,
    virtqueue::Doorbell,
};

/// A tree of files and the device that shows it to the sentry.
#[derive(Debug)]
pub struct GoferMount {
    /// The tree: a directory or a file. Symbolic links in its path are followed.
    pub tree: Tree,
    /// The device.
    pub device: DeviceDescriptor,
    /// memfd of the device's window.
    pub window: OwnedFd,
    /// Rung by the driver.
    pub kick: Doorbell,
    /// Rung by the gofer.
    pub call: Doorbell,
}

/// A gofer that serves. It ends when this is dropped, and when the process that holds it ends.
#[derive(Debug)]
pub struct GoferProcess {
    child: Child,
    channel: Channel,
}

impl GoferProcess {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl AsFd for GoferProcess {
    /// A descriptor that polls as hung up when the gofer has ended.
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Drop for GoferProcess {
    fn drop(&mut self) {
        // It ends by the hang-up; this process is in its jail and may not kill it. Failure means
        // that it has ended already. Waiting leaves no zombie behind.
        let _ = shutdown(&self.channel, Shutdown::Both);
        let _ = self.child.wait();
    }
}

/// A gofer that was told what to serve, and may not be ready yet.
#[derive(Debug)]
pub struct StartingGofer(GoferProcess);

impl StartingGofer {
    /// Waits until it serves.
    ///
    /// # Errors
    /// If a source cannot be served.
    pub fn ready(self) -> Result<GoferProcess> {
        await_ready(&self.0.channel)?;
        Ok(self.0)
    }
}

/// Starts a gofer that is told on the other end of `remote` what to serve. It dies with the thread
/// that calls this, and has none of its streams, which are a container's.
///
/// # Errors
/// If the process cannot be started.
pub fn spawn_unasked(remote: OwnedFd) -> io::Result<Child> {
    command(Path::new("/proc/self/exe"), remote).stderr(Stdio::null()).spawn()
}

/// Tells the gofer at the other end of `channel` what to serve, and waits until it does.
///
/// # Errors
/// If a source cannot be served, or the gofer has ended.
pub fn instruct(channel: &Channel, mounts: &[GoferMount]) -> Result<()> {
    // A gofer that failed early has closed its end; its response says why.
    let _ = send_all(channel, mounts);
    await_ready(channel)
}

fn await_ready(channel: &Channel) -> Result<()> {
    match channel.receive::<Response>().map_err(start_failure)?.0 {
        Response::Ready => Ok(()),
        Response::Failed { cause } => Err(Failure::new(
            format_args!("cannot serve the container's files: {cause}"),
            "check the root and the mounts of config.json",
        )),
    }
}

/// Starts a gofer that is to serve `mounts`. To be called from a thread that lives as long as the
/// sandbox: the gofer dies with it (PR_SET_PDEATHSIG).
///
/// # Errors
/// If the process cannot be started.
pub fn spawn(mounts: &[GoferMount]) -> Result<StartingGofer> {
    spawn_from(Path::new("/proc/self/exe"), mounts)
}

/// The same with the `sandbox-vmm` binary at `executable`, for processes that are not it.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_from(executable: &Path, mounts: &[GoferMount]) -> Result<StartingGofer> {
    let (channel, remote) = Channel::pair().map_err(start_failure)?;
    // The command, which has a copy of the gofer's end that would hide a hang-up, goes at once.
    let child = command(executable, remote.into()).spawn().map_err(start_failure)?;
    let process = GoferProcess { child, channel };
    // A gofer that failed early has closed its end; its response says why.
    let _ = send_all(&process.channel, mounts);
    Ok(StartingGofer(process))
}

/// The command that is a gofer with the channel `remote`.
fn command(executable: &Path, remote: OwnedFd) -> Command {
    let mut command = Command::new(executable);
    command
        .arg0("sandbox-vmm")
        .arg(SUBCOMMAND)
        .env_clear()
        .stdin(Stdio::from(remote))
        .stdout(Stdio::null());
    #[cfg(debug_assertions)]
    command.envs(std::env::vars().filter(|(name, _)| name == crate::seccomp::WITHOUT_VARIABLE));
    inherit_nothing(&mut command);
    command
}

fn send_all(
    channel: &Channel,
    mounts: &[GoferMount],
) -> std::result::Result<(), rustix::io::Errno> {
    for mount in mounts {
        let request = Request::Serve {
            source: Source {
                path: mount.tree.path.as_os_str().as_bytes().to_vec(),
                read_only: mount.tree.read_only,
                submounts: mount.tree.submounts,
            },
            device: mount.device.clone(),
        };
        let descriptors = [mount.window.as_fd(), mount.kick.as_fd(), mount.call.as_fd()];
        channel.send(&request, &descriptors)?;
    }
    channel.send(&Request::Start, &[])
}

fn start_failure(cause: impl std::fmt::Display) -> Failure {
    Failure::new(
        format_args!("cannot start the gofer: {cause}"),
        "check the limits on processes and open files",
    )
}
