//! Sockets (socket(7)). See README.md.

mod file;
pub mod message;
mod options;
pub mod unix;

pub use file::SocketFile;
pub use options::{SocketOptions, buffer_size};

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::any::Any;

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryResult},
    kernel::{Current, PollEvents, WaitQueue},
    vfs::Blocking,
};
use message::{Control, MessageFlags, Received};

/// AF_UNIX.
pub const AF_UNIX: u16 = 1;

/// How a socket carries data (socket(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SocketKind {
    /// SOCK_STREAM: a connection that carries bytes.
    Stream = 1,
    /// SOCK_DGRAM: messages, each on its own.
    Datagram = 2,
    /// SOCK_SEQPACKET: a connection that carries messages.
    SequencedPacket = 5,
}

impl SocketKind {
    /// The kind with this number.
    ///
    /// # Errors
    /// ESOCKTNOSUPPORT for one that no family here has.
    pub const fn from_number(number: u32) -> Result<Self> {
        match number {
            1 => Ok(Self::Stream),
            // Linux serves SOCK_RAW of AF_UNIX as SOCK_DGRAM.
            2 | 3 => Ok(Self::Datagram),
            5 => Ok(Self::SequencedPacket),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    /// Whether it works over connections.
    pub const fn is_connected(self) -> bool {
        !matches!(self, Self::Datagram)
    }

    /// Whether a receive ends with the message.
    pub const fn has_messages(self) -> bool {
        !matches!(self, Self::Stream)
    }
}

/// Which halves of a connection shutdown(2) ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Nothing more is received.
    pub receive: bool,
    /// Nothing more is sent.
    pub send: bool,
}

impl Shutdown {
    /// From the argument of shutdown(2).
    ///
    /// # Errors
    /// EINVAL.
    pub const fn from_number(how: i32) -> Result<Self> {
        match how {
            0 => Ok(Self { receive: true, send: false }),
            1 => Ok(Self { receive: false, send: true }),
            2 => Ok(Self { receive: true, send: true }),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Process and user at the other side: `struct ucred` (unix(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process id.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl PeerCredentials {
    /// Those of the calling process.
    pub fn of(current: &Current) -> Self {
        let credentials = current.credentials();
        Self {
            pid: current.process().pid(),
            uid: credentials.effective_uid,
            gid: credentials.effective_gid,
        }
    }
}

/// Where a message goes: an address after everything that may wait was done with it.
pub enum Target {
    /// A unix socket.
    Unix(Arc<unix::UnixSocket>),
}

/// A socket of some family. Addresses are `struct sockaddr` bytes, family included.
#[async_trait]
pub trait Socket: Any + Send + Sync {
    /// Address family.
    fn domain(&self) -> u16;

    /// Kind.
    fn kind(&self) -> SocketKind;

    /// Options that all families have. The lock is a leaf.
    fn options(&self) -> &SpinMutex<SocketOptions>;

    /// bind(2).
    ///
    /// # Errors
    /// As bind(2).
    async fn bind(&self, current: &Current, address: &[u8]) -> Result<()>;

    /// listen(2).
    ///
    /// # Errors
    /// As listen(2).
    fn listen(&self, current: &Current, backlog: i32) -> Result<()>;

    /// connect(2); `file` is the open file to wait with.
    ///
    /// # Errors
    /// As connect(2).
    async fn connect(
        &self,
        current: &Current,
        file: &SocketFile,
        address: &[u8],
        blocking: Blocking,
    ) -> Result<()>;

    /// Takes a connection from the backlog.
    ///
    /// # Errors
    /// WouldBlock; EINVAL if it does not listen; EOPNOTSUPP if its kind never does.
    fn try_accept(&self) -> TryResult<Arc<dyn Socket>>;

    /// Finds out where `address` leads.
    ///
    /// # Errors
    /// As sendto(2).
    async fn resolve(&self, current: &Current, address: &[u8]) -> Result<Target>;

    /// Sends what `source` has to `to`, or to the other side; takes `control` if it sent anything.
    ///
    /// # Errors
    /// WouldBlock; as sendmsg(2).
    fn try_send(
        &self,
        to: Option<&Target>,
        source: &mut dyn Source,
        control: &mut Control,
    ) -> TryResult<usize>;

    /// Receives into `destination`.
    ///
    /// # Errors
    /// WouldBlock; as recvmsg(2).
    fn try_receive(
        &self,
        destination: &mut dyn Destination,
        flags: MessageFlags,
    ) -> TryResult<Received>;

    /// shutdown(2).
    ///
    /// # Errors
    /// ENOTCONN.
    fn shutdown(&self, how: Shutdown) -> Result<()>;

    /// getsockname(2).
    fn local_address(&self) -> Vec<u8>;

    /// getpeername(2).
    ///
    /// # Errors
    /// ENOTCONN.
    fn peer_address(&self) -> Result<Vec<u8>>;

    /// Who connected or listened at the other side (SO_PEERCRED).
    ///
    /// # Errors
    /// ENOPROTOOPT if the family does not know.
    fn peer_credentials(&self) -> Result<PeerCredentials> {
        Err(Errno::ENOPROTOOPT)
    }

    /// Whether it listens (SO_ACCEPTCONN).
    fn is_listening(&self) -> bool;

    /// The error to report once (SO_ERROR).
    fn take_error(&self) -> Option<Errno>;

    /// Bytes that could be received (SIOCINQ).
    fn waiting_input(&self) -> usize;

    /// Bytes sent that the other side has not received (SIOCOUTQ).
    fn waiting_output(&self) -> usize;

    /// Readiness.
    fn poll(&self) -> PollEvents;

    /// Where to wait.
    fn wait_queue(&self) -> &WaitQueue;
}
