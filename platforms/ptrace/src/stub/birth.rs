//! The birth of the template, the stub process that all others are copies of.
#![allow(unsafe_code, reason = "leaf module: a forked child that takes itself apart")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use libc::{c_int, c_long, sock_filter};

use super::{CODE_PAGE, COMMAND_DESCRIPTOR, COMMAND_PAGE, PAGE_SIZE, code, filter};
use crate::sys::Tid;

/// The files that stubs have, by their descriptors there: sandbox memory, the command pages, and the
/// call pages if calls are handed over.
pub type Descriptors<'a> = [Option<BorrowedFd<'a>>; 3];

/// Forks the template. The child traces itself to the calling thread and stops with SIGTRAP in the
/// code page, confined by the filter; everything it inherited is still mapped then. It dies with
/// the calling thread.
pub fn give_birth(descriptors: Descriptors<'_>) -> io::Result<Tid> {
    let inheritance = Inheritance {
        descriptors: descriptors.map(|file| file.map(|file| file.as_raw_fd())),
        code: code::bytes(),
        filter: filter::program(),
        parent: std::process::id(),
    };
    // SAFETY: clone(2) without a stack forks. The child makes only plain system calls, as fork(2)
    // demands of a process with threads, and never returns from `begin_life`.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    match child {
        0 => begin_life(&inheritance),
        1.. => Tid::try_from(child).map_err(io::Error::other),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the child gets from its parent.
struct Inheritance {
    descriptors: [Option<c_int>; 3],
    code: &'static [u8],
    filter: Vec<sock_filter>,
    parent: u32,
}

/// The life of the child up to its first stop.
fn begin_life(inheritance: &Inheritance) -> ! {
    if prepare(inheritance).is_none() {
        // SAFETY: ends the process and nothing else.
        unsafe { libc::_exit(1) };
    }
    // SAFETY: the code page is mapped and executable, and INT3 is at that address. The tracer
    // decides what follows; this stack frame is never used again.
    unsafe { core::arch::asm!("jmp {}", in(reg) code::TRAP_ENTRY, options(noreturn)) }
}

/// Turns the child into a stub; `None` at the first failure.
fn prepare(inheritance: &Inheritance) -> Option<()> {
    die_with_parent(inheritance.parent)?;
    reset_signals()?;
    keep_descriptors(inheritance.descriptors)?;
    map_pages(inheritance.code)?;
    drop_privileges()?;
    confine(&inheritance.filter)
}

/// Makes a system call; `None` if it fails.
fn call(number: c_long, arguments: [usize; 6]) -> Option<c_long> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: each caller below passes pointers that are valid for the call.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    (result >= 0).then_some(result)
}

fn prctl(option: c_int, argument: usize, second: usize) -> Option<c_long> {
    call(libc::SYS_prctl, [as_argument(option), argument, second, 0, 0, 0])
}

/// A small non-negative number as an argument.
const fn as_argument(value: c_int) -> usize {
    value.cast_unsigned() as usize
}

fn die_with_parent(parent: u32) -> Option<()> {
    prctl(libc::PR_SET_PDEATHSIG, as_argument(libc::SIGKILL), 0)?;
    // The parent may have ended before that. It reads 0 if it is outside this pid namespace.
    // SAFETY: no arguments.
    let now = unsafe { libc::getppid() }.cast_unsigned();
    (now == parent || now == 0).then_some(())
}

/// Leaves the parent's terminal session, signal handlers and signal mask.
fn reset_signals() -> Option<()> {
    call(libc::SYS_setsid, [0; 6])?;
    for signal in 1..=64 {
        // SIGKILL and SIGSTOP have none; there the call fails, as it may.
        // SAFETY: SIG_DFL is no code address.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let none = 0_u64;
    let set = ptr::from_ref(&none).addr();
    call(libc::SYS_rt_sigprocmask, [as_argument(libc::SIG_SETMASK), set, 0, 8, 0, 0]).map(drop)
}

/// Moves the descriptors to their places and closes all others.
fn keep_descriptors(files: [Option<c_int>; 3]) -> Option<()> {
    const LOWEST: c_int = 16;
    let mut duplicates = [None; 3];
    for (duplicate, file) in duplicates.iter_mut().zip(files) {
        let Some(file) = file else { continue };
        let arguments = [file, libc::F_DUPFD, LOWEST, 0, 0, 0].map(as_argument);
        *duplicate = usize::try_from(call(libc::SYS_fcntl, arguments)?).ok();
    }
    call(libc::SYS_close_range, [0, as_argument(LOWEST - 1), 0, 0, 0, 0])?;
    for (place, duplicate) in duplicates.into_iter().enumerate() {
        let Some(duplicate) = duplicate else { continue };
        call(libc::SYS_dup2, [duplicate, place, 0, 0, 0, 0])?;
    }
    call(libc::SYS_close_range, [as_argument(LOWEST), u32::MAX as usize, 0, 0, 0, 0]).map(drop)
}

/// Maps the code page and command page 0.
fn map_pages(code: &[u8]) -> Option<()> {
    let writable = libc::PROT_READ | libc::PROT_WRITE;
    map(CODE_PAGE, writable, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    // SAFETY: the page was just mapped, is writable, and the code is shorter.
    unsafe {
        ptr::with_exposed_provenance_mut::<u8>(CODE_PAGE as usize)
            .copy_from(code.as_ptr(), code.len())
    };
    let executable = as_argument(libc::PROT_READ | libc::PROT_EXEC);
    call(libc::SYS_mprotect, [CODE_PAGE as usize, PAGE_SIZE as usize, executable, 0, 0, 0])?;
    map(COMMAND_PAGE, libc::PROT_READ, libc::MAP_SHARED, COMMAND_DESCRIPTOR)
}

fn map(address: u64, protection: c_int, flags: c_int, descriptor: c_int) -> Option<()> {
    let flags = as_argument(flags | libc::MAP_FIXED);
    let descriptor = as_argument(descriptor);
    let (address, length) = (address as usize, PAGE_SIZE as usize);
    call(libc::SYS_mmap, [address, length, as_argument(protection), flags, descriptor, 0]).map(drop)
}

/// Gives up all capabilities, but stays open to its tracer (ptrace(2), access mode checking).
fn drop_privileges() -> Option<()> {
    const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let header = [CAPABILITY_VERSION_3, 0];
    let sets = [0_u32; 6];
    let (header, sets) = (ptr::from_ref(&header).addr(), ptr::from_ref(&sets).addr());
    call(libc::SYS_capset, [header, sets, 0, 0, 0, 0])?;
    prctl(libc::PR_SET_NAME, c"stub".as_ptr().addr(), 0)?;
    prctl(libc::PR_SET_DUMPABLE, 1, 0)?;
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Asks to be traced and installs the filter.
fn confine(filter: &[sock_filter]) -> Option<()> {
    const PTRACE_TRACEME: usize = 0;
    call(libc::SYS_ptrace, [PTRACE_TRACEME, 0, 0, 0, 0, 0])?;
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).ok()?,
        filter: filter.as_ptr().cast_mut(),
    };
    let mode = libc::SECCOMP_MODE_FILTER as usize;
    prctl(libc::PR_SET_SECCOMP, mode, ptr::from_ref(&program).addr()).map(drop)
}
