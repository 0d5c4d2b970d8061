//! From the entry point to the executor loop.

use alloc::sync::Arc;
use core::{
    arch::naked_asm,
    ptr::NonNull,
    sync::atomic::{AtomicBool, Ordering},
};

use guest_abi::{
    boot::BootInfo,
    kvm::{BOOT_HEADER_ADDRESS, BOOT_MAGIC, BOOT_PAGE_TABLES, BootHeader, DIRECT_MAP_BASE},
    message,
};
use sentry::{
    kernel::{Kernel, run_executor},
    memory::{PhysicalMemory, Region},
    platform::{ExecutorId, PlatformRef},
};
use spin::Once;

use super::{
    address_spaces, apic, clock, descriptors, extended, heap, per_cpu, platform::KvmPlatform,
    ports, processor,
};

/// The kernel, once the first vCPU has made it.
static KERNEL: Once<Arc<Kernel>> = Once::new();
/// The first vCPU has done what must come before all else.
static READY: AtomicBool = AtomicBool::new(false);

/// Where the host starts each vCPU: its index is in RDI, its stack is set.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn image_entry() -> ! {
    // A zero return address ends backtraces.
    naked_asm!("xor ebp, ebp", "push 0", "jmp {start}", start = sym start)
}

extern "C" fn start(index: u16) -> ! {
    // SAFETY: each vCPU comes here once, with its own index.
    unsafe {
        let own = per_cpu::initialise(index, processor::has_fsgsbase());
        descriptors::load(own);
        processor::initialise();
        processor::set_kernel_gs(own as u64);
    }
    if processor::has_pcid() {
        address_spaces::use_identifiers();
    }
    extended::initialise();
    apic::initialise();
    per_cpu::current().loaded_root.store(BOOT_PAGE_TABLES, Ordering::SeqCst);
    if index == 0 {
        boot();
        READY.store(true, Ordering::Release);
    }
    while !READY.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    if let Some(kernel) = KERNEL.get() {
        run_executor(kernel, ExecutorId(index));
    }
    ports::halt()
}

/// Makes the kernel from what the host left in memory.
fn boot() {
    let header = read_header();
    // SAFETY: called once; the host reserves the heap's range for this.
    unsafe { heap::initialise(&header) };
    clock::initialise(header.realtime_offset_nanoseconds);
    let info = read_boot_info(&header);
    let memory = physical_memory(&info);
    let platform: PlatformRef = KvmPlatform::new(memory, info.executors);
    match sentry::kernel::boot(platform, info) {
        Ok(kernel) => {
            KERNEL.call_once(|| kernel);
            heap::end_boot();
        }
        Err(errno) => fail(&alloc::format!("the sentry did not boot: {errno}")),
    }
}

fn fail(reason: &str) -> ! {
    ports::log(reason);
    ports::panicked()
}

fn read_header() -> BootHeader {
    let address = (DIRECT_MAP_BASE + BOOT_HEADER_ADDRESS) as *const BootHeader;
    // SAFETY: the host wrote the header there before the vCPU started; any bits are valid.
    let header = unsafe { address.read() };
    if header.magic != BOOT_MAGIC {
        fail("the VMM and the sentry image are of different builds");
    }
    header
}

fn read_boot_info(header: &BootHeader) -> BootInfo {
    let address = (DIRECT_MAP_BASE + header.boot_info_address) as *const u8;
    // SAFETY: the host wrote so many bytes there and does not change them.
    let bytes = unsafe { core::slice::from_raw_parts(address, header.boot_info_length as usize) };
    message::decode(bytes).unwrap_or_else(|_| fail("the boot information is malformed"))
}

/// Memory and device windows as the direct map shows them.
fn physical_memory(info: &BootInfo) -> PhysicalMemory {
    let windows = info
        .devices
        .iter()
        .filter_map(|device| region(device.window_base, usize::try_from(device.window_size).ok()?));
    match usize::try_from(info.ram_size).ok().and_then(|length| region(0, length)) {
        Some(ram) => PhysicalMemory::new(ram, windows),
        None => fail("the memory map is malformed"),
    }
}

fn region(base: u64, length: usize) -> Option<Region> {
    let pointer = NonNull::new((DIRECT_MAP_BASE + base) as *mut u8)?;
    // SAFETY: the host maps all memory and windows at this offset, for ever; what the image itself
    // uses lies below the memory that the sentry hands out.
    Some(unsafe { Region::new(base, length, pointer) })
}
