//! Whether KVM works here, by trying what the sentry will do.
//!
//! That /dev/kvm opens says little (docs/platforms.md lists hosts where it opens and the rest
//! fails). So a throw-away machine of a few pages enters ring 3, traps into ring 0 by SYSCALL twice,
//! runs a counted loop there, and takes a page fault. Nothing is cached: the answer may change with
//! a module or a permission.

mod machine;
mod program;

use std::{
    io, ptr,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use machine::{Machine, Results};

/// How long the test machine may take before it is interrupted. Hardware takes under 1 ms.
const TIME_LIMIT: Duration = Duration::from_millis(40);

/// The same where QEMU emulates the whole processor, exits included.
const EMULATED_TIME_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait for an interrupted machine before its thread is abandoned.
const INTERRUPTION_LIMIT: Duration = Duration::from_millis(5);

/// Iterations of a counted loop (two instructions each).
const LOOP_ITERATIONS: u64 = 200;

/// Counted loops, of which the quickest matters.
const LOOPS: u64 = 8;

/// Most counts of the time-stamp counter that one iteration may take. Hardware and QEMU's emulation
/// need below 20; where ring 0 is interpreted it is thousands.
const MAX_COUNTS_PER_ITERATION: u64 = 200;

/// Why KVM cannot be used here. The message says what to do about it, where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// No device node.
    #[error(
        "no /dev/kvm: load the kvm_intel or kvm_amd module, enable virtualisation in the firmware, \
         or pass the device into this container"
    )]
    NoDevice,
    /// The device may not be opened.
    #[error("no permission to open /dev/kvm: add the user to the group that owns it, often `kvm`")]
    NoPermission,
    /// Somebody else has the processor's virtualisation.
    #[error("/dev/kvm is busy: another hypervisor holds the processor's virtualisation; stop it")]
    Busy,
    /// A call failed.
    #[error("KVM failed to {step}: {error}; see the host's kernel log")]
    Failed {
        /// What was being done.
        step: &'static str,
        /// How it failed.
        error: io::Error,
    },
    /// The machine did not come to its end.
    #[error(
        "the test machine did not finish in time (it served {syscalls} of 2 system calls); this host's \
         KVM does not deliver system calls or page faults to guest ring 0"
    )]
    NoAnswer {
        /// SYSCALLs that arrived.
        syscalls: u64,
    },
    /// The machine stopped otherwise than by its last instruction.
    #[error(
        "the test machine stopped by {exit} after {syscalls} of 2 system calls; this host's KVM does \
         not run guest ring 0 as hardware does"
    )]
    Stopped {
        /// The exit reason.
        exit: String,
        /// SYSCALLs that arrived.
        syscalls: u64,
    },
    /// SYSCALL did not change to ring 0.
    #[error(
        "a system call from guest ring 3 does not enter ring 0; this host's KVM is paravirtual, \
         without the processor's virtualisation behind it"
    )]
    NoRingChange,
    /// The page fault had another address or cause than the access.
    #[error(
        "a guest page fault reported address {address:#x}, error {error:#x}; this host's KVM is faulty"
    )]
    WrongFault {
        /// CR2.
        address: u64,
        /// Error code.
        error: u64,
    },
    /// Ring 0 is interpreted.
    #[error(
        "guest ring 0 is interpreted, not run: {counts} counts for a loop of {LOOP_ITERATIONS}; this host \
         has no hardware virtualisation behind KVM"
    )]
    Interpreted {
        /// Time-stamp counts of the loop.
        counts: u64,
    },
}

/// Tries KVM. Takes about 1 ms where it works, and at most 50 ms where it does not.
///
/// # Errors
/// [`Unusable`] says why it does not work.
pub fn run() -> Result<(), Unusable> {
    let mut machine = Machine::new()?;
    let immediate_exit = machine.immediate_exit();
    let (sender, receiver) = mpsc::channel();
    install_interruption_handler();
    let worker = thread::Builder::new()
        .name("kvm-self-test".into())
        .spawn(move || {
            // SAFETY: pthread_self has no preconditions.
            let own_thread = unsafe { libc::pthread_self() };
            // The receiver may have given up.
            drop(sender.send(Message::Running(own_thread)));
            let exit = machine.run();
            drop(sender.send(Message::Finished(exit)));
            // The receiver decides what the results mean; the machine must outlive its reading.
            machine
        })
        .map_err(|error| Unusable::Failed { step: "start a thread", error })?;
    let mut target = None;
    let mut limit = time_limit();
    let exit = loop {
        match receiver.recv_timeout(limit) {
            Ok(Message::Running(thread)) => target = Some(thread),
            Ok(Message::Finished(exit)) => break exit,
            Err(RecvTimeoutError::Timeout) if limit != INTERRUPTION_LIMIT => {
                immediate_exit.request();
                if let Some(thread) = target {
                    // SAFETY: the worker has not been joined, so its handle is valid.
                    unsafe { libc::pthread_kill(thread, INTERRUPTION_SIGNAL) };
                }
                limit = INTERRUPTION_LIMIT;
            }
            // Not even a signal ends KVM_RUN. The thread keeps what it uses.
            Err(_) => return Err(Unusable::NoAnswer { syscalls: 0 }),
        }
    };
    let Ok(machine) = worker.join() else {
        return Err(Unusable::NoAnswer { syscalls: 0 });
    };
    judge(exit, machine.results())
}

/// [`TIME_LIMIT`], or the longer one where CPUID names QEMU's emulator as the hypervisor.
fn time_limit() -> Duration {
    let leaf = std::arch::x86_64::__cpuid(0x4000_0000);
    let signature = [leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes);
    let emulated = signature.as_flattened() == b"TCGTCGTCGTCG";
    if emulated { EMULATED_TIME_LIMIT } else { TIME_LIMIT }
}

/// What the worker says.
enum Message {
    /// It is about to run the machine, on this thread.
    Running(libc::pthread_t),
    /// The machine stopped.
    Finished(machine::Exit),
}

/// The signal that breaks KVM_RUN; nothing else uses it.
pub(crate) const INTERRUPTION_SIGNAL: libc::c_int = libc::SIGURG;

/// Gives [`INTERRUPTION_SIGNAL`] a handler that does nothing, so that it interrupts a system call.
pub(crate) fn install_interruption_handler() {
    extern "C" fn nothing(_signal: libc::c_int) {}
    // SAFETY: the zeroed structure is a valid `sigaction`, the handler is async-signal-safe, and
    // the call cannot fail for a valid signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as libc::sighandler_t;
        libc::sigaction(INTERRUPTION_SIGNAL, &action, ptr::null_mut());
    }
}

/// What an exit and the results that the machine left mean.
fn judge(exit: machine::Exit, results: Results) -> Result<(), Unusable> {
    let syscalls = results.syscalls;
    // Still in ring 3, the first instruction of the entry code is out of reach.
    let faulted_on_entry = results.fault_address == program::syscall_entry();
    if results.privilege_level != 0 || faulted_on_entry {
        return Err(Unusable::NoRingChange);
    }
    match exit {
        machine::Exit::Done => {}
        machine::Exit::Interrupted => return Err(Unusable::NoAnswer { syscalls }),
        machine::Exit::Other(exit) => return Err(Unusable::Stopped { exit, syscalls }),
        machine::Exit::Failed(error) => {
            return Err(Unusable::Failed { step: "run a vCPU", error });
        }
    }
    if results.loop_counts > LOOP_ITERATIONS * MAX_COUNTS_PER_ITERATION {
        return Err(Unusable::Interpreted { counts: results.loop_counts });
    }
    let user_read_of_absent_page = 4;
    if results.fault_address != machine::UNMAPPED || results.fault_error != user_read_of_absent_page
    {
        return Err(Unusable::WrongFault {
            address: results.fault_address,
            error: results.fault_error,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Results {
        Results {
            syscalls: 2,
            privilege_level: 0,
            loop_counts: 2000,
            fault_address: machine::UNMAPPED,
            fault_error: 4,
        }
    }

    #[test]
    fn judges_each_failure() {
        use machine::Exit;
        assert!(judge(Exit::Done, good()).is_ok());
        let wrong_ring = Results { privilege_level: 3, ..good() };
        assert!(matches!(judge(Exit::Done, wrong_ring), Err(Unusable::NoRingChange)));
        let slow = Results { loop_counts: 5_000_000, ..good() };
        assert!(matches!(judge(Exit::Done, slow), Err(Unusable::Interpreted { .. })));
        let stuck = Results { syscalls: 1, ..good() };
        let verdict = judge(Exit::Interrupted, stuck);
        assert!(matches!(verdict, Err(Unusable::NoAnswer { syscalls: 1 })));
        let fault = Results { fault_address: 0, ..good() };
        assert!(matches!(judge(Exit::Done, fault), Err(Unusable::WrongFault { .. })));
    }

    #[test]
    fn answers_on_this_host_and_says_what_to_do() {
        if let Err(reason) = run() {
            let text = reason.to_string();
            assert!(text.len() > 20 && !text.contains('\n'), "{text}");
        }
    }
}
