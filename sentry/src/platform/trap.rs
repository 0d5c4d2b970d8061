//! Why user code stopped.

/// Why [`super::Platform::run_user`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A system call: number in `registers.original_rax`, arguments in their registers, and the
    /// instruction pointer after the SYSCALL instruction.
    Syscall,
    /// User code touched a page that its mapping does not allow.
    PageFault {
        /// The address touched.
        address: u64,
        /// How, if the platform can tell. It must tell for a page that it has mapped at the time.
        access: Option<Access>,
    },
    /// Another exception of the processor.
    Exception(Exception),
    /// The executor was interrupted, or the time slice is over.
    Interrupted,
    /// The place where the address space lived is gone (the host killed the stub process). Its
    /// processes can only be ended, as by SIGKILL, and the address space destroyed.
    Lost,
}

/// A kind of memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// Exceptions that become signals (Intel SDM volume 3, chapter 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// #DE: SIGFPE, FPE_INTDIV.
    DivideError,
    /// #DB, single step: SIGTRAP, TRAP_TRACE.
    Debug,
    /// #BP, INT3: SIGTRAP, SI_KERNEL; the instruction pointer is after the instruction.
    Breakpoint,
    /// #OF, or bounds: SIGSEGV.
    Overflow,
    /// #UD: SIGILL, ILL_ILLOPN.
    InvalidOpcode,
    /// #GP, #SS, #NP, or a non-canonical address: SIGSEGV, SI_KERNEL.
    GeneralProtection,
    /// #MF or #XM: SIGFPE.
    FloatingPoint,
    /// #AC: SIGBUS, BUS_ADRALN.
    AlignmentCheck,
    /// A mapped page whose backing the host could not supply: SIGBUS, BUS_ADRERR.
    BusError,
}
