//! What belongs to one vCPU, reached through GS while in ring 0.

use core::{
    arch::asm,
    cell::UnsafeCell,
    mem::{MaybeUninit, offset_of},
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use guest_abi::kvm::MAX_VCPUS;
use sentry::platform::{ExtendedState, Registers};

use super::{address_spaces::KeptSpaces, descriptors::Descriptors};

/// State of one vCPU. The entry code knows the offsets of the first fields.
#[repr(C, align(64))]
pub struct PerCpu {
    /// Address of this structure, so that `gs:0` yields it.
    self_address: u64,
    /// Where the entry code stores user registers.
    user_registers: *mut Registers,
    /// Stack of `enter_user`'s caller.
    kernel_stack: u64,
    /// User RSP (or RAX) for some instructions of the entry code.
    scratch: u64,
    /// Vector and error code of the last exception or interrupt from ring 3.
    pub trap_vector: u64,
    /// See `trap_vector`.
    pub trap_error: u64,
    /// Whether RDFSBASE and its kin may be used.
    pub has_fsgsbase: u64,
    /// Index of the vCPU.
    pub index: u16,
    /// Only this vCPU touches these.
    pub own: UnsafeCell<Own>,
    /// A sticky interrupt request (`Platform::interrupt`).
    pub interrupt_pending: AtomicBool,
    /// A [`Mode`].
    mode: AtomicU8,
    /// Translations must be dropped before ring 3 is entered again.
    pub flush_pending: AtomicBool,
    /// Physical address of the page table that CR3 names.
    pub loaded_root: AtomicU64,
    /// What the host says of the interrupt in service (see [`super::apic`]).
    pub end_of_interrupt: AtomicU32,
    /// Descriptor tables; the processor refers to them. Last, because they are large and what precedes
    /// them is used on every call.
    pub descriptors: Descriptors,
}

/// What a vCPU does, so that others know whether it takes an interrupt to be noticed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Runs the sentry, and looks at requests before it does anything else.
    Sentry = 0,
    /// In ring 3, or about to be.
    User = 1,
    /// Halted, or about to be.
    Halted = 2,
}

impl PerCpu {
    /// Tells the others what this vCPU does from now on. Requests must be looked at afterwards.
    pub fn set_mode(&self, mode: Mode) {
        // Who takes it to be in the mode that it has left only interrupts it for nothing.
        let ordering = if mode == Mode::Sentry { Ordering::Release } else { Ordering::SeqCst };
        self.mode.store(mode as u8, ordering);
    }

    /// Whether it is in ring 3, or about to be.
    pub fn is_in_user(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == Mode::User as u8
    }

    /// Whether it takes an interrupt to be noticed.
    pub fn needs_interrupt(&self) -> bool {
        self.mode.load(Ordering::SeqCst) != Mode::Sentry as u8
    }
}

/// State that no other vCPU looks at.
pub struct Own {
    /// Whose vector state is in the registers.
    pub extended_owner: Option<ExtendedState>,
    /// CLOCK_MONOTONIC in nanoseconds at which the timer fires; `u64::MAX` if it is not set.
    pub timer_deadline: u64,
    /// Address spaces whose translations it keeps.
    pub spaces: KeptSpaces,
}

// SAFETY: shared fields are atomics; `own` and what precedes `descriptors` is touched only by the
// vCPU itself, with interrupts off.
unsafe impl Sync for PerCpu {}

/// Offsets for the entry code.
pub mod offset {
    use super::{PerCpu, offset_of};

    pub const USER_REGISTERS: usize = offset_of!(PerCpu, user_registers);
    pub const KERNEL_STACK: usize = offset_of!(PerCpu, kernel_stack);
    pub const SCRATCH: usize = offset_of!(PerCpu, scratch);
    pub const TRAP_VECTOR: usize = offset_of!(PerCpu, trap_vector);
    pub const TRAP_ERROR: usize = offset_of!(PerCpu, trap_error);
    pub const HAS_FSGSBASE: usize = offset_of!(PerCpu, has_fsgsbase);
}

const EMPTY: PerCpu = PerCpu {
    self_address: 0,
    user_registers: core::ptr::null_mut(),
    kernel_stack: 0,
    scratch: 0,
    trap_vector: 0,
    trap_error: 0,
    has_fsgsbase: 0,
    index: 0,
    own: UnsafeCell::new(Own {
        extended_owner: None,
        timer_deadline: u64::MAX,
        spaces: KeptSpaces::NONE,
    }),
    interrupt_pending: AtomicBool::new(false),
    mode: AtomicU8::new(Mode::Sentry as u8),
    flush_pending: AtomicBool::new(false),
    loaded_root: AtomicU64::new(0),
    end_of_interrupt: AtomicU32::new(0),
    descriptors: Descriptors::EMPTY,
};

/// Not initialised in the image, so that it takes no room in the file.
struct All(UnsafeCell<MaybeUninit<[PerCpu; MAX_VCPUS as usize]>>);

// SAFETY: each element is initialised by its own vCPU before any other vCPU may reach it, and is
// `Sync` from then on.
unsafe impl Sync for All {}

static ALL: All = All(UnsafeCell::new(MaybeUninit::zeroed()));

/// Sets this vCPU's structure up, all but the descriptor tables, and returns it.
///
/// # Safety
/// Called once on each vCPU, with its index.
pub unsafe fn initialise(index: u16, has_fsgsbase: bool) -> *mut PerCpu {
    // SAFETY: the index is below the array's length (the host makes no more vCPUs), and nobody else
    // uses the element yet.
    unsafe {
        let own = ALL.0.get().cast::<PerCpu>().add(usize::from(index));
        own.write(EMPTY);
        (*own).self_address = own as u64;
        (*own).index = index;
        (*own).has_fsgsbase = has_fsgsbase.into();
        own
    }
}

/// This vCPU's state.
pub fn current() -> &'static PerCpu {
    let address: *const PerCpu;
    // SAFETY: in ring 0 GS holds this vCPU's structure, whose first word is its address.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) address, options(nostack, preserves_flags, readonly));
        &*address
    }
}

/// The state of the vCPU at `index`, which may not have started yet: its atomics are zero then.
pub fn get(index: u16) -> Option<&'static PerCpu> {
    if index >= MAX_VCPUS {
        return None;
    }
    // SAFETY: within the array; only atomics and the index are used across vCPUs, and all their bits
    // are valid from the start.
    Some(unsafe { &*ALL.0.get().cast::<PerCpu>().add(usize::from(index)) })
}

/// Runs `action` with the state that only this vCPU touches. Ring 0 is never interrupted, so there
/// is no second user unless `action` calls this again, which it must not.
pub fn with_own<T>(action: impl FnOnce(&mut Own) -> T) -> T {
    // SAFETY: as above.
    action(unsafe { &mut *current().own.get() })
}
