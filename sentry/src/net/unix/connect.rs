//! Connections, and the socket as the rest of the sentry sees it.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use super::{
    UnixAddress, UnixSocket,
    socket::{Role, readable},
};
use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryError, TryResult},
    kernel::{Current, PollEvents, WaitQueue},
    net::{
        AF_UNIX, PeerCredentials, Shutdown, Socket, SocketFile, SocketKind, SocketOptions, Target,
        message::{Control, MessageFlags, Received},
    },
    vfs::Blocking,
};

/// The largest backlog of listen(2) (net.core.somaxconn).
const MAX_BACKLOG: usize = 4096;

impl UnixSocket {
    /// Starts to listen, or changes the backlog.
    pub(super) fn start_listening(
        &self,
        backlog: usize,
        credentials: PeerCredentials,
    ) -> Result<()> {
        if !self.kind.is_connected() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if state.address == UnixAddress::Unnamed {
            return Err(Errno::EINVAL);
        }
        let pending = match core::mem::take(&mut state.role) {
            Role::Idle => VecDeque::new(),
            Role::Listening { pending, .. } => pending,
            connected @ Role::Connected(_) => {
                state.role = connected;
                return Err(Errno::EINVAL);
            }
        };
        state.role = Role::Listening { backlog: backlog.min(MAX_BACKLOG), pending, credentials };
        Ok(())
    }

    /// Tries to connect to `listener`: the connection exists from here on, even before accept(2).
    pub(super) fn try_connect(
        &self,
        listener: &Arc<Self>,
        credentials: PeerCredentials,
    ) -> TryResult<()> {
        if listener.kind != self.kind {
            return Err(Errno::EPROTOTYPE.into());
        }
        match &self.state.lock().role {
            Role::Connected(_) => return Err(Errno::EISCONN.into()),
            Role::Listening { .. } => return Err(Errno::EINVAL.into()),
            Role::Idle => {}
        }
        let this = self.this.upgrade().ok_or(Errno::ECONNREFUSED)?;
        let address = self.state.lock().address.clone();
        let server = Self::new(self.shared.clone(), self.kind, listener.owner);
        server.set_peer(&this, credentials, address);
        let (listener_address, listener_credentials) = listener.enqueue(&server, &self.this)?;
        self.set_peer(&server, listener_credentials, listener_address);
        listener.queue.wake(readable());
        Ok(())
    }

    /// Puts `server` into the backlog; its address, and who listens. WouldBlock if it is full.
    fn enqueue(
        &self,
        server: &Arc<Self>,
        client: &alloc::sync::Weak<Self>,
    ) -> TryResult<(UnixAddress, PeerCredentials)> {
        let mut state = self.state.lock();
        let address = state.address.clone();
        let Role::Listening { backlog, pending, credentials } = &mut state.role else {
            return Err(Errno::ECONNREFUSED.into());
        };
        if pending.len() > *backlog {
            drop(state);
            self.inbox.lock().add_sender(client.clone());
            return Err(TryError::WouldBlock);
        }
        let credentials = *credentials;
        {
            let mut accepted = server.state.lock();
            accepted.address = address.clone();
            accepted.accepted = true;
        }
        pending.push_back(server.clone());
        Ok((address, credentials))
    }

    /// Takes a connection from the backlog.
    pub(super) fn accept(&self) -> TryResult<Arc<Self>> {
        if !self.kind.is_connected() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let next = match &mut self.state.lock().role {
            Role::Listening { pending, .. } => pending.pop_front(),
            _ => return Err(Errno::EINVAL.into()),
        };
        let accepted = next.ok_or(TryError::WouldBlock)?;
        self.wake_senders();
        Ok(accepted)
    }

    /// Sets, changes or (`None`) removes the peer of a datagram socket.
    pub(super) fn associate(&self, peer: Option<&Arc<Self>>) -> Result<()> {
        let Some(peer) = peer else {
            let mut state = self.state.lock();
            state.role = Role::Idle;
            state.peer_address = UnixAddress::Unnamed;
            return Ok(());
        };
        peer.check_accepts_from(self)?;
        let address = peer.state.lock().address.clone();
        self.set_peer(peer, peer.owner, address);
        Ok(())
    }
}

#[async_trait]
impl Socket for UnixSocket {
    fn domain(&self) -> u16 {
        AF_UNIX
    }

    fn kind(&self) -> SocketKind {
        self.kind
    }

    fn options(&self) -> &SpinMutex<SocketOptions> {
        &self.options
    }

    async fn bind(&self, current: &Current, address: &[u8]) -> Result<()> {
        self.bind_to(current, UnixAddress::decode(address)?).await
    }

    fn listen(&self, current: &Current, backlog: i32) -> Result<()> {
        let backlog = usize::try_from(backlog).unwrap_or(MAX_BACKLOG);
        self.start_listening(backlog, PeerCredentials::of(current))
    }

    async fn connect(
        &self,
        current: &Current,
        file: &SocketFile,
        address: &[u8],
        blocking: Blocking,
    ) -> Result<()> {
        if self.kind == SocketKind::Datagram {
            // AF_UNSPEC ends the association (connect(2)).
            if address.first_chunk() == Some(&[0, 0]) {
                return self.associate(None);
            }
            let peer = self.find(current, &UnixAddress::decode(address)?).await?;
            return self.associate(Some(&peer));
        }
        let listener = self.find(current, &UnixAddress::decode(address)?).await?;
        let credentials = PeerCredentials::of(current);
        let attempt = || self.try_connect(&listener, credentials);
        current.retry(file, PollEvents::OUT, blocking, attempt).await
    }

    fn try_accept(&self) -> TryResult<Arc<dyn Socket>> {
        let accepted = self.accept()?;
        Ok(accepted)
    }

    async fn resolve(&self, current: &Current, address: &[u8]) -> Result<Target> {
        let found = self.find(current, &UnixAddress::decode(address)?).await?;
        Ok(Target::Unix(found))
    }

    fn try_send(
        &self,
        to: Option<&Target>,
        source: &mut dyn Source,
        control: &mut Control,
    ) -> TryResult<usize> {
        let to = to.map(|Target::Unix(socket)| socket);
        self.send(to, source, control)
    }

    fn try_receive(
        &self,
        destination: &mut dyn Destination,
        flags: MessageFlags,
    ) -> TryResult<Received> {
        self.receive(destination, flags)
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        if self.kind.is_connected() && !self.state.lock().was_connected {
            return Err(Errno::ENOTCONN);
        }
        self.end(how);
        Ok(())
    }

    fn local_address(&self) -> Vec<u8> {
        self.state.lock().address.encode()
    }

    fn peer_address(&self) -> Result<Vec<u8>> {
        let state = self.state.lock();
        match &state.role {
            Role::Connected(_) => Ok(state.peer_address.encode()),
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn peer_credentials(&self) -> Result<PeerCredentials> {
        // Without a peer Linux answers pid 0 and the ids -1.
        let nobody = PeerCredentials { pid: 0, uid: u32::MAX, gid: u32::MAX };
        Ok(self.state.lock().peer_credentials.unwrap_or(nobody))
    }

    fn is_listening(&self) -> bool {
        self.is_listening()
    }

    fn take_error(&self) -> Option<Errno> {
        self.inbox.lock().error.take()
    }

    fn waiting_input(&self) -> usize {
        self.inbox.lock().next_length(!self.kind.has_messages())
    }

    fn waiting_output(&self) -> usize {
        self.peer().map_or(0, |peer| peer.inbox.lock().bytes())
    }

    fn poll(&self) -> PollEvents {
        self.events()
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}
