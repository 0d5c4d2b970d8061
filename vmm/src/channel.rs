//! Messages with descriptors between our own processes.
//!
//! A pair of SOCK_SEQPACKET sockets (unix(7)): each message arrives whole or not at all, and the
//! end of either process shows as a hang-up.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use guest_abi::message;
use rustix::{
    io::{Errno, retry_on_intr},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
        sendmsg, socketpair,
    },
};
use serde::{Serialize, de::DeserializeOwned};

/// Most bytes of one message.
pub const MAX_MESSAGE: usize = 96 << 10;

/// Most descriptors of one message.
const MAX_DESCRIPTORS: usize = 6;

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
        self.send_with(body, descriptors, SendFlags::NOSIGNAL)
    }

    /// The same without waiting for a peer that does not read.
    ///
    /// # Errors
    /// `EAGAIN` if the peer has too much unread already; as [`Self::send`].
    pub fn try_send(&self, body: &impl Serialize) -> Result<(), Errno> {
        self.try_send_with(body, &[])
    }

    /// The same with `descriptors`.
    ///
    /// # Errors
    /// As [`Self::try_send`].
    pub fn try_send_with(
        &self,
        body: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        self.send_with(body, descriptors, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn send_with(
        &self,
        body: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
        flags: SendFlags,
    ) -> Result<(), Errno> {
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
        retry_on_intr(|| sendmsg(&self.0, &parts, &mut control, flags)).map(|_| ())
    }

    /// Receives one message and its descriptors.
    ///
    /// # Errors
    /// `ECONNRESET` if the other end is closed, `EBADMSG` if the message is malformed, else those
    /// of recvmsg(2).
    pub fn receive<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>), Errno> {
        self.receive_with(RecvFlags::CMSG_CLOEXEC)
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// `EAGAIN` if there is no message; as [`Self::receive`].
    pub fn try_receive<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>), Errno> {
        self.receive_with(RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT)
    }

    fn receive_with<T: DeserializeOwned>(
        &self,
        flags: RecvFlags,
    ) -> Result<(T, Vec<OwnedFd>), Errno> {
        let mut bytes = vec![0; self.next_length(flags)?.min(MAX_MESSAGE)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry_on_intr(|| {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            recvmsg(&self.0, &mut parts, &mut control, flags)
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

impl Channel {
    /// Length of the next message: most are small, and so is who waits for them.
    fn next_length(&self, flags: RecvFlags) -> Result<usize, Errno> {
        let look = RecvFlags::PEEK | RecvFlags::TRUNC | (flags & RecvFlags::DONTWAIT);
        // With MSG_TRUNC, what is returned is the length of the message (recv(2)).
        let received =
            retry_on_intr(|| recvmsg(&self.0, &mut [], &mut RecvAncillaryBuffer::default(), look))?;
        if received.bytes == 0 { Err(Errno::CONNRESET) } else { Ok(received.bytes) }
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

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_messages_and_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        let (extra, _keep) = Channel::pair().unwrap();
        assert_eq!(other.try_receive::<u32>().unwrap_err(), Errno::AGAIN);
        one.send(&7_u32, &[extra.as_fd()]).unwrap();
        let (body, descriptors) = other.receive::<u32>().unwrap();
        assert_eq!((body, descriptors.len()), (7, 1));
    }

    #[test]
    fn tells_a_closed_end_and_a_malformed_message() {
        let (one, other) = Channel::pair().unwrap();
        one.send(&0xff_u8, &[]).unwrap();
        assert_eq!(other.receive::<String>().unwrap_err(), Errno::BADMSG);
        drop(one);
        assert_eq!(other.receive::<u32>().unwrap_err(), Errno::CONNRESET);
    }
}
