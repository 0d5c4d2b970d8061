//! The frame that a signal handler finds on its stack, and the way back from it.
//!
//! Layout: arch/x86/include/uapi/asm/sigcontext.h and arch/x86/include/asm/sigframe.h of Linux.
//! From high to low addresses: the red zone of the interrupted function, the extended state
//! (64-byte aligned), and [`Frame`], whose first word is the handler's return address.

use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    ActionFlags, AlternateStack, Handler, SIGINFO_SIZE, SignalAction, SignalInfo, SignalSet, stack,
};
use crate::{
    errno::{Errno, Result},
    kernel::Current,
    mm::UserAddress,
    platform::Registers,
};

/// Bytes below the stack pointer that a function may use without moving it (x86-64 psABI, 3.2.2).
const RED_ZONE: u64 = 128;
/// User code segment, as Linux sets it.
const USER_CODE_SEGMENT: u16 = 0x33;
/// User data segment.
const USER_DATA_SEGMENT: u16 = 0x2b;
/// uc_flags: extended state is there; the stack segment is saved; and is to be restored.
const UC_FLAGS: u64 = 0x1 | 0x2 | 0x4;
/// First word of the description of the extended state.
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// Word after the extended state.
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
/// Size of the FXSAVE area.
const LEGACY_SIZE: usize = 512;
/// Where software may keep data in the FXSAVE area.
const SOFTWARE_OFFSET: usize = 464;
/// Size of the XSAVE header after the FXSAVE area.
const HEADER_SIZE: usize = 64;
/// Flags that user code may change: CF PF AF ZF SF TF DF OF RF AC.
const USER_FLAGS: u64 = 0x5_0dd5;
/// Direction, trap and resume flags, clear in a handler.
const CLEARED_FLAGS: u64 = 0x1_0500;
/// MXCSR bits that every processor of today has.
const MXCSR_MASK: u32 = 0xffff;

/// `struct sigcontext`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SignalContext {
    r8_to_r15: [u64; 8],
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rax: u64,
    rcx: u64,
    rsp: u64,
    rip: u64,
    rflags: u64,
    cs: u16,
    gs: u16,
    fs: u16,
    ss: u16,
    error_code: u64,
    trap_number: u64,
    old_mask: u64,
    cr2: u64,
    extended: u64,
    reserved: [u64; 8],
}

/// `stack_t`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UserStack {
    /// `ss_sp`.
    pub base: u64,
    /// `ss_flags`.
    pub flags: u32,
    /// Padding.
    pub padding: u32,
    /// `ss_size`.
    pub size: u64,
}

/// `struct rt_sigframe`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Frame {
    return_address: u64,
    flags: u64,
    link: u64,
    stack: UserStack,
    context: SignalContext,
    mask: u64,
    info: [u8; SIGINFO_SIZE],
}

/// Offset of `struct ucontext` in [`Frame`].
const UCONTEXT_OFFSET: u64 = 8;
/// Offset of the `siginfo_t`.
const INFO_OFFSET: u64 = 8 + 8 + 8 + 24 + 256 + 8;
/// Size of [`Frame`].
const FRAME_SIZE: u64 = INFO_OFFSET + SIGINFO_SIZE as u64;

/// The last exception of a task, as sigcontext shows it (`trapno`, `err`, `cr2`).
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultRecord {
    /// Vector of the exception.
    pub trap_number: u64,
    /// Error code that the processor gives.
    pub error_code: u64,
    /// Address touched, of a page fault.
    pub address: u64,
}

/// Size of the largest frame with `extended_size` bytes of state (AT_MINSIGSTKSZ).
pub const fn minimum_stack_size(extended_size: usize) -> u64 {
    FRAME_SIZE + extended_size as u64 + 4 + 64 + 16
}

impl From<&AlternateStack> for UserStack {
    fn from(stack: &AlternateStack) -> Self {
        Self { base: stack.base, flags: 0, padding: 0, size: stack.size }
    }
}

/// Makes `current` run the handler of `action` for `info`, to return to where it is now with
/// `mask` blocked.
///
/// # Errors
/// EFAULT if the frame does not fit on the stack.
pub async fn enter_handler(
    current: &mut Current,
    info: &SignalInfo,
    action: &SignalAction,
    mask: SignalSet,
) -> Result<()> {
    let Handler::Function(handler) = action.handler else { return Err(Errno::EFAULT) };
    if !action.flags.contains(ActionFlags::RESTORER) {
        return Err(Errno::EFAULT);
    }
    let extended = extended_image(current);
    let top = stack_top(current, action);
    let extended_address = top.checked_sub(extended.len() as u64).ok_or(Errno::EFAULT)? & !63;
    // A function expects its stack pointer 8 bytes below a multiple of 16.
    let frame_address =
        (extended_address.checked_sub(FRAME_SIZE).ok_or(Errno::EFAULT)? & !15).wrapping_sub(8);
    let frame = build_frame(current, info, action, mask, extended_address);
    current.mm.copy_out(UserAddress(extended_address), &extended).await?;
    current.mm.copy_out(UserAddress(frame_address), frame.as_bytes()).await?;
    if current.alternate_stack.auto_disarm {
        current.alternate_stack = AlternateStack::default();
    }
    let registers = &mut current.context.registers;
    registers.rdi = u64::from(info.signal.number());
    registers.rsi = frame_address + INFO_OFFSET;
    registers.rdx = frame_address + UCONTEXT_OFFSET;
    registers.rax = 0;
    registers.rsp = frame_address;
    registers.rip = handler;
    registers.rflags &= !CLEARED_FLAGS;
    Ok(())
}

/// Where the frame of a handler is put below.
fn stack_top(current: &Current, action: &SignalAction) -> u64 {
    let stack_pointer = current.context.registers.rsp;
    let stack = &current.alternate_stack;
    let switch = action.flags.contains(ActionFlags::ON_STACK)
        && stack.size != 0
        && !stack.contains(stack_pointer);
    if switch {
        stack.base.saturating_add(stack.size)
    } else {
        stack_pointer.wrapping_sub(RED_ZONE)
    }
}

fn build_frame(
    current: &Current,
    info: &SignalInfo,
    action: &SignalAction,
    mask: SignalSet,
    extended_address: u64,
) -> Frame {
    let registers = &current.context.registers;
    let stack = &current.alternate_stack;
    Frame {
        return_address: action.restorer,
        flags: UC_FLAGS,
        link: 0,
        stack: UserStack { flags: stack.flags(registers.rsp), ..UserStack::from(stack) },
        context: SignalContext {
            error_code: current.fault.error_code,
            trap_number: current.fault.trap_number,
            cr2: current.fault.address,
            old_mask: mask.0,
            extended: extended_address,
            ..SignalContext::from(registers)
        },
        mask: mask.0,
        info: info.seen_by(&current.credentials()).to_user(),
    }
}

impl From<&Registers> for SignalContext {
    fn from(r: &Registers) -> Self {
        Self {
            r8_to_r15: [r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15],
            rdi: r.rdi,
            rsi: r.rsi,
            rbp: r.rbp,
            rbx: r.rbx,
            rdx: r.rdx,
            rax: r.rax,
            rcx: r.rcx,
            rsp: r.rsp,
            rip: r.rip,
            rflags: r.rflags,
            cs: USER_CODE_SEGMENT,
            ss: USER_DATA_SEGMENT,
            ..Self::default()
        }
    }
}

impl SignalContext {
    /// Puts the saved registers back, with only those flags that user code may set.
    fn restore(&self, r: &mut Registers) {
        [r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15] = self.r8_to_r15;
        r.rdi = self.rdi;
        r.rsi = self.rsi;
        r.rbp = self.rbp;
        r.rbx = self.rbx;
        r.rdx = self.rdx;
        r.rax = self.rax;
        r.rcx = self.rcx;
        r.rsp = self.rsp;
        r.rip = self.rip;
        r.rflags = (r.rflags & !USER_FLAGS) | (self.rflags & USER_FLAGS);
    }
}

/// The extended state as the frame holds it: the XSAVE area with its description in the bytes that
/// are left to software, and a closing word.
fn extended_image(current: &mut Current) -> Vec<u8> {
    current.save_extended_state();
    let mut image = current.context.extended.lock().bytes.to_vec();
    let size = image.len();
    if size > LEGACY_SIZE + HEADER_SIZE {
        let features = current.kernel.platform.extended_state_features();
        let size_word = u32::try_from(size).unwrap_or(u32::MAX);
        let software = &mut image[SOFTWARE_OFFSET..LEGACY_SIZE];
        software.fill(0);
        software[0..4].copy_from_slice(&FP_XSTATE_MAGIC1.to_le_bytes());
        software[4..8].copy_from_slice(&size_word.saturating_add(4).to_le_bytes());
        software[8..16].copy_from_slice(&features.to_le_bytes());
        software[16..20].copy_from_slice(&size_word.to_le_bytes());
        image.extend_from_slice(&FP_XSTATE_MAGIC2.to_le_bytes());
    }
    image
}

/// Returns from a handler (rt_sigreturn(2)): restores what the frame at the stack pointer says.
///
/// # Errors
/// EFAULT if the frame cannot be read.
pub async fn return_from_handler(current: &mut Current) -> Result<()> {
    let frame_address = current.context.registers.rsp.wrapping_sub(8);
    let frame: Frame = current.mm.read(UserAddress(frame_address)).await?;
    restore_extended(current, frame.context.extended).await?;
    frame.context.restore(&mut current.context.registers);
    current.task.set_blocked_signals(SignalSet(frame.mask));
    // A bad stack in the frame is ignored, as in Linux.
    let stack_pointer = current.context.registers.rsp;
    if let Ok(stack) = alternate_stack_from_user(&frame.stack)
        && !current.alternate_stack.contains(stack_pointer)
    {
        current.alternate_stack = stack;
    }
    Ok(())
}

/// The alternate stack that `user` describes.
///
/// # Errors
/// EINVAL for unknown flags, ENOMEM if it is too small (MINSIGSTKSZ).
pub fn alternate_stack_from_user(user: &UserStack) -> Result<AlternateStack> {
    const MINIMUM_SIZE: u64 = 2048;
    let auto_disarm = user.flags & stack::AUTO_DISARM != 0;
    match user.flags & !stack::AUTO_DISARM {
        stack::DISABLE => Ok(AlternateStack { auto_disarm, ..AlternateStack::default() }),
        0 | stack::ON_STACK if user.size < MINIMUM_SIZE => Err(Errno::ENOMEM),
        0 | stack::ON_STACK => Ok(AlternateStack { base: user.base, size: user.size, auto_disarm }),
        _ => Err(Errno::EINVAL),
    }
}

/// Loads the extended state from user memory at `address`; the initial state if that is 0.
async fn restore_extended(current: &mut Current, address: u64) -> Result<()> {
    current.save_extended_state();
    let size = current.context.extended.lock().bytes.len();
    let mut image = crate::platform::ExtendedState::initial(size).lock().bytes.to_vec();
    if address != 0 {
        let legacy = &mut image[..LEGACY_SIZE];
        current.mm.copy_in(UserAddress(address), legacy).await?;
        if describes_whole_area(&image, size) {
            current.mm.copy_in(UserAddress(address), &mut image).await?;
        } else if size > LEGACY_SIZE + 8 {
            // Only x87 and SSE state is there: features 0 and 1.
            image[LEGACY_SIZE] = 3;
        }
    }
    sanitize(&mut image, current.kernel.platform.extended_state_features());
    current.context.extended.lock().bytes.copy_from_slice(&image);
    Ok(())
}

/// Whether the software bytes say that a whole XSAVE area of `size` bytes follows.
fn describes_whole_area(image: &[u8], size: usize) -> bool {
    let word = |offset: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&image[SOFTWARE_OFFSET + offset..SOFTWARE_OFFSET + offset + 4]);
        u32::from_le_bytes(bytes)
    };
    word(0) == FP_XSTATE_MAGIC1 && usize::try_from(word(16)) == Ok(size)
}

/// Clears what would make the processor refuse the area (Intel SDM, XRSTOR: #GP conditions).
fn sanitize(image: &mut [u8], features: u64) {
    image[SOFTWARE_OFFSET..LEGACY_SIZE].fill(0);
    let mut mxcsr = [0; 4];
    mxcsr.copy_from_slice(&image[24..28]);
    let mxcsr = u32::from_le_bytes(mxcsr) & MXCSR_MASK;
    image[24..28].copy_from_slice(&mxcsr.to_le_bytes());
    if let Some(header) = image.get_mut(LEGACY_SIZE..LEGACY_SIZE + HEADER_SIZE) {
        let mut present = [0; 8];
        present.copy_from_slice(&header[..8]);
        let present = u64::from_le_bytes(present) & features;
        header.fill(0);
        header[..8].copy_from_slice(&present.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_that_of_linux() {
        assert_eq!(size_of::<SignalContext>(), 256);
        assert_eq!(core::mem::offset_of!(SignalContext, extended), 184);
        assert_eq!(core::mem::offset_of!(Frame, context), 48);
        assert_eq!(core::mem::offset_of!(Frame, mask), 304);
        assert_eq!(core::mem::offset_of!(Frame, info) as u64, INFO_OFFSET);
        assert_eq!(size_of::<Frame>() as u64, FRAME_SIZE);
    }

    #[test]
    fn hostile_extended_state_is_made_harmless() {
        let mut image = [0xff; 1024];
        sanitize(&mut image, 7);
        assert_eq!(image[24..28], 0xffff_u32.to_le_bytes());
        assert_eq!(image[512..520], 7_u64.to_le_bytes());
        assert!(image[520..576].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn small_alternate_stacks_are_refused() {
        let user = UserStack { base: 0x1000, size: 100, ..UserStack::default() };
        assert_eq!(alternate_stack_from_user(&user), Err(Errno::ENOMEM));
        let user = UserStack { flags: 7, ..user };
        assert_eq!(alternate_stack_from_user(&user), Err(Errno::EINVAL));
    }
}
