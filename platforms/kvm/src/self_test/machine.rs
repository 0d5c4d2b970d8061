//! The throw-away machine: sixteen pages, one vCPU in long mode.

use std::io;

use kvm_bindings::{Msrs, kvm_msr_entry, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Unusable, program};

const MEMORY_SIZE: usize = 16 * 4096;

const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PAGE_DIRECTORY: u64 = 0x3000;
const PAGE_TABLE: u64 = 0x4000;
const GDT: u64 = 0x5000;
const IDT: u64 = 0x6000;
const TSS: u64 = 0x7000;
/// An address in no mapped page.
pub const UNMAPPED: u64 = 0xc000;

/// Segment selectors; their order is what SYSCALL and SYSRET demand (STAR).
const KERNEL_CODE_SELECTOR: u16 = 0x08;
const KERNEL_DATA_SELECTOR: u16 = 0x10;
const TSS_SELECTOR: u16 = 0x28;

/// The machine.
pub struct Machine {
    vcpu: VcpuFd,
    _vm: VmFd,
    memory: GuestMemoryMmap,
}

/// How the machine stopped.
#[derive(Debug)]
pub enum Exit {
    /// By its last instruction.
    Done,
    /// By the time limit.
    Interrupted,
    /// By something else, named.
    Other(String),
    /// KVM_RUN failed.
    Failed(io::Error),
}

/// What ring 0 writes down, in the layout the program uses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
pub struct Results {
    /// SYSCALLs that arrived.
    pub syscalls: u64,
    /// Privilege level they arrived in, all ORed.
    pub privilege_level: u64,
    /// Time-stamp counts of the loop.
    pub loop_counts: u64,
    /// CR2 at the page fault.
    pub fault_address: u64,
    /// Its error code.
    pub fault_error: u64,
}

/// Makes the next KVM_RUN return at once.
pub struct ImmediateExit(*mut u8);

// SAFETY: the byte is a flag that the kernel reads; any thread may set it.
unsafe impl Send for ImmediateExit {}

impl ImmediateExit {
    /// Sets the flag. The machine must still exist.
    pub fn request(&self) {
        // SAFETY: the run structure stays mapped while the machine exists; a byte store to shared
        // memory cannot tear.
        unsafe { self.0.write_volatile(1) };
    }
}

impl Machine {
    /// Builds the machine.
    pub fn new() -> Result<Self, Unusable> {
        let kvm = Kvm::new().map_err(|error| match error.errno() {
            libc::ENOENT | libc::ENXIO | libc::ENODEV => Unusable::NoDevice,
            libc::EACCES | libc::EPERM => Unusable::NoPermission,
            libc::EBUSY => Unusable::Busy,
            _ => failed("open /dev/kvm")(error),
        })?;
        let vm = kvm.create_vm().map_err(|error| match error.errno() {
            libc::EBUSY => Unusable::Busy,
            _ => failed("create a virtual machine")(error),
        })?;
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY_SIZE)])
            .map_err(|error| other("map guest memory", error))?;
        add_memory(&vm, &memory)?;
        fill(&memory).map_err(|error| other("fill guest memory", error))?;
        let vcpu = vm.create_vcpu(0).map_err(failed("create a vCPU"))?;
        prepare(&kvm, &vcpu)?;
        Ok(Self { vcpu, _vm: vm, memory })
    }

    /// What a machine that has stopped left; zeros if it left nothing.
    pub fn results(&self) -> Results {
        let mut bytes = [0; size_of::<Results>()];
        let read = self.memory.read_slice(&mut bytes, GuestAddress(program::RESULTS));
        read.ok().and_then(|()| Results::read_from_bytes(&bytes).ok()).unwrap_or_default()
    }

    /// For interrupting it.
    pub fn immediate_exit(&mut self) -> ImmediateExit {
        ImmediateExit(&raw mut self.vcpu.get_kvm_run().immediate_exit)
    }

    /// Runs it until it stops.
    pub fn run(&mut self) -> Exit {
        match self.vcpu.run() {
            Ok(VcpuExit::IoOut(program::EXIT_PORT, _)) => Exit::Done,
            Ok(VcpuExit::Intr) => Exit::Interrupted,
            Ok(exit) => Exit::Other(format!("{exit:?}")),
            Err(error) if error.errno() == libc::EINTR => Exit::Interrupted,
            Err(error) => Exit::Failed(error.into()),
        }
    }
}

fn failed(step: &'static str) -> impl Fn(kvm_ioctls::Error) -> Unusable {
    move |error| Unusable::Failed { step, error: error.into() }
}

fn other(step: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> Unusable {
    Unusable::Failed { step, error: io::Error::other(error) }
}

fn add_memory(vm: &VmFd, memory: &GuestMemoryMmap) -> Result<(), Unusable> {
    let host = memory
        .get_host_address(GuestAddress(0))
        .map_err(|error| other("map guest memory", error))?;
    let region = kvm_userspace_memory_region {
        slot: 0,
        guest_phys_addr: 0,
        memory_size: MEMORY_SIZE as u64,
        userspace_addr: host as u64,
        flags: 0,
    };
    // SAFETY: the memory stays mapped as long as the machine, which owns both, exists.
    unsafe { vm.set_user_memory_region(region) }.map_err(failed("give the machine memory"))
}

/// Writes page tables, descriptor tables and code (Intel SDM volume 3, chapters 4 and 5).
fn fill(memory: &GuestMemoryMmap) -> Result<(), vm_memory::GuestMemoryError> {
    let write = |address: u64, value: u64| memory.write_obj(value, GuestAddress(address));
    let (present, writable, user) = (1, 2, 4);
    write(PML4, PDPT | present | writable | user)?;
    write(PDPT, PAGE_DIRECTORY | present | writable | user)?;
    write(PAGE_DIRECTORY, PAGE_TABLE | present | writable | user)?;
    for page in (0..UNMAPPED).step_by(4096) {
        let rights = if page == program::USER_CODE { user } else { writable };
        write(PAGE_TABLE + page / 4096 * 8, page | present | rights)?;
    }
    let descriptors = [
        0,
        0x00af_9b00_0000_ffff,
        0x00cf_9300_0000_ffff,
        0x00cf_f300_0000_ffff,
        0x00af_fb00_0000_ffff,
    ];
    for (index, descriptor) in (0..).zip(descriptors) {
        write(GDT + index * 8, descriptor)?;
    }
    write(GDT + u64::from(TSS_SELECTOR), 0x0000_8b00_0000_0067 | TSS << 16)?;
    // RSP0, unaligned by design of the structure.
    write(TSS + 4, program::KERNEL_STACK_TOP)?;
    let handler = program::page_fault_entry();
    let interrupt_gate = 0x8e00 << 32 | u64::from(KERNEL_CODE_SELECTOR) << 16;
    write(IDT + 14 * 16, interrupt_gate | handler & 0xffff | (handler >> 16 & 0xffff) << 48)?;
    memory.write_slice(program::kernel(), GuestAddress(program::KERNEL_CODE))?;
    memory.write_slice(program::user(), GuestAddress(program::USER_CODE))
}

/// Puts the vCPU into long mode at the start of the ring-0 code.
fn prepare(kvm: &Kvm, vcpu: &VcpuFd) -> Result<(), Unusable> {
    let cpuid = kvm
        .get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES)
        .map_err(failed("read CPUID"))?;
    vcpu.set_cpuid2(&cpuid).map_err(failed("set CPUID"))?;
    let mut special = vcpu.get_sregs().map_err(failed("read special registers"))?;
    special.cs = segment(KERNEL_CODE_SELECTOR, 0xb, true);
    special.ss = segment(KERNEL_DATA_SELECTOR, 0x3, false);
    (special.ds, special.es, special.fs, special.gs) =
        (special.ss, special.ss, special.ss, special.ss);
    special.tr = kvm_segment {
        base: TSS,
        limit: 0x67,
        selector: TSS_SELECTOR,
        type_: 0xb,
        present: 1,
        ..Default::default()
    };
    (special.gdt.base, special.gdt.limit) = (GDT, 0x37);
    (special.idt.base, special.idt.limit) = (IDT, 15 * 16 - 1);
    special.cr3 = PML4;
    special.cr0 = 0x8001_0033; // PG, WP, NE, ET, MP, PE
    special.cr4 = 0x20; // PAE
    special.efer = 0x501; // LMA, LME, SCE
    vcpu.set_sregs(&special).map_err(failed("enter long mode"))?;
    let mut registers = vcpu.get_regs().map_err(failed("read registers"))?;
    (registers.rip, registers.rsp, registers.rflags) =
        (program::KERNEL_CODE, program::KERNEL_STACK_TOP, 2);
    vcpu.set_regs(&registers).map_err(failed("set registers"))?;
    set_syscall_entry(vcpu)
}

fn segment(selector: u16, type_: u8, code: bool) -> kvm_segment {
    kvm_segment {
        selector,
        type_,
        limit: u32::MAX,
        present: 1,
        s: 1,
        g: 1,
        l: code.into(),
        db: (!code).into(),
        ..Default::default()
    }
}

fn set_syscall_entry(vcpu: &VcpuFd) -> Result<(), Unusable> {
    let star = u64::from(KERNEL_DATA_SELECTOR) << 48 | u64::from(KERNEL_CODE_SELECTOR) << 32;
    let values =
        [(0xc000_0081, star), (0xc000_0082, program::syscall_entry()), (0xc000_0084, 0x700)];
    let entries = values.map(|(index, data)| kvm_msr_entry { index, data, ..Default::default() });
    let msrs = Msrs::from_entries(&entries).map_err(|_| Unusable::Failed {
        step: "list system-call registers",
        error: io::ErrorKind::InvalidInput.into(),
    })?;
    let count = vcpu.set_msrs(&msrs).map_err(failed("set system-call registers"))?;
    if count == entries.len() {
        return Ok(());
    }
    Err(Unusable::Failed {
        step: "set system-call registers",
        error: io::ErrorKind::Unsupported.into(),
    })
}
