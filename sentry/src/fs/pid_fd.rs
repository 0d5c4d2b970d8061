//! pidfd_open(2): a process as a file.

use alloc::sync::Arc;

use crate::{
    kernel::{PollEvents, Process, WaitQueue},
    vfs::{Anonymous, File},
};

/// An open process. It can be read when the process has exited.
pub struct PidFd(Arc<Process>);

impl PidFd {
    /// A file of `process`.
    pub fn new(process: Arc<Process>) -> Arc<Self> {
        Arc::new(Self(process))
    }

    /// The process; it may have been reaped.
    pub const fn process(&self) -> &Arc<Process> {
        &self.0
    }
}

impl File for PidFd {
    fn poll(&self) -> PollEvents {
        match self.0.exit_status() {
            Some(_) => PollEvents::IN | PollEvents::READ_NORMAL,
            None => PollEvents::empty(),
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.exited)
    }

    fn anonymous(&self) -> Anonymous {
        Anonymous::inode("pidfd")
    }
}
