//! The socket itself: its state, and what happens when it goes.

use alloc::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use spin::mutex::SpinMutex;

use super::{UnixAddress, UnixSockets, inbox::Inbox};
use crate::{
    errno::Errno,
    kernel::{PollEvents, WaitQueue},
    net::{PeerCredentials, Shutdown, SocketKind, SocketOptions},
    vfs::InodeKey,
};

/// A unix socket.
///
/// Lock order: `state` or `inbox`, never both, and never those of two sockets; both before the
/// locks of user memory.
pub struct UnixSocket {
    pub(super) kind: SocketKind,
    pub(super) shared: Arc<UnixSockets>,
    /// Who made it; sent with messages that name no credentials.
    pub(super) owner: PeerCredentials,
    pub(super) state: SpinMutex<State>,
    pub(super) inbox: SpinMutex<Inbox>,
    pub(super) options: SpinMutex<SocketOptions>,
    pub(super) queue: WaitQueue,
    pub(super) this: Weak<Self>,
}

#[derive(Default)]
pub(super) struct State {
    pub address: UnixAddress,
    /// The inode it is bound to.
    pub inode: Option<InodeKey>,
    pub role: Role,
    /// It came from a listener, whose name it shows but does not own.
    pub accepted: bool,
    /// Sending was shut down.
    pub send_shutdown: bool,
    /// A connection was made at some time; only its absence is ENOTCONN.
    pub was_connected: bool,
    pub peer_credentials: Option<PeerCredentials>,
    pub peer_address: UnixAddress,
}

/// What a socket does.
#[derive(Default)]
pub(super) enum Role {
    /// Nothing yet.
    #[default]
    Idle,
    /// It waits for connections.
    Listening {
        /// The most in `pending`.
        backlog: usize,
        /// Connections made and not accepted.
        pending: VecDeque<Arc<UnixSocket>>,
        /// Who listens: what connecting sockets see as SO_PEERCRED.
        credentials: PeerCredentials,
    },
    /// It talks to this one.
    Connected(Weak<UnixSocket>),
}

pub(super) fn readable() -> PollEvents {
    PollEvents::IN | PollEvents::READ_NORMAL
}

pub(super) fn writable() -> PollEvents {
    PollEvents::OUT | PollEvents::WRITE_NORMAL | PollEvents::WRITE_BAND
}

impl UnixSocket {
    /// A socket that is not connected, made by `owner`.
    pub fn new(shared: Arc<UnixSockets>, kind: SocketKind, owner: PeerCredentials) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            kind,
            shared,
            owner,
            state: SpinMutex::default(),
            inbox: SpinMutex::default(),
            options: SpinMutex::default(),
            queue: WaitQueue::new(),
            this: this.clone(),
        })
    }

    /// Two sockets connected to each other (socketpair(2)).
    pub fn pair(
        shared: &Arc<UnixSockets>,
        kind: SocketKind,
        owner: PeerCredentials,
    ) -> (Arc<Self>, Arc<Self>) {
        let one = Self::new(shared.clone(), kind, owner);
        let other = Self::new(shared.clone(), kind, owner);
        one.set_peer(&other, owner, UnixAddress::Unnamed);
        other.set_peer(&one, owner, UnixAddress::Unnamed);
        (one, other)
    }

    pub(super) fn set_peer(
        &self,
        peer: &Arc<Self>,
        credentials: PeerCredentials,
        address: UnixAddress,
    ) {
        let mut state = self.state.lock();
        state.role = Role::Connected(Arc::downgrade(peer));
        state.was_connected = true;
        state.peer_credentials = Some(credentials);
        state.peer_address = address;
    }

    /// The other side, if it is connected and the other side exists.
    pub(super) fn peer(&self) -> Option<Arc<Self>> {
        match &self.state.lock().role {
            Role::Connected(peer) => peer.upgrade(),
            _ => None,
        }
    }

    /// Ends the halves that `how` says, on both sides.
    pub(super) fn end(&self, how: Shutdown) {
        if how.send {
            self.state.lock().send_shutdown = true;
        }
        if how.receive {
            self.inbox.lock().closed = true;
        }
        self.queue.wake_all();
        let Some(peer) = self.peer().filter(|_| self.kind.is_connected()) else { return };
        if how.send {
            peer.inbox.lock().ended = true;
        }
        peer.queue.wake_all();
    }

    /// The other side is gone; with unread data there, that is an error (as in Linux).
    pub(super) fn peer_gone(&self, unread: bool) {
        let mut inbox = self.inbox.lock();
        inbox.ended = true;
        if unread {
            inbox.error = Some(Errno::ECONNRESET);
        }
        drop(inbox);
        self.queue.wake_all();
    }

    /// Wakes who waits for room in the inbox.
    pub(super) fn wake_senders(&self) {
        if self.kind.is_connected()
            && let Some(peer) = self.peer()
        {
            peer.queue.wake(writable());
        }
        let senders = self.inbox.lock().take_senders();
        for sender in senders.iter().filter_map(Weak::upgrade) {
            sender.queue.wake(writable());
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state.lock().role, Role::Listening { .. })
    }

    /// Readiness, as unix_poll of Linux answers it.
    pub(super) fn events(&self) -> PollEvents {
        if let Role::Listening { pending, .. } = &self.state.lock().role {
            return if pending.is_empty() { PollEvents::empty() } else { readable() };
        }
        let peer = self.peer();
        let (send_shutdown, was_connected) = {
            let state = self.state.lock();
            (state.send_shutdown, state.was_connected)
        };
        let mut events = PollEvents::empty();
        let inbox = self.inbox.lock();
        let connection_gone = self.kind.is_connected() && peer.is_none();
        let ended = inbox.ended || inbox.closed;
        events.set(readable(), !inbox.is_empty() || ended);
        events.set(PollEvents::READ_HANG_UP, ended);
        events.set(PollEvents::HANG_UP, (ended && send_shutdown) || connection_gone);
        events.set(PollEvents::ERROR, inbox.error.is_some());
        drop(inbox);
        // One that never was connected is "writable": a write fails at once.
        let failing = connection_gone && !was_connected;
        events.set(writable(), failing || self.has_room(peer.as_deref()));
        events
    }

    /// Whether a send would find room. If not, a datagram socket is told when there is.
    fn has_room(&self, peer: Option<&Self>) -> bool {
        let limit = self.options.lock().send_buffer;
        let Some(peer) = peer else { return true };
        let mut inbox = peer.inbox.lock();
        let room =
            if self.kind.has_messages() { inbox.fits(1, limit) } else { inbox.room(limit) > 0 };
        if !room && !self.kind.is_connected() {
            inbox.add_sender(self.this.clone());
        }
        room
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        match (&state.address, state.inode) {
            (_, Some(key)) => self.shared.remove_inode(key),
            (UnixAddress::Abstract(name), None) if !state.accepted => {
                self.shared.remove_abstract(name);
            }
            _ => {}
        }
        let role = core::mem::take(&mut state.role);
        let inbox = self.inbox.get_mut();
        let unread = !inbox.is_empty();
        let senders = inbox.take_senders();
        let files = inbox.take_files();
        if let Role::Connected(peer) = &role
            && self.kind.is_connected()
            && let Some(peer) = peer.upgrade()
        {
            peer.peer_gone(unread);
        }
        for sender in senders.iter().filter_map(Weak::upgrade) {
            sender.queue.wake_all();
        }
        self.shared.in_flight.abandon(files);
    }
}
