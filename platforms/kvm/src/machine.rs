//! The machine: everything a sandbox has on the KVM platform, ready to run.

use std::{
    os::fd::{FromRawFd, IntoRawFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use guest_abi::{
    kvm::{
        BOOT_HEADER_ADDRESS, BOOT_MAGIC, BootHeader, DIRECT_MAP_BASE, IMAGE_LOAD_ADDRESS,
        IMAGE_VIRTUAL_OFFSET, VcpuCounts, stack_top, vcpu_counts_address,
    },
    message,
};
use kvm_ioctls::{Kvm, VmFd};
use vm_memory::{
    Address, Bytes, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap, GuestMemoryRegion,
};
use vmm_sys_util::eventfd::EventFd;
use zerocopy::IntoBytes;

use crate::{
    config::{Config, Error},
    exits::{ExitCounter, ExitCounts},
    image::{self, Loaded},
    interrupts,
    layout::Layout,
    memory,
    page_tables::{Builder, Rights},
    released::ReturnableMemory,
    stacks::{self, STACK_BYTES, stack_address},
    vcpu::{Vcpu, VcpuEnd},
};

/// A machine. Each vCPU is run once, by a thread of its own.
pub struct Machine {
    vcpus: Mutex<Vec<Option<Vcpu>>>,
    vcpu_count: u16,
    exit_counters: Vec<ExitCounter>,
    stopper: Stopper,
    returnable: ReturnableMemory,
    _events: Vec<EventFd>,
    _vm: VmFd,
    memory: GuestMemoryMmap,
    /// Physical address of the stacks.
    stacks: u64,
}

/// Stops the vCPUs of a machine from another thread.
#[derive(Clone)]
pub struct Stopper(Arc<StopState>);

struct StopState {
    requested: AtomicBool,
    /// Threads in KVM_RUN, and the byte that makes it return.
    running: Mutex<Vec<(libc::pthread_t, usize)>>,
}

impl Machine {
    /// Builds the machine of `config`, with as many vCPUs as its boot information has executors.
    ///
    /// # Errors
    /// [`Error`] names what failed.
    pub fn new(config: Config) -> Result<Self, Error> {
        // SAFETY: the descriptor is owned and moves into the result.
        let kvm = unsafe { Kvm::from_raw_fd(config.kvm.into_raw_fd()) };
        let vm = kvm.create_vm().map_err(Error::kvm("create a virtual machine"))?;
        vm.create_irq_chip().map_err(Error::kvm("create the interrupt controller"))?;
        let memory_file = config.memory.try_clone().map_err(Error::memory)?;
        let memory = memory::map(config.memory, config.memory_size, config.windows)?;
        let image = image::load(&memory)?;
        memory::register(&vm, &memory, &image.shared)?;
        let mut boot_info = config.boot_info;
        let vcpu_count = boot_info.executors;
        // The lengths of the numbers below are bounded, so a first encoding tells the room needed.
        let room = encode(&boot_info)?.len() as u64 + 64;
        let layout = Layout::new(config.memory_size, image.end, vcpu_count, room)?;
        boot_info.ram_size = layout.heap;
        boot_info.ram_free_start = layout.free_start;
        let encoded = encode(&boot_info)?;
        memory.write_slice(&encoded, GuestAddress(layout.boot_info)).map_err(Error::memory)?;
        build_page_tables(&memory, &image, &layout, vcpu_count)?;
        write_header(&vm, &memory, &layout, encoded.len() as u64)?;
        let mut events = interrupts::connect_doorbells(&vm, config.kicks)?;
        events.extend(interrupts::connect_calls(&vm, config.calls)?);
        let vcpus = (0..vcpu_count)
            .map(|index| Vcpu::new(&kvm, &vm, index, image.entry))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            exit_counters: vcpus.iter().filter_map(Vcpu::exit_counter).collect(),
            vcpus: Mutex::new(vcpus.into_iter().map(Some).collect()),
            vcpu_count,
            returnable: ReturnableMemory::new(memory_file, layout.free_start..layout.heap),
            stopper: Stopper(Arc::new(StopState {
                requested: AtomicBool::new(false),
                running: Mutex::new(Vec::new()),
            })),
            _events: events,
            _vm: vm,
            memory,
            stacks: layout.stacks,
        })
    }

    /// Number of vCPUs.
    pub const fn vcpu_count(&self) -> u16 {
        self.vcpu_count
    }

    /// Exits of all vCPUs so far, with what the sentry did to cause some of them; empty if this
    /// kernel does not count exits.
    pub fn exit_counts(&self) -> ExitCounts {
        let mut sum = ExitCounts::default();
        self.exit_counters.iter().for_each(|counter| counter.add_to(&mut sum));
        if !sum.0.is_empty() {
            (0..self.vcpu_count).for_each(|index| self.add_causes(index, &mut sum));
        }
        sum
    }

    fn add_causes(&self, index: u16, sum: &mut ExitCounts) {
        let address = GuestAddress(vcpu_counts_address(index));
        let Ok(bytes) = self.memory.read_obj::<[u8; size_of::<VcpuCounts>()]>(address) else {
            return;
        };
        let counts: VcpuCounts = zerocopy::transmute!(bytes);
        sum.add("timer_settings", counts.timer_settings);
        sum.add("interrupts_ended", counts.interrupts_ended);
        sum.add("wakes_sent", counts.wakes_sent);
    }

    /// Most bytes that each vCPU's stack has held.
    pub fn deepest_stacks(&self) -> impl Iterator<Item = usize> {
        (0..self.vcpu_count)
            .filter_map(|index| stacks::used_bytes(&self.memory, self.stacks, index))
    }

    /// For stopping it.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Runs the vCPU at `index` on this thread until it ends; lines of the emergency log go to
    /// `log`.
    pub fn run_vcpu(&self, index: u16, log: &dyn Fn(&str)) -> VcpuEnd {
        let slot = self.vcpus.lock().unwrap_or_else(PoisonError::into_inner);
        let vcpu = { slot }.get_mut(usize::from(index)).and_then(Option::take);
        let Some(mut vcpu) = vcpu else {
            return VcpuEnd::Failed(format!("vCPU {index} does not exist or has run already"));
        };
        let registration = self.stopper.register(&mut vcpu);
        let end = vcpu.run(&self.stopper.0.requested, &self.returnable, log);
        self.stopper.unregister(registration);
        end
    }
}

impl Stopper {
    /// Makes every [`Machine::run_vcpu`] return soon.
    pub fn stop(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        for (thread, immediate_exit) in running.iter() {
            // SAFETY: a registered vCPU exists, so the byte is mapped and the thread alive. The
            // byte catches a KVM_RUN that is about to start, the signal one that runs.
            unsafe {
                (*immediate_exit as *mut u8).write_volatile(1);
                libc::pthread_kill(*thread, crate::self_test::INTERRUPTION_SIGNAL);
            }
        }
    }

    fn register(&self, vcpu: &mut Vcpu) -> libc::pthread_t {
        crate::self_test::install_interruption_handler();
        // SAFETY: pthread_self has no preconditions.
        let thread = unsafe { libc::pthread_self() };
        let entry = (thread, vcpu.immediate_exit() as usize);
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        thread
    }

    fn unregister(&self, thread: libc::pthread_t) {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|(other, _)| *other != thread);
    }
}

fn encode(boot_info: &guest_abi::boot::BootInfo) -> Result<Vec<u8>, Error> {
    message::encode(boot_info).map_err(|_| Error::Configuration("boot information that encodes"))
}

/// Maps the image by its segments' rights, the stacks with a hole below each, and all memory but
/// the image's in the direct map, so that nothing is both writable and executable.
fn build_page_tables(
    memory: &GuestMemoryMmap,
    image: &Loaded,
    layout: &Layout,
    vcpus: u16,
) -> Result<(), Error> {
    let mut tables = Builder::new(memory);
    for segment in &image.segments {
        let rights = match (segment.writable, segment.executable) {
            (true, _) => Rights::Write,
            (false, true) => Rights::Execute,
            (false, false) => Rights::Read,
        };
        let physical = segment.address - IMAGE_VIRTUAL_OFFSET;
        tables.map(segment.address, physical, segment.size, rights)?;
    }
    for index in 0..vcpus {
        let physical = stack_address(layout.stacks, index);
        tables.map(stack_top(index) - STACK_BYTES, physical, STACK_BYTES, Rights::Write)?;
    }
    let mut direct = |start: u64, end: u64| {
        tables.map(DIRECT_MAP_BASE + start, start, end - start, Rights::Write)
    };
    direct(0, IMAGE_LOAD_ADDRESS)?;
    direct(layout.stacks, layout.end)?;
    for window in memory.iter().skip(1) {
        let start = window.start_addr().raw_value();
        direct(start, start + window.len())?;
    }
    Ok(())
}

fn write_header(
    vm: &VmFd,
    memory: &GuestMemoryMmap,
    layout: &Layout,
    boot_info_length: u64,
) -> Result<(), Error> {
    let clock = vm.get_clock().map_err(Error::kvm("read the guest's clock"))?.clock;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let realtime = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    let header = BootHeader {
        magic: BOOT_MAGIC,
        boot_info_address: layout.boot_info,
        boot_info_length,
        heap_address: layout.heap,
        heap_length: layout.end - layout.heap,
        realtime_offset_nanoseconds: realtime.wrapping_sub(clock),
    };
    memory.write_slice(header.as_bytes(), GuestAddress(BOOT_HEADER_ADDRESS)).map_err(Error::memory)
}
