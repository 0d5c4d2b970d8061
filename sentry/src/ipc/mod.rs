//! System V IPC (sysvipc(7)). See README.md.

mod message;
mod permission;
mod registry;
mod semaphore;
mod shared_memory;
mod undo;

pub use message::{MESSAGE_MAX, Message, MessageQueue, QUEUE_BYTES, Selection};
pub use permission::{Permission, UserPermission};
pub use registry::{CREATE, Object, Registry};
pub use semaphore::{Operation, SEMAPHORE_MAX, SemaphoreSet, Waiting};
pub use shared_memory::{Attachment, Segment};
pub use undo::SemaphoreUndo;

use alloc::sync::Arc;

use crate::kernel::Kernel;

/// Most message queues (kernel.msgmni). This and the next two bound what the kernel keeps.
pub const MAX_QUEUES: usize = 1024;
/// Most sets of semaphores (the last of kernel.sem).
pub const MAX_SETS: usize = 1024;
/// Most semaphores of a set (the first of kernel.sem).
pub const MAX_SEMAPHORES: usize = 4096;
/// Most operations of one semop(2) (the third of kernel.sem).
pub const MAX_OPERATIONS: usize = 500;
/// Most segments (kernel.shmmni).
pub const MAX_SEGMENTS: usize = 4096;

/// All objects.
pub struct Ipc {
    /// Shared memory.
    pub segments: Arc<Registry<Segment>>,
    /// Semaphores.
    pub semaphores: Registry<SemaphoreSet>,
    /// Message queues.
    pub messages: Registry<MessageQueue>,
}

impl Default for Ipc {
    fn default() -> Self {
        Self {
            segments: Arc::new(Registry::new(MAX_SEGMENTS)),
            semaphores: Registry::new(MAX_SETS),
            messages: Registry::new(MAX_QUEUES),
        }
    }
}

/// The present as these objects note it: seconds since the epoch.
pub fn now(kernel: &Kernel) -> i64 {
    (kernel.platform.realtime_nanoseconds() / 1_000_000_000).cast_signed()
}
