//! What the sentry needs of the machine below it.
//!
//! A platform runs user code until it traps, mirrors page tables, tells the time, and rings
//! doorbells. It decides nothing: policy lives above this trait and is shared by all platforms.

mod context;
mod extended;
#[cfg(test)]
pub mod mock;
mod trap;

pub use context::{Registers, UserContext};
pub use extended::{ExtendedArea, ExtendedState};
pub use trap::{Access, Exception, Trap};

use alloc::sync::Arc;

use bitflags::bitflags;
use guest_abi::device::QueueId;

use crate::{
    errno::Result,
    memory::{Frame, PhysicalMemory},
};

/// First address that user code may map; a page multiple. What lies below is the platform's own. A
/// program sees it as vm.mmap_min_addr.
pub const USER_ADDRESS_START: u64 = 0x8_0000;

/// Index of an executor: a vCPU, or a host thread. Executor `n` always runs on the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutorId(pub u16);

impl ExecutorId {
    /// The one that a device interrupts, if it is idle: who serves the host there need not wake another.
    pub const OF_DEVICES: Self = Self(0);
}

/// Names an address space known to the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressSpaceId(pub u64);

bitflags! {
    /// What user code may do with a page.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Protection: u8 {
        /// Load from it.
        const READ = 1;
        /// Store to it.
        const WRITE = 2;
        /// Fetch instructions from it.
        const EXECUTE = 4;
        /// A hint of [`Platform::map`] for executable pages: it is a private mapping (mmap(2)), so
        /// user code cannot rely on its contents to change but by its own stores through it.
        const PRIVATE = 8;
    }
}

/// How to turn the time-stamp counter into nanoseconds; what the vDSO needs:
/// `nanoseconds = base_nanoseconds + ((tsc - base_tsc) * multiplier >> shift)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockParameters {
    /// Counter value at the base.
    pub base_tsc: u64,
    /// CLOCK_MONOTONIC at the base, in nanoseconds.
    pub base_monotonic_nanoseconds: u64,
    /// CLOCK_REALTIME minus CLOCK_MONOTONIC, in nanoseconds.
    pub realtime_offset_nanoseconds: u64,
    /// Nanoseconds per count, scaled by `2^shift`.
    pub multiplier: u32,
    /// See `multiplier`.
    pub shift: u32,
}

/// Pages worth bringing in at once around a fault, each a power of two: many where a fault is expensive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultAround {
    /// Zeroed pages. Memory that is touched in sequence is brought in in larger runs.
    pub zeros: usize,
    /// Pages of a file. Only those that are cached are mapped, so they cost no memory, and a program's
    /// code is touched here and there.
    pub file: usize,
    /// Private copies of a file's pages, which do cost memory.
    pub copies: usize,
}

/// The machine below the sentry. At most 25 methods.
pub trait Platform: Send + Sync {
    /// Sandbox memory and device windows.
    fn memory(&self) -> &PhysicalMemory;

    /// Number of executors.
    fn executor_count(&self) -> u16;

    /// First address user code may not map; page aligned. What lies above (up to 2^47) is the
    /// platform's own.
    fn user_address_limit(&self) -> u64;

    /// How much is worth bringing in at once around a fault.
    fn fault_around(&self) -> FaultAround;

    /// Makes an empty address space whose page table has its root in `root`.
    ///
    /// # Errors
    /// `ENOMEM` or `EAGAIN` if the platform is out of resources.
    fn create_address_space(&self, root: Frame) -> Result<AddressSpaceId>;

    /// Ends an address space. It is not the last one that another executor than the calling one ran
    /// user code in, unless that executor has called [`Self::leave_address_space`] since.
    fn destroy_address_space(&self, space: AddressSpaceId);

    /// Tells that page-table entries for `pages` pages from user address `address` now map the
    /// contiguous frames from `frame` with `protection`. They mapped nothing before, or the same
    /// frames with less: the sentry unmaps a page before it maps another frame there. Takes effect
    /// before user code of the space runs next on this executor; a platform whose hardware walks
    /// the page table itself has nothing to do, for stale translations only fault once more.
    fn map(
        &self,
        space: AddressSpaceId,
        address: u64,
        frame: Frame,
        pages: usize,
        protection: Protection,
    );

    /// Tells that `pages` pages from `address` are mapped no longer. When it returns, no user code
    /// of the space, on any executor, can reach the frames they mapped.
    fn unmap(&self, space: AddressSpaceId, address: u64, pages: usize);

    /// Tells that the mapped pages among `pages` pages from `address` now have `protection`. When
    /// it returns, no user code of the space has more access than that.
    fn protect(&self, space: AddressSpaceId, address: u64, pages: usize, protection: Protection);

    /// Runs user code on the calling executor until it traps, is interrupted, uses up the
    /// platform's time slice (about 10 ms), or CLOCK_MONOTONIC reaches `deadline` (nanoseconds).
    /// Notes in `context` how long user code ran.
    ///
    /// May return [`Trap::Interrupted`] at any time without cause. When it returns, `space` is the
    /// one that the executor last ran user code in, however short its stay.
    fn run_user(
        &self,
        executor: ExecutorId,
        space: AddressSpaceId,
        context: &mut UserContext,
        deadline: Option<u64>,
    ) -> Trap;

    /// Brings `context`'s vector state, if it is live in a processor or a stub of the calling
    /// executor, back into `context.extended`, and forgets it there: the next `run_user` loads it
    /// anew. To be called before the state is read, changed, copied, or used on another executor.
    fn save_extended_state(&self, executor: ExecutorId, context: &mut UserContext);

    /// Size in bytes of the XSAVE area (standard format, XCR0 features) that
    /// [`ExtendedState`] holds and that signal frames carry.
    fn extended_state_size(&self) -> usize;

    /// The features (XCR0) in the XSAVE area.
    fn extended_state_features(&self) -> u64;

    /// Makes `executor` leave user mode or `idle` soon. Sticky: if it is in neither, its next
    /// `run_user` or `idle` returns at once. Callable from any thread of the platform.
    fn interrupt(&self, executor: ExecutorId);

    /// Makes the calling executor forget the address space that it last ran user code in.
    fn leave_address_space(&self, executor: ExecutorId);

    /// Sleeps until interrupted, a device calls, or CLOCK_MONOTONIC reaches `deadline` (in
    /// nanoseconds). May return early without cause.
    fn idle(&self, executor: ExecutorId, deadline: Option<u64>);

    /// CLOCK_MONOTONIC in nanoseconds; never goes back.
    fn monotonic_nanoseconds(&self) -> u64;

    /// CLOCK_REALTIME in nanoseconds since 1970.
    fn realtime_nanoseconds(&self) -> u64;

    /// Parameters for clock reading in user mode, or `None` if the counter cannot be used.
    fn clock_parameters(&self) -> Option<ClockParameters>;

    /// Tells the device that its queue has new available buffers.
    fn kick(&self, queue: QueueId);

    /// The frames from `first` on are free: their contents may be dropped, and read as zero when
    /// used again.
    fn release_frames(&self, first: Frame, count: usize);

    /// Writes one line to the host's log when no queue can (early start, panic).
    fn emergency_log(&self, line: &str);

    /// Ends all executors: `run_executor` returns on each. Sticky.
    fn halt(&self);
}

/// The platform as the sentry holds it.
pub type PlatformRef = Arc<dyn Platform>;
