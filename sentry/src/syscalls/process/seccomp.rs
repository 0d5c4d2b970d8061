//! Filters of one's own system calls (seccomp(2)).

use alloc::vec::Vec;

use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Current},
    mm::UserAddress,
    seccomp::{Filter, Instruction, Mode, Program, Verdict},
    syscalls::SyscallResult,
};

const SET_MODE_STRICT: u32 = 0;
const SET_MODE_FILTER: u32 = 1;
const GET_ACTION_AVAILABLE: u32 = 2;

const FLAG_ALL_THREADS: u32 = 1;
const FLAG_LOG: u32 = 1 << 1;
const FLAG_SPECULATION_ALLOWED: u32 = 1 << 2;
const FLAG_ALL_THREADS_OR_ESRCH: u32 = 1 << 4;

/// What is known of flags. Those of supervisors (NEW_LISTENER and WAIT_KILLABLE_RECV) are not.
const KNOWN_FLAGS: u32 =
    FLAG_ALL_THREADS | FLAG_LOG | FLAG_SPECULATION_ALLOWED | FLAG_ALL_THREADS_OR_ESRCH;

/// Most instructions of a program.
const MAX_INSTRUCTIONS: u16 = 4096;

/// Values of prctl(PR_SET_SECCOMP).
const PRCTL_STRICT: u64 = 1;
const PRCTL_FILTER: u64 = 2;

/// seccomp(2).
///
/// # Errors
/// As seccomp(2); EINVAL for what concerns supervisors.
pub async fn seccomp(
    current: &mut Current,
    operation: u32,
    flags: u32,
    argument: UserAddress,
) -> SyscallResult {
    match operation {
        SET_MODE_STRICT if flags == 0 && argument.is_null() => set_strict(current),
        SET_MODE_FILTER => set_filter(current, flags, argument).await,
        GET_ACTION_AVAILABLE if flags == 0 => {
            let action: u32 = current.mm.read(argument).await?;
            action_available(action)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// prctl(PR_SET_SECCOMP).
///
/// # Errors
/// As prctl(2).
pub async fn set_mode(current: &Current, mode: u64, program: UserAddress) -> SyscallResult {
    match mode {
        PRCTL_STRICT => set_strict(current),
        PRCTL_FILTER => set_filter(current, 0, program).await,
        _ => Err(Errno::EINVAL),
    }
}

fn set_strict(current: &Current) -> SyscallResult {
    if current.task.seccomp.mode() == Mode::Filter {
        return Err(Errno::EINVAL);
    }
    current.task.seccomp.set_strict();
    Ok(0)
}

async fn set_filter(current: &Current, flags: u32, program: UserAddress) -> SyscallResult {
    if flags & !KNOWN_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let program = read_program(current, program).await?;
    let filter = Filter { program: Program::new(&program)?, logs: flags & FLAG_LOG != 0 };
    let blocking = current.add_call_filter(filter, flags & FLAG_ALL_THREADS != 0)?;
    match blocking {
        Some(_) if flags & FLAG_ALL_THREADS_OR_ESRCH != 0 => Err(Errno::ESRCH),
        Some(tid) => Ok(tid.into()),
        None => Ok(0),
    }
}

/// Reads `struct sock_fprog` and the instructions it leads to, if the caller may use them.
async fn read_program(current: &Current, address: UserAddress) -> Result<Vec<Instruction>> {
    let length: u16 = current.mm.read(address).await?;
    let code: u64 = current.mm.read(address.offset(8)?).await?;
    if length == 0 || length > MAX_INSTRUCTIONS {
        return Err(Errno::EINVAL);
    }
    let credentials = current.credentials();
    if !credentials.no_new_privileges && !credentials.has_in_own(Capabilities::SYS_ADMIN) {
        return Err(Errno::EACCES);
    }
    if code == 0 {
        return Err(Errno::EINVAL);
    }
    let words = current.mm.read_array::<u64>(UserAddress(code), length.into()).await?;
    Ok(words.into_iter().map(Instruction::from_bits).collect())
}

/// SECCOMP_GET_ACTION_AVAIL.
fn action_available(action: u32) -> SyscallResult {
    const KNOWN: [u32; 7] =
        [0x8000_0000, 0, 0x0003_0000, 0x0005_0000, 0x7ff0_0000, 0x7ffc_0000, Verdict::ALLOW.0];
    if KNOWN.contains(&action) { Ok(0) } else { Err(Errno::EOPNOTSUPP) }
}
