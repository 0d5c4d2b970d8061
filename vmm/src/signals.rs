//! Signals sent to `sandbox-vmm`, taken one at a time by the event loop (signalfd(2)).
#![allow(unsafe_code, reason = "leaf module: signal masks and signalfd(2), which rustix lacks")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// SIGKILL, as the number that others are told.
pub const KILL: u8 = 9;

/// Signals that are taken instead of acting on the process. SIGPIPE is ignored by Rust's start
/// code; SIGCHLD and the stops of terminal access keep their default.
const TAKEN: &[libc::c_int] = &[
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGWINCH,
];

/// Signals that the C library keeps for itself (signal(7), NPTL).
const C_LIBRARY: [libc::c_int; 2] = [32, 33];

/// Bytes of `struct signalfd_siginfo`.
const RECORD_BYTES: usize = size_of::<libc::signalfd_siginfo>();

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub number: libc::c_int,
    /// Whether a key at the terminal made it: it was meant for the foreground process group.
    pub is_from_terminal: bool,
}

/// The signals of this process.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals in the calling thread, so in threads and processes it makes later too:
    /// a Ctrl-C at the terminal, which reaches every process of the job, then ends neither gofer
    /// nor stubs. Call it before there are any.
    ///
    /// # Errors
    /// Those of pthread_sigmask(3) and signalfd(2).
    pub fn take_over() -> io::Result<Self> {
        Self::take(&set_of(TAKEN.iter().copied()))
    }

    /// Blocks and takes every signal that can be, for a process that stands for another. Those that
    /// an instruction of this process causes still end it (sigprocmask(2)).
    ///
    /// # Errors
    /// As [`Self::take_over`].
    pub fn take_all() -> io::Result<Self> {
        Self::take(&set_of((1..=libc::SIGRTMAX()).filter(|number| !C_LIBRARY.contains(number))))
    }

    fn take(set: &libc::sigset_t) -> io::Result<Self> {
        // SAFETY: `set` is an initialised signal set; the old mask is not asked for.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set, std::ptr::null_mut()) };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        // SAFETY: as above; -1 asks for a new descriptor.
        let descriptor = unsafe { libc::signalfd(-1, set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above made the descriptor, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// The next signal, if one is pending.
    pub fn next(&self) -> Option<Received> {
        let mut record = [0_u8; RECORD_BYTES];
        let count = rustix::io::read(&self.0, &mut record).ok()?;
        (count == RECORD_BYTES).then(|| parse(&record)).flatten()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Gives every signal its default action and blocks none, whatever the caller of this program did;
/// SIGPIPE stays ignored, as Rust programs have it.
pub fn reset() {
    for number in (1..=libc::SIGRTMAX()).filter(|&number| number != libc::SIGPIPE) {
        // SAFETY: SIG_DFL runs no code of ours. Numbers that cannot be set are refused (EINVAL).
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    unblock(&set_of([]), libc::SIG_SETMASK);
}

/// Ends this process by signal `number`, without a core file, so that whoever waits for it sees
/// that. Returns if the signal does not end processes.
pub fn die_of(number: libc::c_int) {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // SAFETY: SIG_DFL runs no code of ours.
    unsafe { libc::signal(number, libc::SIG_DFL) };
    unblock(&set_of([number]), libc::SIG_UNBLOCK);
    // SAFETY: sends this thread a signal that has its default action.
    unsafe { libc::raise(number) };
}

fn unblock(set: &libc::sigset_t, how: libc::c_int) {
    // SAFETY: `set` is an initialised signal set; the old mask is not asked for.
    unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) };
}

fn set_of(numbers: impl IntoIterator<Item = libc::c_int>) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the whole set, and cannot fail for a valid pointer.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for number in numbers {
        // SAFETY: `set` is initialised; a number that is none is refused (EINVAL).
        unsafe { libc::sigaddset(&mut set, number) };
    }
    set
}

/// Reads a `struct signalfd_siginfo`: `ssi_signo` at 0 and `ssi_code` at 8, 32 bits each.
fn parse(record: &[u8; RECORD_BYTES]) -> Option<Received> {
    let field = |offset: usize| {
        let bytes = record.get(offset..offset + 4)?.try_into().ok()?;
        Some(i32::from_ne_bytes(bytes))
    };
    Some(Received { number: field(0)?, is_from_terminal: field(8)? == libc::SI_KERNEL })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_this_thread_is_taken() {
        let signals = Signals::take_over().unwrap();
        assert_eq!(signals.next(), None);
        // SAFETY: raises a signal that is blocked in this thread.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
        let expected = Received { number: libc::SIGUSR1, is_from_terminal: false };
        assert_eq!(signals.next(), Some(expected));
        assert_eq!(signals.next(), None);
    }

    #[test]
    fn fields_are_where_the_kernel_puts_them() {
        assert_eq!(std::mem::offset_of!(libc::signalfd_siginfo, ssi_signo), 0);
        assert_eq!(std::mem::offset_of!(libc::signalfd_siginfo, ssi_code), 8);
    }
}
