//! The sandbox process's side: starting a gofer and ending it.

use std::{
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use guest_abi::device::DeviceDescriptor;
use rustix::net::{Shutdown, shutdown};

use super::{
    SUBCOMMAND,
    channel::{Channel, Request, Response},
    system::inherit_nothing,
};
use crate::{
    error::{Failure, Result},
    virtqueue::Doorbell,
};

/// A tree of files and the device that shows it to the sentry.
#[derive(Debug)]
pub struct GoferMount {
    /// The tree's root: a directory or a file. Symbolic links in the path are followed.
    pub source: PathBuf,
    /// Whether every change is refused.
    pub read_only: bool,
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
        match self.0.channel.receive::<Response>().map_err(start_failure)?.0 {
            Response::Ready => Ok(self.0),
            Response::Failed { cause } => Err(Failure::new(
                format_args!("cannot serve the container's files: {cause}"),
                "check the root and the mounts of config.json",
            )),
        }
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
    let mut command = Command::new(executable);
    command
        .arg0("sandbox-vmm")
        .arg(SUBCOMMAND)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(remote)))
        .stdout(Stdio::null());
    #[cfg(debug_assertions)]
    command.envs(std::env::vars().filter(|(name, _)| name == crate::seccomp::WITHOUT_VARIABLE));
    let child = inherit_nothing(&mut command).spawn().map_err(start_failure)?;
    // The command keeps its copy of the gofer's end, which would hide a hang-up.
    drop(command);
    let process = GoferProcess { child, channel };
    // A gofer that failed early has closed its end; its response says why.
    let _ = send_all(&process.channel, mounts);
    Ok(StartingGofer(process))
}

fn send_all(
    channel: &Channel,
    mounts: &[GoferMount],
) -> std::result::Result<(), rustix::io::Errno> {
    for mount in mounts {
        let request = Request::Serve {
            source: mount.source.as_os_str().as_bytes().to_vec(),
            read_only: mount.read_only,
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
