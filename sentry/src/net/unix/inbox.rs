//! What was sent to a socket and not received yet.

use alloc::{
    collections::VecDeque,
    sync::{Arc, Weak},
    vec::Vec,
};

use super::UnixSocket;
use crate::{
    errno::Errno,
    io::{Destination, TryError, TryResult},
    net::{
        PeerCredentials,
        message::{MessageFlags, Received},
    },
    vfs::OpenFile,
};

/// The most messages in a datagram socket (net.unix.max_dgram_qlen).
const MAX_DATAGRAMS: usize = 512;

/// Bytes of a stream that one message holds, when small writes are joined.
const JOIN_LIMIT: usize = 4096;

/// One message, or a piece of a stream with the same sender.
pub(super) struct Message {
    pub data: Vec<u8>,
    /// Bytes of a stream's piece that were received.
    pub consumed: usize,
    pub files: Vec<Arc<OpenFile>>,
    pub credentials: PeerCredentials,
    /// Address of the sender, encoded; empty for connections.
    pub address: Vec<u8>,
}

/// The inbox.
#[derive(Default)]
pub(super) struct Inbox {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Nothing more will come: the other side has shut down sending, or is gone.
    pub ended: bool,
    /// Nothing more is accepted: the owner has shut down receiving.
    pub closed: bool,
    /// Reported once, by the next operation.
    pub error: Option<Errno>,
    /// Sockets that wait for room.
    senders: Vec<Weak<UnixSocket>>,
}

impl Inbox {
    /// Bytes it holds.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of the next message, or of the whole stream.
    pub fn next_length(&self, stream: bool) -> usize {
        if stream { self.bytes } else { self.messages.front().map_or(0, |next| next.data.len()) }
    }

    /// Bytes it still takes from a sender with a buffer of `limit` bytes.
    pub const fn room(&self, limit: usize) -> usize {
        limit.saturating_sub(self.bytes)
    }

    /// Whether a whole message of `length` bytes fits. The first always does: its length was
    /// checked against the sender's buffer.
    pub fn fits(&self, length: usize, limit: usize) -> bool {
        self.messages.is_empty()
            || (self.messages.len() < MAX_DATAGRAMS && length <= self.room(limit))
    }

    /// Notes that `sender` waits for room.
    pub fn add_sender(&mut self, sender: Weak<UnixSocket>) {
        if !self.senders.iter().any(|other| other.ptr_eq(&sender)) {
            self.senders.push(sender);
        }
    }

    /// Takes who waits for room.
    pub fn take_senders(&mut self) -> Vec<Weak<UnixSocket>> {
        core::mem::take(&mut self.senders)
    }

    /// Adds a message.
    pub fn push(&mut self, message: Message) {
        self.bytes += message.data.len();
        self.messages.push_back(message);
    }

    /// Adds a piece of a stream, to the last one if it is small and of the same sender.
    pub fn push_piece(&mut self, piece: Message) {
        if let Some(last) = self.messages.back_mut()
            && piece.files.is_empty()
            && last.files.is_empty()
            && last.credentials == piece.credentials
            && last.data.len() + piece.data.len() <= JOIN_LIMIT
        {
            self.bytes += piece.data.len();
            last.data.extend_from_slice(&piece.data);
            return;
        }
        self.push(piece);
    }

    /// Receives one message; what does not fit of it is lost (unless peeking).
    pub fn receive_message(
        &mut self,
        destination: &mut dyn Destination,
        flags: MessageFlags,
    ) -> TryResult<Received> {
        let Some(next) = self.messages.front() else { return Err(TryError::WouldBlock) };
        let count = put(destination, &next.data)?;
        let (length, credentials) = (next.data.len(), Some(next.credentials));
        let address = next.address.clone();
        let files = if flags.contains(MessageFlags::PEEK) {
            next.files.clone()
        } else {
            self.bytes -= length;
            self.messages.pop_front().map(|message| message.files).unwrap_or_default()
        };
        Ok(Received { count, length, address, files, credentials, end_of_record: true })
    }

    /// Receives bytes of a stream: up to the next message with files, which ends a receive, or, if
    /// `separate` senders matter, up to the next sender.
    pub fn receive_bytes(
        &mut self,
        destination: &mut dyn Destination,
        flags: MessageFlags,
        separate: bool,
    ) -> TryResult<Received> {
        let peek = flags.contains(MessageFlags::PEEK);
        let mut received = Received::default();
        let mut index = 0;
        while let Some(piece) = self.messages.get_mut(index) {
            let other_sender = received.credentials.is_some_and(|first| first != piece.credentials);
            if destination.remaining() == 0 || (separate && other_sender) {
                break;
            }
            let rest = piece.data.get(piece.consumed..).unwrap_or_default();
            let count = match put(destination, rest) {
                Ok(count) => count,
                Err(error) if received.count == 0 => return Err(error),
                Err(_) => break,
            };
            let finished = count == rest.len();
            received.count += count;
            received.credentials = Some(piece.credentials);
            received.files =
                if peek { piece.files.clone() } else { core::mem::take(&mut piece.files) };
            if peek {
                index += 1;
            } else {
                piece.consumed += count;
                self.bytes -= count;
                if finished {
                    self.messages.pop_front();
                }
            }
            if !received.files.is_empty() || !finished {
                break;
            }
        }
        received.length = received.count;
        Ok(received)
    }

    /// Empties it; the files that were in it.
    pub fn take_files(&mut self) -> Vec<Arc<OpenFile>> {
        self.bytes = 0;
        self.messages.drain(..).flat_map(|message| message.files).collect()
    }
}

/// Puts as much of `bytes` as there is room for. Where a fault cuts it short, a message would be
/// lost in part; so the fault is reported as long as nothing was put.
fn put(destination: &mut dyn Destination, bytes: &[u8]) -> TryResult<usize> {
    let room = destination.remaining().min(bytes.len());
    match bytes.get(..room) {
        Some(bytes) if !bytes.is_empty() => destination.put(bytes),
        _ => Ok(0),
    }
}
