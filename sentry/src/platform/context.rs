//! The user-visible processor state of one task.

use super::ExtendedState;

/// General-purpose state of user code on x86-64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the architecture's own names")]
#[repr(C)]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
    /// Base addresses of the FS and GS segments (arch_prctl(2)).
    pub fs_base: u64,
    pub gs_base: u64,
    /// Number of the system call that trapped last; the platform sets it with
    /// [`super::Trap::Syscall`] and ignores it when entering user mode.
    pub original_rax: u64,
}

impl Registers {
    /// The number of a system call, which is an `int` to Linux too (arch/x86/entry/common.c,
    /// do_syscall_64).
    #[inline]
    pub const fn call_number(&self) -> u32 {
        self.original_rax as u32
    }

    /// The six arguments of a system call, in order.
    pub const fn syscall_arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }
}

/// All user-visible processor state of one task.
#[derive(Debug)]
pub struct UserContext {
    /// General-purpose registers.
    pub registers: Registers,
    /// Vector state.
    pub extended: ExtendedState,
    /// How long user code ran in the last [`super::Platform::run_user`], in nanoseconds.
    pub user_nanoseconds: u64,
}

impl UserContext {
    /// Zero registers and initial vector state of `extended_state_size` bytes.
    pub fn new(extended_state_size: usize) -> Self {
        Self {
            registers: Registers::default(),
            extended: ExtendedState::initial(extended_state_size),
            user_nanoseconds: 0,
        }
    }
}
