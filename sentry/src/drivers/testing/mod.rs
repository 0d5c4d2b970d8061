//! A machine for tests: a platform that is memory and doorbells only, and the device side of its
//! queues.

mod device;
mod executor;

use alloc::sync::Arc;
use core::{
    ptr::NonNull,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use guest_abi::device::{DeviceDescriptor, DeviceKind, QueueId};
use spin::mutex::SpinMutex;

use crate::{
    errno::{Errno, Result},
    memory::{Frame, PhysicalMemory, Region},
    platform::{
        AddressSpaceId, ClockParameters, ExecutorId, FaultAround, Platform, PlatformRef,
        Protection, Trap, UserContext,
    },
};

pub(crate) use device::DeviceQueue;
pub(crate) use executor::{block_on, poll_once};

/// Sandbox memory of a test machine in bytes.
const RAM_SIZE: usize = 4 << 20;

/// What a device does when its doorbell rings.
type OnKick = dyn Fn(QueueId) + Send + Sync;

/// Memory, one device, and its doorbell.
pub(crate) struct TestMachine {
    platform: Arc<TestPlatform>,
    /// The device; index 0 of the table.
    pub(crate) device: DeviceDescriptor,
}

struct TestPlatform {
    memory: PhysicalMemory,
    kicks: AtomicUsize,
    now: AtomicU64,
    on_kick: SpinMutex<Option<Arc<OnKick>>>,
}

impl TestMachine {
    /// A machine with a file-system device whose window has `window_size` bytes.
    pub(crate) fn new(window_size: u64) -> Self {
        Self::with_device(DeviceKind::FileSystem, 8, window_size)
    }

    /// A machine with a device of `kind` whose queues have `queue_size` descriptors.
    pub(crate) fn with_device(kind: DeviceKind, queue_size: u16, window_size: u64) -> Self {
        let device = DeviceDescriptor::layout(kind, 0, queue_size, window_size);
        let window = region(device.window_base, usize::try_from(window_size).unwrap());
        let platform = Arc::new(TestPlatform {
            memory: PhysicalMemory::new(region(0, RAM_SIZE), [window]),
            kicks: AtomicUsize::new(0),
            now: AtomicU64::new(1),
            on_kick: SpinMutex::new(None),
        });
        Self { platform, device }
    }

    /// The platform.
    pub(crate) fn platform(&self) -> PlatformRef {
        self.platform.clone()
    }

    /// Moves both clocks.
    pub(crate) fn advance(&self, nanoseconds: u64) {
        self.platform.now.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// How often a doorbell rang.
    pub(crate) fn kicks(&self) -> usize {
        self.platform.kicks.load(Ordering::Relaxed)
    }

    /// Lets `action` serve kicks, at once and on the caller's thread.
    pub(crate) fn on_kick(&self, action: impl Fn(QueueId) + Send + Sync + 'static) {
        *self.platform.on_kick.lock() = Some(Arc::new(action));
    }

    /// The device side of queue `index`.
    pub(crate) fn device_queue(&self, index: u16) -> DeviceQueue {
        DeviceQueue::new(self.platform(), self.device.queues[usize::from(index)])
    }
}

/// Zeroed memory that is never freed.
#[allow(unsafe_code, reason = "a test's physical memory")]
fn region(base: u64, length: usize) -> Region {
    let layout = std::alloc::Layout::from_size_align(length, 4096).unwrap();
    // SAFETY: the layout is not empty; the memory is leaked, so it outlives the region.
    unsafe {
        let pointer = NonNull::new(std::alloc::alloc_zeroed(layout)).unwrap();
        Region::new(base, length, pointer)
    }
}

impl Platform for TestPlatform {
    fn memory(&self) -> &PhysicalMemory {
        &self.memory
    }

    fn executor_count(&self) -> u16 {
        1
    }

    fn user_address_limit(&self) -> u64 {
        1 << 47
    }

    fn fault_around(&self) -> FaultAround {
        FaultAround { zeros: 1, file: 1, copies: 1 }
    }

    fn create_address_space(&self, _root: Frame) -> Result<AddressSpaceId> {
        Err(Errno::ENOMEM)
    }

    fn destroy_address_space(&self, _space: AddressSpaceId) {}

    fn map(&self, _: AddressSpaceId, _: u64, _: Frame, _: usize, _: Protection) {}

    fn unmap(&self, _: AddressSpaceId, _: u64, _: usize) {}

    fn protect(&self, _: AddressSpaceId, _: u64, _: usize, _: Protection) {}

    fn run_user(
        &self,
        _: ExecutorId,
        _: AddressSpaceId,
        _: &mut UserContext,
        _: Option<u64>,
    ) -> Trap {
        Trap::Interrupted
    }

    fn save_extended_state(&self, _: ExecutorId, _: &mut UserContext) {}

    fn extended_state_size(&self) -> usize {
        576
    }

    fn extended_state_features(&self) -> u64 {
        3
    }

    fn interrupt(&self, _: ExecutorId) {}

    fn leave_address_space(&self, _executor: ExecutorId) {}

    fn idle(&self, _: ExecutorId, _: Option<u64>) {}

    fn monotonic_nanoseconds(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn realtime_nanoseconds(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn clock_parameters(&self) -> Option<ClockParameters> {
        None
    }

    fn kick(&self, queue: QueueId) {
        self.kicks.fetch_add(1, Ordering::Relaxed);
        let action = self.on_kick.lock().clone();
        if let Some(action) = action {
            action(queue);
        }
    }

    fn release_frames(&self, _: Frame, _: usize) {}

    fn emergency_log(&self, _: &str) {}

    fn halt(&self) {}
}
