//! A socket as an open file.

use alloc::{boxed::Box, sync::Arc};

use async_trait::async_trait;

use super::{
    Socket,
    message::{Control, MessageFlags},
};
use crate::{
    errno::{Errno, Result},
    fs::{FIONREAD, next_inode, write_count},
    io::{Destination, Source, TryResult},
    kernel::{Current, PollEvents, WaitQueue},
    vfs::{Anonymous, File, WritePosition, Written},
};

/// ioctl(2) command that asks for the number of bytes sent and not received.
const SIOCOUTQ: u32 = 0x5411;

/// The file.
pub struct SocketFile {
    socket: Arc<dyn Socket>,
    inode: u64,
}

impl SocketFile {
    /// A file for `socket`.
    pub fn new(socket: Arc<dyn Socket>) -> Self {
        Self { socket, inode: next_inode() }
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

    async fn ioctl(&self, current: &mut Current, command: u32, argument: u64) -> Result<u64> {
        match command {
            FIONREAD => write_count(current, argument, self.socket.waiting_input()).await,
            SIOCOUTQ => write_count(current, argument, self.socket.waiting_output()).await,
            _ => Err(Errno::ENOTTY),
        }
    }

    fn signals_broken_pipe(&self) -> bool {
        !self.socket.kind().has_messages()
    }

    fn poll(&self) -> PollEvents {
        self.socket.poll()
    }

    fn anonymous(&self) -> Anonymous {
        Anonymous::socket(self.inode)
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.socket.wait_queue())
    }
}
