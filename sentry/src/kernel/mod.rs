//! The kernel proper: tasks, scheduling, waiting, signals, time. See README.md.

mod accounting;
mod boot;
mod call_filter;
mod clone;
mod completion;
mod container;
mod container_limits;
mod credentials;
mod exec;
mod executor;
mod exit;
mod freezer;
mod futex;
mod id_maps;
mod inspect;
mod interval_timer;
mod limits;
mod loaded_spaces;
mod oom;
mod process;
mod process_table;
mod random;
mod robust;
mod run;
mod scheduler;
mod scheduling;
mod session;
pub mod settings;
pub mod signal;
mod strace;
mod task;
#[cfg(test)]
mod tests;
mod timer;
mod user_namespace;
mod uts;
mod wait;
mod wait_child;
mod wait_queue;

pub use accounting::{Accounting, IoCounts, Usage};
pub use boot::{JoinedProcesses, StartFailure, boot};
pub use clone::{CloneFlags, CloneRequest};
pub use completion::Completion;
pub use container::{Container, Containers};
pub use container_limits::ContainerLimits;
pub use credentials::{
    Capabilities, Credentials, SECURE_ALL_BITS, SECURE_KEEP_CAPABILITIES, SECURE_NO_AMBIENT_RAISE,
};
pub use executor::run_executor;
pub use freezer::Freezer;
pub use futex::{FutexTable, FutexWait, MATCH_ANY, WakeOperation};
pub use id_maps::{IdMap, IdMaps};
pub use interval_timer::{IntervalTimer, Notification, ProcessTimers, Setting, TimeBase};
pub use limits::{Limit, Limits, Resource};
pub use oom::OomAdjustment;
pub use process::{Process, StopReport, StopState, WaitStatus};
pub use process_table::{PID_LIMIT, ProcessTable};
pub use random::Random;
pub use robust::ROBUST_HEAD_SIZE;
pub use scheduler::{Activity, BoxFuture, Runnable, Scheduler, yield_now};
pub use scheduling::{POLICY_OTHER, SchedulingPolicy};
pub use session::{ControllingTerminal, ProcessGroup, Session};
pub use settings::Settings;
pub use strace::UnknownCalls;
pub use task::{Current, TASK_NAME_LENGTH, Task};
pub use timer::{TimerHandler, TimerId, Timers};
pub use user_namespace::{IdKind, UserNamespace};
pub use uts::{KERNEL_RELEASE, KERNEL_VERSION, UtsNames};
pub use wait::{Deadline, Interruption, WaitReason};
pub use wait_child::{ChildEvent, WaitOptions, WaitTarget};
pub use wait_queue::{Observer, PollEvents, WaitQueue, WaitUntil, WaiterId};

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use guest_abi::boot::BootInfo;
use spin::{Once, RwLock};

use loaded_spaces::LoadedSpaces;

use crate::{
    drivers::{Console, Control},
    loader::Vdso,
    memory::{Frame, FrameAllocator, PAGE_SIZE},
    platform::PlatformRef,
};

/// Inode number of the first namespace that a program makes: beyond those of the container's own.
const FIRST_NAMESPACE_NUMBER: u64 = 0xf000_1000;

/// One sandbox's kernel. Everything reachable from it is the sandbox's whole state.
pub struct Kernel {
    /// The machine below.
    pub platform: PlatformRef,
    /// Frames of sandbox memory.
    pub frames: Arc<FrameAllocator>,
    /// Run queues.
    pub scheduler: Arc<Scheduler>,
    /// The address spaces that executors may have loaded.
    loaded_spaces: LoadedSpaces,
    /// Pending timers.
    pub timers: Timers,
    /// Device drivers, polled for completions by every executor.
    pub drivers: RwLock<Vec<Arc<dyn Driver>>>,
    /// Cached names and what else file systems share.
    pub vfs: crate::vfs::Vfs,
    /// FIFOs that are open.
    pub fifos: crate::fs::pipe::Fifos,
    /// Names of unix sockets, and descriptors in flight.
    pub unix_sockets: Arc<crate::net::unix::UnixSockets>,
    /// Its ids inside and outside.
    pub ids: IdMaps,
    namespace_numbers: AtomicU64,
    /// Settings of the container's namespaces.
    pub settings: Settings,
    /// The containers, and with them all processes.
    pub containers: Containers,
    /// System calls that were asked for in vain.
    pub unknown_calls: UnknownCalls,
    /// System calls that filters wanted to be seen in the log.
    pub judged_calls: UnknownCalls,
    /// The container's standard streams, once attached.
    pub console: Once<Arc<Console>>,
    /// The way to the host, once attached.
    pub control: Once<Arc<Control>>,
    /// Tasks that wait on words of memory.
    pub futexes: FutexTable,
    /// The shared object that reads clocks in user mode.
    pub vdso: Vdso,
    /// The random generator.
    pub random: Random,
    /// Processes that the host started, but for the first one.
    pub joined: JoinedProcesses,
    boot_info: BootInfo,
    halted: AtomicBool,
}

/// A device driver as an executor sees it.
pub trait Driver: Send + Sync {
    /// Handles completions that the device has published; wakes who waits for them. Cheap when
    /// there are none, called from any executor at any time, and must not block.
    fn poll(&self);
}

impl Kernel {
    /// A kernel on `platform` that owns sandbox memory from `boot_info.ram_free_start` on, with no
    /// task yet.
    pub fn new(platform: PlatformRef, boot_info: BootInfo) -> Arc<Self> {
        let container = &boot_info.container;
        let memory = container.limits.sandbox_memory_bytes().unwrap_or(u64::MAX);
        let first_free = boot_info.ram_free_start.div_ceil(PAGE_SIZE as u64) * PAGE_SIZE as u64;
        let first_free = Frame::containing(first_free).unwrap_or(Frame(0));
        Arc::new(Self {
            frames: FrameAllocator::with_limit(platform.clone(), first_free, memory),
            scheduler: Scheduler::new(platform.clone()),
            loaded_spaces: LoadedSpaces::new(platform.executor_count()),
            platform,
            timers: Timers::default(),
            drivers: RwLock::new(Vec::new()),
            vfs: crate::vfs::Vfs::default(),
            fifos: crate::fs::pipe::Fifos::default(),
            unix_sockets: Arc::default(),
            ids: IdMaps::new(container),
            namespace_numbers: AtomicU64::new(FIRST_NAMESPACE_NUMBER),
            settings: Settings::default(),
            containers: Containers::new(Container::sandbox(container)),
            unknown_calls: UnknownCalls::default(),
            judged_calls: UnknownCalls::default(),
            console: Once::new(),
            control: Once::new(),
            futexes: FutexTable::default(),
            vdso: Vdso::default(),
            random: Random::new(boot_info.random_seed),
            joined: JoinedProcesses::default(),
            boot_info,
            halted: AtomicBool::new(false),
        })
    }

    /// What the host said at start.
    pub const fn boot_info(&self) -> &BootInfo {
        &self.boot_info
    }

    /// The inode number of a new namespace.
    fn next_namespace_number(&self) -> u64 {
        self.namespace_numbers.fetch_add(1, Ordering::Relaxed)
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
