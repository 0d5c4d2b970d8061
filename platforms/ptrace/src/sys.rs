//! The host system calls that no safe library offers: ptrace(2), waiting, and mapping memory.
#![allow(unsafe_code, reason = "leaf module: the boundary to the host kernel")]

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd},
    ptr,
};

use rustix::mm::{MapFlags, ProtFlags};
use sentry::memory::Region;

/// A thread id of the host, in the pid namespace of this process.
pub type Tid = libc::pid_t;

/// General-purpose registers of a tracee: `struct user_regs_struct` of `<sys/user.h>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the architecture's own names")]
#[repr(C)]
pub struct HostRegisters {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The system call in progress, or -1.
    pub original_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

const _: () = assert!(size_of::<HostRegisters>() == size_of::<libc::user_regs_struct>());

/// ptrace(2) requests and options, from `<linux/ptrace.h>` and `<asm/ptrace-abi.h>`.
mod request {
    pub const CONT: libc::c_long = 7;
    pub const GETREGS: libc::c_long = 12;
    pub const SETREGS: libc::c_long = 13;
    pub const DETACH: libc::c_long = 17;
    pub const SYSEMU: libc::c_long = 31;
    pub const SETOPTIONS: libc::c_long = 0x4200;
    pub const GETEVENTMSG: libc::c_long = 0x4201;
    pub const GETSIGINFO: libc::c_long = 0x4202;
    pub const GETREGSET: libc::c_long = 0x4204;
    pub const SETREGSET: libc::c_long = 0x4205;
    pub const SEIZE: libc::c_long = 0x4206;
    pub const INTERRUPT: libc::c_long = 0x4207;
    pub const GET_SYSCALL_INFO: libc::c_long = 0x420e;
    pub const GET_RSEQ_CONFIGURATION: libc::c_long = 0x420f;
    /// `NT_X86_XSTATE` of `<linux/elf.h>`.
    pub const XSTATE_NOTE: usize = 0x202;
}

/// Options of every tracee: kill it when its tracer ends, mark system-call stops, and trace the
/// processes and threads it is made to create.
const TRACE_OPTIONS: usize = 0x0010_0000 | 0x1 | 0x2 | 0x8;

/// `AUDIT_ARCH_X86_64` of `<linux/audit.h>`.
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// Calls ptrace(2).
///
/// # Safety
/// `address` and `data` must be what the request asks for; pointers among them must be valid.
unsafe fn ptrace(
    request: libc::c_long,
    tid: Tid,
    address: usize,
    data: usize,
) -> io::Result<usize> {
    // SAFETY: by the contract of this function.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, request, tid, address, data) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Address of `object` as an argument of ptrace(2) that only reads it.
fn address_of<T: ?Sized>(object: &T) -> usize {
    ptr::from_ref(object).addr()
}

/// Address of `object` as an argument of ptrace(2) that writes it.
fn address_of_mut<T>(object: &mut T) -> usize {
    ptr::from_mut(object).expose_provenance()
}

/// How a stopped tracee goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// System calls stop it and are not executed by the host.
    Emulating,
    /// The host executes its system calls.
    Executing,
}

/// Resumes `tid`, delivering no signal.
pub fn resume(tid: Tid, how: Resume) -> io::Result<()> {
    let request = match how {
        Resume::Emulating => request::SYSEMU,
        Resume::Executing => request::CONT,
    };
    // SAFETY: no pointers; data 0 is "no signal".
    unsafe { ptrace(request, tid, 0, 0) }.map(drop)
}

/// Stops tracing `tid` and lets it run.
pub fn detach(tid: Tid) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe { ptrace(request::DETACH, tid, 0, 0) }.map(drop)
}

/// Begins to trace `tid` from the calling thread, without stopping it.
pub fn seize(tid: Tid) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe { ptrace(request::SEIZE, tid, 0, TRACE_OPTIONS) }.map(drop)
}

/// Sets the options of a tracee that asked to be traced.
pub fn set_options(tid: Tid) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe { ptrace(request::SETOPTIONS, tid, 0, TRACE_OPTIONS) }.map(drop)
}

/// Makes a seized tracee stop.
pub fn interrupt(tid: Tid) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe { ptrace(request::INTERRUPT, tid, 0, 0) }.map(drop)
}

/// The thread id that an event stop of `tid` is about.
pub fn event_message(tid: Tid) -> io::Result<Tid> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: `message` is the unsigned long the request writes.
    unsafe { ptrace(request::GETEVENTMSG, tid, 0, address_of_mut(&mut message)) }?;
    Tid::try_from(message).map_err(io::Error::other)
}

/// Reads the general-purpose registers of a stopped tracee.
pub fn registers(tid: Tid, registers: &mut HostRegisters) -> io::Result<()> {
    // SAFETY: `registers` is the user_regs_struct the request writes.
    unsafe { ptrace(request::GETREGS, tid, 0, address_of_mut(registers)) }.map(drop)
}

/// Writes the general-purpose registers of a stopped tracee.
pub fn set_registers(tid: Tid, registers: &HostRegisters) -> io::Result<()> {
    // SAFETY: `registers` is the user_regs_struct the request reads.
    unsafe { ptrace(request::SETREGS, tid, 0, address_of(registers)) }.map(drop)
}

/// Reads the XSAVE area of a stopped tracee into `area`; answers how many bytes it has.
pub fn extended_state(tid: Tid, area: &mut [u8]) -> io::Result<usize> {
    let mut vector = libc::iovec { iov_base: area.as_mut_ptr().cast(), iov_len: area.len() };
    let data = address_of_mut(&mut vector);
    // SAFETY: the iovec describes `area`, and both live until the call returns.
    unsafe { ptrace(request::GETREGSET, tid, request::XSTATE_NOTE, data) }?;
    Ok(vector.iov_len)
}

/// Writes the XSAVE area of a stopped tracee. `EINVAL` or `EFAULT` if it is not valid.
pub fn set_extended_state(tid: Tid, area: &[u8]) -> io::Result<()> {
    let base = area.as_ptr().cast_mut().cast();
    let mut vector = libc::iovec { iov_base: base, iov_len: area.len() };
    let data = address_of_mut(&mut vector);
    // SAFETY: the iovec describes `area`, which the request only reads.
    unsafe { ptrace(request::SETREGSET, tid, request::XSTATE_NOTE, data) }.map(drop)
}

/// Why a signal was raised in a tracee.
#[derive(Clone, Copy, Debug)]
pub struct SignalInfo {
    /// `si_code`: from the processor if positive.
    pub code: i32,
    /// `si_addr`, for signals of memory accesses.
    pub address: u64,
    /// `si_syscall`, for SIGSYS.
    pub syscall: u32,
}

/// The signal that stopped `tid`.
pub fn signal_info(tid: Tid) -> io::Result<SignalInfo> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `info` is the siginfo_t the request writes.
    unsafe { ptrace(request::GETSIGINFO, tid, 0, address_of_mut(&mut info)) }?;
    // SAFETY: zero is a valid siginfo_t, and so is what the kernel wrote. si_addr and si_call_addr
    // are both the first word after the 16-byte header; si_syscall is the 32 bits after that.
    unsafe {
        let info = info.assume_init();
        let syscall = ptr::from_ref(&info).cast::<u32>().add(6).read();
        Ok(SignalInfo { code: info.si_code, address: info.si_addr().addr() as u64, syscall })
    }
}

/// Whether the system call at which `tid` stopped was made by the 64-bit entry.
pub fn is_64_bit_syscall(tid: Tid) -> io::Result<bool> {
    // struct ptrace_syscall_info: u8 op, u8 pad[3], u32 arch, ...; 88 bytes in all.
    let mut info = [0_u64; 11];
    // SAFETY: the request writes at most the size given as address.
    unsafe {
        ptrace(request::GET_SYSCALL_INFO, tid, size_of_val(&info), address_of_mut(&mut info))
    }?;
    Ok(info[0] >> 32 == u64::from(AUDIT_ARCH_X86_64))
}

/// A registration of restartable sequences (rseq(2)).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RseqConfiguration {
    /// Address of the registered area; 0 if none.
    pub address: u64,
    /// Its size in bytes.
    pub size: u32,
    /// The signature it was registered with.
    pub signature: u32,
    flags: u32,
    padding: u32,
}

/// The restartable-sequence registration of `tid`. `EIO` on kernels without that request.
pub fn rseq_configuration(tid: Tid) -> io::Result<RseqConfiguration> {
    let mut configuration = RseqConfiguration::default();
    let size = size_of_val(&configuration);
    let data = address_of_mut(&mut configuration);
    // SAFETY: `configuration` is the struct ptrace_rseq_configuration the request writes.
    unsafe { ptrace(request::GET_RSEQ_CONFIGURATION, tid, size, data) }?;
    Ok(configuration)
}

/// What wait(2) reports of a tracee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It stopped at a system call.
    Syscall,
    /// A signal is about to be delivered.
    Signal(i32),
    /// It stopped at a ptrace event (`PTRACE_EVENT_*`).
    Event,
    /// It is no more.
    Ended,
}

/// Waits for the next stop or the end of `tid`.
pub fn wait(tid: Tid) -> Report {
    wait_status(tid, libc::__WALL).map_or(Report::Ended, |(_, status)| report(status))
}

/// The stop or the end of `tid` that [`wait`] would answer at once.
pub fn poll(tid: Tid) -> Option<Report> {
    match wait_status(tid, libc::__WALL | libc::WNOHANG) {
        Ok((0, _)) => None,
        Ok((_, status)) => Some(report(status)),
        Err(_) => Some(Report::Ended),
    }
}

/// Waits for the next stop or the end of any child or tracee of the calling thread; answers which.
/// `ECHILD` if there is none.
pub fn wait_for_any() -> io::Result<(Tid, Report)> {
    let (tid, status) = wait_status(-1, libc::__WALL | libc::__WNOTHREAD)?;
    Ok((tid, report(status)))
}

fn wait_status(tid: Tid, options: i32) -> io::Result<(Tid, i32)> {
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    let tid = uninterrupted(|| unsafe { libc::waitpid(tid, &raw mut status, options) })?;
    Ok((tid, status))
}

/// Makes `call` until no signal interrupts it.
fn uninterrupted(mut call: impl FnMut() -> i32) -> io::Result<i32> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Decodes a wait status (wait(2), ptrace(2)).
const fn report(status: i32) -> Report {
    const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;
    match (status & 0xff, status >> 8) {
        (0x7f, SYSCALL_STOP) => Report::Syscall,
        (0x7f, signal @ 0..=0xff) => Report::Signal(signal),
        (0x7f, _) => Report::Event,
        _ => Report::Ended,
    }
}

/// What the kernel tells of the processor in AT_HWCAP2 (getauxval(3)). The C library remembers that from the start
/// of the program; before Linux 6.4 others read /proc for it, which the sandbox process does not see.
pub fn hardware_capabilities2() -> u64 {
    // SAFETY: no pointers.
    unsafe { libc::getauxval(libc::AT_HWCAP2) }
}

/// Sends `signal` to one thread of process `process`. That it may be gone already is no error.
pub fn signal_thread(process: Tid, tid: Tid, signal: i32) {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_tgkill, process, tid, signal) };
}

/// Kills a stub process. That it may be gone already is no error.
pub fn kill(process: Tid) {
    if is_child(process) {
        // SAFETY: no pointers. Only a child of ours that is not reaped can have that number.
        unsafe { libc::kill(process, libc::SIGKILL) };
    }
}

/// Whether `process` is a child of this process that has not been reaped.
pub fn is_child(process: Tid) -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    wait_for_id(libc::P_PID, process.cast_unsigned(), options).is_ok()
}

/// Reaps thread `tid` if it has ended. False if it has not; true also if it is not ours any more.
pub fn reap(tid: Tid) -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::__WALL;
    let reaped = wait_for_id(libc::P_PID, tid.cast_unsigned(), options);
    reaped.is_err() || !is_child(tid)
}

/// Waits for the end of some child or tracee of this process, and leaves it to be reaped.
pub fn wait_for_any_end() -> io::Result<()> {
    wait_for_id(libc::P_ALL, 0, libc::WEXITED | libc::WNOWAIT | libc::__WALL)
}

/// Waits for the end of some child or tracee of the calling thread, and reaps it. Stops are left
/// for others to wait for.
pub fn reap_any_of_this_thread() -> io::Result<()> {
    wait_for_id(libc::P_ALL, 0, libc::WEXITED | libc::__WALL | libc::__WNOTHREAD)
}

fn wait_for_id(kind: libc::idtype_t, id: libc::id_t, options: i32) -> io::Result<()> {
    let mut information = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `information` is valid for writes.
    uninterrupted(|| unsafe { libc::waitid(kind, id, information.as_mut_ptr(), options) }).map(drop)
}

/// Asks the kernel not to raise SIGCHLD for every stop of a tracee, keeping the handler.
pub fn suppress_stop_notifications() -> io::Result<()> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: both pointers are null or valid, and the new action is the old one with one flag more.
    let result = unsafe {
        match libc::sigaction(libc::SIGCHLD, ptr::null(), action.as_mut_ptr()) {
            0 => {
                (*action.as_mut_ptr()).sa_flags |= libc::SA_NOCLDSTOP;
                libc::sigaction(libc::SIGCHLD, action.as_ptr(), ptr::null_mut())
            }
            failure => failure,
        }
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Maps the first `size` bytes of `file`, shared, as physical memory from `base`. It stays mapped
/// for the life of the process, since copies of the region may be anywhere.
pub fn map_region(file: BorrowedFd<'_>, base: u64, size: usize) -> io::Result<Region> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::SHARED | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address the kernel chooses replaces nothing.
    let pointer =
        unsafe { rustix::mm::mmap(ptr::null_mut(), size, protection, flags, file.as_fd(), 0) }?;
    let pointer = ptr::NonNull::new(pointer.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: page aligned, never unmapped, and known to no Rust object.
    Ok(unsafe { Region::new(base, size, pointer) })
}

/// Reads the time-stamp counter, not before earlier instructions have finished.
pub fn time_stamp_counter() -> u64 {
    // SAFETY: LFENCE and RDTSC exist on every x86-64 processor and touch no memory.
    unsafe {
        core::arch::x86_64::_mm_lfence();
        core::arch::x86_64::_rdtsc()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_are_told_apart() {
        assert_eq!(report(0x857f), Report::Syscall);
        assert_eq!(report(0x057f), Report::Signal(libc::SIGTRAP));
        assert_eq!(report(0x0b7f), Report::Signal(libc::SIGSEGV));
        assert_eq!(report(0x0080_057f), Report::Event);
        assert_eq!(report(0x0009), Report::Ended);
        assert_eq!(report(0x0100), Report::Ended);
    }
}
