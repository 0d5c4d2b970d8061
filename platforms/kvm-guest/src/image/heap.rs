//! The sentry's heap: a fixed range of guest memory, backed by the host only where it is touched.

use guest_abi::kvm::{BootHeader, DIRECT_MAP_BASE};
use spin::mutex::SpinMutex;
use talc::{TalcLock, source::Manual};

#[global_allocator]
static HEAP: TalcLock<SpinMutex<()>, Manual> = TalcLock::new(Manual);

/// Gives the heap its memory. Called once, by the first vCPU.
///
/// # Safety
/// The range that `header` names must be mapped and used by nothing else.
pub unsafe fn initialise(header: &BootHeader) {
    let base = (DIRECT_MAP_BASE + header.heap_address) as *mut u8;
    // SAFETY: promised by the caller.
    unsafe { HEAP.lock().claim(base, header.heap_length as usize) };
}
