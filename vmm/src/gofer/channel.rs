//! The configuration channel: messages and descriptors from the sandbox process to its gofer.
//!
//! A pair of SOCK_SEQPACKET sockets. The sandbox process sends one [`Request::Serve`] for each
//! device, then [`Request::Start`]; the gofer sends one [`Response`]. After that nothing is said;
//! the end of either process shows as a hang-up.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use guest_abi::{device::DeviceDescriptor, message};
use rustix::{
    io::{Errno, retry_on_intr},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
        sendmsg, socketpair,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Most bytes of one message.
const MAX_MESSAGE: usize = 64 << 10;

/// Most descriptors of one message.
const MAX_DESCRIPTORS: usize = 3;

/// From the sandbox process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Serve a tree; carries the descriptors of window, kick and call.
    Serve {
        /// Path of the tree's root, as bytes.
        source: Vec<u8>,
        /// Refuse every change.
        read_only: bool,
        /// The device.
        device: DeviceDescriptor,
    },
    /// That was all: close the jail and serve.
    Start,
}

/// From the gofer, in answer to [`Request::Start`] or as soon as something fails.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// It serves.
    Ready,
    /// It cannot, and ends.
    Failed {
        /// One line: what failed and why.
        cause: String,
    },
}

/// One end.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Two connected ends.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> Result<(Self, Self), Errno> {
        let kind = SocketType::SEQPACKET;
        let (one, other) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    /// Sends `body` with `descriptors`.
    ///
    /// # Errors
    /// `EMSGSIZE` if it is too large, else those of sendmsg(2).
    pub fn send(&self, body: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let bytes = message::encode(body).map_err(|_| Errno::MSGSIZE)?;
        if bytes.len() > MAX_MESSAGE || descriptors.len() > MAX_DESCRIPTORS {
            return Err(Errno::MSGSIZE);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let parts = [IoSlice::new(&bytes)];
        retry_on_intr(|| sendmsg(&self.0, &parts, &mut control, SendFlags::NOSIGNAL)).map(|_| ())
    }

    /// Receives one message and its descriptors.
    ///
    /// # Errors
    /// `ECONNRESET` if the other end is closed, `EBADMSG` if the message is malformed, else those
    /// of recvmsg(2).
    pub fn receive<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>), Errno> {
        let mut bytes = vec![0; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry_on_intr(|| {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            recvmsg(&self.0, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
        })?;
        let descriptors = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        if received.bytes == 0 {
            return Err(Errno::CONNRESET);
        }
        let body = bytes.get(..received.bytes).ok_or(Errno::BADMSG)?;
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(Errno::BADMSG);
        }
        let body = message::decode(body).map_err(|_| Errno::BADMSG)?;
        Ok((body, descriptors))
    }
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_messages_and_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        let (extra, _keep) = Channel::pair().unwrap();
        one.send(&Request::Start, &[extra.as_fd()]).unwrap();
        let (request, descriptors) = other.receive::<Request>().unwrap();
        assert!(matches!(request, Request::Start));
        assert_eq!(descriptors.len(), 1);
    }

    #[test]
    fn tells_a_closed_end_and_a_malformed_message() {
        let (one, other) = Channel::pair().unwrap();
        one.send(&0xff_u8, &[]).unwrap();
        assert_eq!(other.receive::<Request>().unwrap_err(), Errno::BADMSG);
        drop(one);
        assert_eq!(other.receive::<Request>().unwrap_err(), Errno::CONNRESET);
    }
}
