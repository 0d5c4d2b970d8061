//! The kernel proper: tasks, scheduling, waiting, signals, time.

mod credentials;
mod executor;
mod scheduler;
mod task;
mod timer;
mod wait;
mod wait_queue;

pub use credentials::{Capabilities, Credentials};
pub use executor::run_executor;
pub use scheduler::{Activity, BoxFuture, Runnable, Scheduler, yield_now};
pub use task::{Current, Task};
pub use timer::{TimerHandler, TimerId, Timers};
pub use wait::{Deadline, Interruption, WaitReason};
pub use wait_queue::{Observer, PollEvents, WaitQueue, WaitUntil, WaiterId};

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::{Once, RwLock};

use crate::platform::PlatformRef;

/// One sandbox's kernel. Everything reachable from it is the sandbox's whole state.
pub struct Kernel {
    /// The machine below.
    pub platform: PlatformRef,
    /// Run queues.
    pub scheduler: Arc<Scheduler>,
    /// Pending timers.
    pub timers: Timers,
    /// Device drivers, polled for completions by every executor.
    pub drivers: RwLock<alloc::vec::Vec<Arc<dyn Driver>>>,
    /// FIFOs that are open.
    pub fifos: crate::fs::pipe::Fifos,
    halted: AtomicBool,
    boot: Once<guest_abi::boot::BootInfo>,
}

/// A device driver as an executor sees it.
pub trait Driver: Send + Sync {
    /// Handles completions that the device has published; wakes who waits for them. Cheap when
    /// there are none, called from any executor at any time, and must not block.
    fn poll(&self);
}

impl Kernel {
    /// A kernel on `platform`, with no task yet.
    pub fn new(platform: PlatformRef) -> Arc<Self> {
        Arc::new(Self {
            scheduler: Scheduler::new(platform.clone()),
            platform,
            timers: Timers::default(),
            drivers: RwLock::new(alloc::vec::Vec::new()),
            fifos: crate::fs::pipe::Fifos::default(),
            halted: AtomicBool::new(false),
            boot: Once::new(),
        })
    }

    /// What the host said at start; `None` in tests that did not boot.
    pub fn boot_info(&self) -> Option<&guest_abi::boot::BootInfo> {
        self.boot.get()
    }

    /// Ends the sandbox: all executors return.
    pub fn halt(&self) {
        self.halted.store(true, Ordering::SeqCst);
        self.platform.halt();
    }

    /// Whether [`Self::halt`] was called.
    pub fn is_halted(&self) -> bool {
        self.halted.load(Ordering::SeqCst)
    }
}
