//! On whose behalf the file system acts.

use alloc::sync::Arc;

use crate::kernel::{Container, Credentials, Kernel, Task};

/// Who opens a file or reads a link. What a file of /proc shows, and which terminal /dev/tty is,
/// depends on it.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The kernel.
    pub kernel: &'a Arc<Kernel>,
    /// The task; `None` if it is the kernel itself (boot).
    pub task: Option<&'a Arc<Task>>,
    /// The identity to act as.
    pub credentials: &'a Credentials,
}

impl Caller<'_> {
    /// The container on whose behalf something happens: that of the task, else the first.
    pub fn container(&self) -> &Arc<Container> {
        self.task.map_or(&self.kernel.containers.sandbox, |task| task.process.container())
    }
}
