//! Sending and receiving.

use alloc::{sync::Arc, vec::Vec};

use super::{
    UnixSocket,
    inbox::{Inbox, Message},
    socket::{Role, readable},
};
use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryError, TryResult},
    net::message::{Control, MessageFlags, Received},
};

/// The most bytes of a stream that one message takes, so that a large send does not need one large
/// allocation.
const PIECE: usize = 64 << 10;

impl UnixSocket {
    /// Sends to `to`, or to the other side.
    pub(super) fn send(
        &self,
        to: Option<&Arc<Self>>,
        source: &mut dyn Source,
        control: &mut Control,
    ) -> TryResult<usize> {
        if self.state.lock().send_shutdown {
            return Err(Errno::EPIPE.into());
        }
        let peer = self.receiver(to)?;
        let limit = self.options.lock().send_buffer;
        if self.kind.has_messages() {
            self.send_message(&peer, source, control, limit)
        } else {
            self.send_bytes(&peer, source, control, limit)
        }
    }

    /// Who gets what is sent.
    fn receiver(&self, to: Option<&Arc<Self>>) -> Result<Arc<Self>> {
        if self.kind.is_connected() {
            if to.is_some() {
                let connected = matches!(self.state.lock().role, Role::Connected(_));
                return Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
            }
            return self.peer().ok_or_else(|| {
                let was_connected = self.state.lock().was_connected;
                if was_connected { Errno::EPIPE } else { Errno::ENOTCONN }
            });
        }
        if let Some(to) = to {
            to.check_accepts_from(self)?;
            return Ok(to.clone());
        }
        match &self.state.lock().role {
            Role::Connected(peer) => peer.upgrade().ok_or(Errno::ECONNREFUSED),
            _ => Err(Errno::ENOTCONN),
        }
    }

    /// Datagrams go only between datagram sockets, and one that is connected takes them from its
    /// peer alone.
    pub(super) fn check_accepts_from(&self, sender: &Self) -> Result<()> {
        if self.kind != sender.kind {
            return Err(Errno::EPROTOTYPE);
        }
        match &self.state.lock().role {
            Role::Connected(peer) if !core::ptr::eq(peer.as_ptr(), sender) => Err(Errno::EPERM),
            _ => Ok(()),
        }
    }

    fn send_message(
        &self,
        peer: &Arc<Self>,
        source: &mut dyn Source,
        control: &mut Control,
        limit: usize,
    ) -> TryResult<usize> {
        let length = source.remaining();
        if length > limit {
            return Err(Errno::EMSGSIZE.into());
        }
        let mut inbox = peer.inbox.lock();
        check_open(&inbox)?;
        if !inbox.fits(length, limit) {
            if !self.kind.is_connected() {
                inbox.add_sender(self.this.clone());
            }
            return Err(TryError::WouldBlock);
        }
        let data = take(source, length)?;
        let message = self.message(data, control)?;
        inbox.push(message);
        drop(inbox);
        peer.queue.wake(readable());
        Ok(length)
    }

    fn send_bytes(
        &self,
        peer: &Arc<Self>,
        source: &mut dyn Source,
        control: &mut Control,
        limit: usize,
    ) -> TryResult<usize> {
        let mut inbox = peer.inbox.lock();
        check_open(&inbox)?;
        if source.remaining() == 0 {
            return Ok(0);
        }
        let length = source.remaining().min(inbox.room(limit)).min(PIECE);
        if length == 0 {
            return Err(TryError::WouldBlock);
        }
        let mut data = Vec::new();
        data.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        data.resize(length, 0);
        let count = source.take(&mut data)?;
        data.truncate(count);
        let piece = self.message(data, control)?;
        inbox.push_piece(piece);
        drop(inbox);
        peer.queue.wake(readable());
        Ok(count)
    }

    fn message(&self, data: Vec<u8>, control: &mut Control) -> Result<Message> {
        self.shared.in_flight.add(control.files.len(), control.in_flight_limit)?;
        let address =
            if self.kind.is_connected() { Vec::new() } else { self.state.lock().address.encode() };
        Ok(Message {
            data,
            consumed: 0,
            files: core::mem::take(&mut control.files),
            credentials: control.credentials.unwrap_or(self.owner),
            address,
        })
    }

    /// Receives.
    pub(super) fn receive(
        &self,
        destination: &mut dyn Destination,
        flags: MessageFlags,
    ) -> TryResult<Received> {
        if self.kind.is_connected() && !self.state.lock().was_connected {
            let errno = if self.kind.has_messages() { Errno::ENOTCONN } else { Errno::EINVAL };
            return Err(errno.into());
        }
        let separate = self.options.lock().pass_credentials;
        let mut inbox = self.inbox.lock();
        if let Some(error) = inbox.error.take() {
            return Err(error.into());
        }
        if inbox.is_empty() {
            let finished = inbox.closed || inbox.ended;
            return if finished { Ok(Received::default()) } else { Err(TryError::WouldBlock) };
        }
        let received = if self.kind.has_messages() {
            inbox.receive_message(destination, flags)?
        } else {
            inbox.receive_bytes(destination, flags, separate)?
        };
        drop(inbox);
        if !flags.contains(MessageFlags::PEEK) {
            self.shared.in_flight.remove(received.files.len());
            self.wake_senders();
        }
        Ok(received)
    }
}

/// Whether the owner of an inbox still receives.
fn check_open(inbox: &Inbox) -> Result<()> {
    if inbox.closed { Err(Errno::EPIPE) } else { Ok(()) }
}

/// All `length` bytes of a message.
fn take(source: &mut dyn Source, length: usize) -> TryResult<Vec<u8>> {
    let mut data = Vec::new();
    data.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    data.resize(length, 0);
    let mut done = 0;
    while let Some(rest) = data.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match source.take(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            // What was taken cannot be given back, so the message cannot be tried again. sendmsg(2)
            // copies messages before it comes here; only write(2) from unread memory meets this.
            Err(_) if done > 0 => return Err(Errno::EFAULT.into()),
            Err(error) => return Err(error),
        }
    }
    Ok(data)
}
