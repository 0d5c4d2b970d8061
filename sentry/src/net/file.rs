//! A socket as an open file.

use alloc::sync::Arc;

use async_trait::async_trait;

use super::{
    Socket,
    message::{Control, MessageFlags},
};
use crate::{
    io::{Destination, Source, TryResult},
    kernel::{PollEvents, WaitQueue},
    vfs::{File, WritePosition, Written},
};

/// The file.
pub struct SocketFile {
    socket: Arc<dyn Socket>,
}

impl SocketFile {
    /// A file for `socket`.
    pub const fn new(socket: Arc<dyn Socket>) -> Self {
        Self { socket }
    }

    /// The socket.
    pub fn socket(&self) -> &Arc<dyn Socket> {
        &self.socket
    }
}

#[async_trait]
impl File for SocketFile {
    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        // Descriptors that come with the bytes are closed, as read(2) does.
        self.socket.try_receive(destination, MessageFlags::empty()).map(|received| received.count)
    }

    fn try_write(&self, _at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        let count = self.socket.try_send(None, source, &mut Control::default())?;
        Ok(Written { count, end: 0 })
    }

    fn poll(&self) -> PollEvents {
        self.socket.poll()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.socket.wait_queue())
    }
}
