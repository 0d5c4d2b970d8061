//! System V IPC (sysvipc(7)). See README.md.

mod message;
mod permission;
mod registry;
mod semaphore;
mod shared_memory;
mod undo;

pub use message::{Message, MessageQueue, Selection};
pub use permission::{Permission, UserPermission};
pub use registry::{CREATE, Object, Registry};
pub use semaphore::{Operation, SEMAPHORE_MAX, SemaphoreSet, Waiting};
pub use shared_memory::{Attachment, Segment};
pub use undo::SemaphoreUndo;

use alloc::sync::Arc;

use spin::Once;

use crate::kernel::Kernel;

/// An IPC namespace: all objects that its processes share.
#[derive(Default)]
pub struct Ipc {
    /// Shared memory.
    pub segments: Arc<Registry<Segment>>,
    /// Semaphores.
    pub semaphores: Registry<SemaphoreSet>,
    /// Message queues.
    pub messages: Registry<MessageQueue>,
    /// The mount in which POSIX message queues are found; made at first use.
    pub posix_queues: Once<Arc<crate::vfs::Mount>>,
}

/// The present as these objects note it: seconds since the epoch.
pub fn now(kernel: &Kernel) -> i64 {
    (kernel.platform.realtime_nanoseconds() / 1_000_000_000).cast_signed()
}
