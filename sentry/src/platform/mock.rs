//! A platform for unit tests: memory on the heap, a clock that moves only when someone idles, and
//! user code that is a closure.
#![allow(unsafe_code, reason = "makes sandbox memory out of heap memory")]
#![allow(missing_docs, reason = "helpers of unit tests; their names say it")]

use core::{
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};
use std::{boxed::Box, collections::VecDeque, string::String, sync::Arc, vec::Vec};

use guest_abi::device::QueueId;
use spin::mutex::SpinMutex;

use super::{
    AddressSpaceId, ClockParameters, ExecutorId, FaultAround, Platform, Protection, Trap,
    UserContext,
};
use crate::{
    errno::Result,
    memory::{Frame, PAGE_SIZE, PhysicalMemory, Region},
};

/// What the sentry told the platform, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Platform::map`].
    Map { space: AddressSpaceId, address: u64, frame: Frame, pages: usize, protection: Protection },
    /// [`Platform::unmap`].
    Unmap { space: AddressSpaceId, address: u64, pages: usize },
    /// [`Platform::protect`].
    Protect { space: AddressSpaceId, address: u64, pages: usize, protection: Protection },
    /// [`Platform::destroy_address_space`].
    Destroy(AddressSpaceId),
    /// [`Platform::kick`].
    Kick(QueueId),
    /// [`Platform::release_frames`].
    Release { first: Frame, count: usize },
    /// [`Platform::halt`].
    Halt,
}

/// User code: called by [`Platform::run_user`].
pub type UserCode = Box<dyn FnMut(AddressSpaceId, &mut UserContext) -> Trap + Send>;

/// The mock.
pub struct MockPlatform {
    memory: PhysicalMemory,
    fault_around: SpinMutex<FaultAround>,
    next_space: AtomicU64,
    now: AtomicU64,
    interrupted: AtomicBool,
    calls: SpinMutex<VecDeque<Call>>,
    user_code: SpinMutex<Option<UserCode>>,
    log: SpinMutex<Vec<String>>,
}

/// CLOCK_REALTIME minus CLOCK_MONOTONIC of the mock: 2024-01-01, in nanoseconds.
const REALTIME_OFFSET: u64 = 1_704_067_200_000_000_000;

impl MockPlatform {
    /// A machine with one executor and `pages` pages of sandbox memory. Time starts at 0.
    pub fn new(pages: usize) -> Arc<Self> {
        Self::with_windows(pages, [])
    }

    /// The same with device windows.
    pub fn with_windows(pages: usize, windows: impl IntoIterator<Item = Region>) -> Arc<Self> {
        Arc::new(Self {
            memory: PhysicalMemory::new(heap_region(0, pages), windows),
            fault_around: SpinMutex::new(FaultAround { zeros: 1, file: 1, copies: 1 }),
            next_space: AtomicU64::new(1),
            now: AtomicU64::new(0),
            interrupted: AtomicBool::new(false),
            calls: SpinMutex::new(VecDeque::new()),
            user_code: SpinMutex::new(None),
            log: SpinMutex::new(Vec::new()),
        })
    }

    /// Sets [`Platform::fault_around`]; one page of each at first.
    pub fn set_fault_around(&self, pages: FaultAround) {
        *self.fault_around.lock() = pages;
    }

    /// Sets what [`Platform::run_user`] does. Without it, it returns [`Trap::Interrupted`].
    pub fn set_user_code(&self, code: UserCode) {
        *self.user_code.lock() = Some(code);
    }

    /// Moves the clock.
    pub fn advance(&self, nanoseconds: u64) {
        self.now.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What was called since the last time this was asked.
    pub fn take_calls(&self) -> Vec<Call> {
        self.calls.lock().drain(..).collect()
    }

    /// Lines of [`Platform::emergency_log`].
    pub fn log_lines(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    fn record(&self, call: Call) {
        self.calls.lock().push_back(call);
    }
}

/// `pages` pages of zeroed heap memory as physical memory from `base`; never freed.
pub fn heap_region(base: u64, pages: usize) -> Region {
    let layout = std::alloc::Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).unwrap();
    // SAFETY: tests ask for at least one page, so the layout is not empty; the memory is leaked, so
    // it outlives the region, and no Rust object is in it.
    unsafe {
        let pointer = NonNull::new(std::alloc::alloc_zeroed(layout)).unwrap();
        Region::new(base, pages * PAGE_SIZE, pointer)
    }
}

impl Platform for MockPlatform {
    fn memory(&self) -> &PhysicalMemory {
        &self.memory
    }

    fn executor_count(&self) -> u16 {
        1
    }

    fn user_address_limit(&self) -> u64 {
        0x7fff_ffff_f000
    }

    fn fault_around(&self) -> FaultAround {
        *self.fault_around.lock()
    }

    fn create_address_space(&self, _root: Frame) -> Result<AddressSpaceId> {
        Ok(AddressSpaceId(self.next_space.fetch_add(1, Ordering::Relaxed)))
    }

    fn destroy_address_space(&self, space: AddressSpaceId) {
        self.record(Call::Destroy(space));
    }

    fn map(
        &self,
        space: AddressSpaceId,
        address: u64,
        frame: Frame,
        pages: usize,
        protection: Protection,
    ) {
        self.record(Call::Map { space, address, frame, pages, protection });
    }

    fn unmap(&self, space: AddressSpaceId, address: u64, pages: usize) {
        self.record(Call::Unmap { space, address, pages });
    }

    fn protect(&self, space: AddressSpaceId, address: u64, pages: usize, protection: Protection) {
        self.record(Call::Protect { space, address, pages, protection });
    }

    fn run_user(
        &self,
        _executor: ExecutorId,
        space: AddressSpaceId,
        context: &mut UserContext,
        _deadline: Option<u64>,
    ) -> Trap {
        let start = self.now.load(Ordering::Relaxed);
        let trap = match &mut *self.user_code.lock() {
            Some(code) => code(space, context),
            None => Trap::Interrupted,
        };
        context.user_nanoseconds = self.now.load(Ordering::Relaxed) - start;
        trap
    }

    fn save_extended_state(&self, _executor: ExecutorId, _context: &mut UserContext) {}

    fn extended_state_size(&self) -> usize {
        576
    }

    fn extended_state_features(&self) -> u64 {
        3
    }

    fn interrupt(&self, _executor: ExecutorId) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    fn leave_address_space(&self, _executor: ExecutorId) {}

    fn idle(&self, _executor: ExecutorId, deadline: Option<u64>) {
        if self.interrupted.swap(false, Ordering::Relaxed) {
            return;
        }
        if let Some(deadline) = deadline {
            self.now.fetch_max(deadline, Ordering::Relaxed);
        }
    }

    fn monotonic_nanoseconds(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn realtime_nanoseconds(&self) -> u64 {
        self.monotonic_nanoseconds() + REALTIME_OFFSET
    }

    fn clock_parameters(&self) -> Option<ClockParameters> {
        None
    }

    fn kick(&self, queue: QueueId) {
        self.record(Call::Kick(queue));
    }

    fn release_frames(&self, first: Frame, count: usize) {
        let _ = self.memory.zero(first.address(), count * PAGE_SIZE);
        self.record(Call::Release { first, count });
    }

    fn emergency_log(&self, line: &str) {
        self.log.lock().push(line.into());
    }

    fn halt(&self) {
        self.record(Call::Halt);
    }
}
