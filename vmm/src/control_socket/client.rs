//! The side of a command.

use std::{
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind as bind_socket, connect,
        listen, socket_with,
    },
};

use super::{Reply, Request, SOCKET_NAME};
use crate::channel::Channel;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// How long a reply may take that needs nothing but a sandbox process that serves its sockets.
pub const PROMPT: Duration = Duration::from_secs(10);

/// A connection to a sandbox process.
#[derive(Debug)]
pub struct Client(Channel);

/// The listening socket in the state directory `directory`.
///
/// # Errors
/// Those of bind(2).
pub fn bind(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let socket = make_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    bind_socket(&socket, &address(directory)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

impl Client {
    /// Connects to the sandbox process of the container with the state directory `directory`.
    ///
    /// # Errors
    /// `ECONNREFUSED` if that process is gone; those of connect(2).
    pub fn connect(directory: BorrowedFd<'_>) -> Result<Self, Errno> {
        let socket = make_socket(SocketFlags::CLOEXEC)?;
        connect(&socket, &address(directory)?)?;
        Ok(Self(Channel::from(socket)))
    }

    /// Sends `request` and waits for the reply; without `limit` as long as it takes.
    ///
    /// # Errors
    /// `ETIMEDOUT` if it takes longer, `ECONNRESET` if the sandbox process ends first.
    pub fn ask(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
        limit: Option<Duration>,
    ) -> Result<Reply, Errno> {
        self.0.send(request, descriptors)?;
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        if retry_on_intr(|| poll(&mut polled, limit.as_ref()))? == 0 {
            return Err(Errno::TIMEDOUT);
        }
        self.0.receive().map(|(reply, _)| reply)
    }

    /// The same for one that is answered with descriptors.
    ///
    /// # Errors
    /// `ECONNRESET` if the sandbox process ends first.
    pub fn ask_for_descriptors(&self, request: &Request) -> Result<(Reply, Vec<OwnedFd>), Errno> {
        self.0.send(request, &[])?;
        self.0.receive()
    }
}

fn make_socket(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// The socket's name by way of a descriptor: its path may be longer than a socket address holds
/// (unix(7), 108 bytes).
fn address(directory: BorrowedFd<'_>) -> Result<SocketAddrUnix, Errno> {
    let directory = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    SocketAddrUnix::new(directory.join(SOCKET_NAME))
}
