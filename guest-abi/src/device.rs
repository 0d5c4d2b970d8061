//! The device table: which devices a sandbox has and where their queues are.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::{
    console::{CONSOLE_QUEUES, EXEC_CONSOLES},
    virtqueue::QueueLayout,
};

/// One device of the sandbox. Its index in [`crate::boot::BootInfo::devices`] names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDescriptor {
    /// What it is.
    pub kind: DeviceKind,
    /// Physical address of its window (page aligned).
    pub window_base: u64,
    /// Size of its window in bytes (page multiple).
    pub window_size: u64,
    /// Its queues, in the order the device kind defines.
    pub queues: Vec<QueueLayout>,
    /// Physical address of the buffer area: the rest of the window after the queues.
    pub buffers_base: u64,
}

/// Kinds of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// A file tree served by the gofer: one request queue that carries the FUSE protocol
    /// (linux/fuse.h), as virtio-fs does.
    FileSystem,
    /// The container's standard streams; queues in [`crate::console::ConsoleQueue`] order.
    Console,
    /// Standard streams of processes that are started later: [`crate::console::EXEC_CONSOLES`]
    /// times the queues of a console, with one doorbell for all: most are idle, and a doorbell costs
    /// the host a descriptor.
    ExecConsoles,
    /// Control messages; queues in [`crate::control::ControlQueue`] order.
    Control,
}

impl DeviceKind {
    /// Number of queues a device of this kind has.
    pub const fn queue_count(self) -> usize {
        match self {
            Self::FileSystem => 1,
            Self::Console => CONSOLE_QUEUES,
            Self::ExecConsoles => CONSOLE_QUEUES * EXEC_CONSOLES,
            Self::Control => 2,
        }
    }

    /// Number of doorbells that the driver of such a device rings.
    pub const fn doorbell_count(self) -> usize {
        match self {
            Self::ExecConsoles => 1,
            kind => kind.queue_count(),
        }
    }

    /// The doorbell that it rings for queue `queue`.
    pub const fn doorbell_of(self, queue: u16) -> u16 {
        match self {
            Self::ExecConsoles => 0,
            _ => queue,
        }
    }
}

/// Names one queue of the sandbox, or the doorbell of one ([`DeviceKind::doorbell_of`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueId {
    /// Index in the device table.
    pub device: u16,
    /// Index in the device's queues.
    pub queue: u16,
}

impl DeviceDescriptor {
    /// Lays out a device of `kind` at `index` of the device table: its queues from the start of
    /// the window, each page aligned, then its buffers.
    pub fn layout(kind: DeviceKind, index: u32, queue_size: u16, window_size: u64) -> Self {
        let window_base = crate::memory_map::device_window_base(index);
        let mut next = window_base;
        let mut queues = Vec::new();
        for _ in 0..kind.queue_count() {
            let queue = QueueLayout::at(next, queue_size);
            next = queue.end().next_multiple_of(crate::memory_map::PAGE_SIZE);
            queues.push(queue);
        }
        Self { kind, window_base, window_size, queues, buffers_base: next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_follow_queues_inside_the_window() {
        let device = DeviceDescriptor::layout(DeviceKind::Console, 1, 64, 1 << 20);
        assert_eq!(device.queues.len(), 3);
        assert!(device.queues.iter().all(|queue| queue.end() <= device.buffers_base));
        assert!(device.buffers_base < device.window_base + device.window_size);
    }
}
