//! membarrier(2).

use core::sync::atomic::Ordering;

use crate::{errno::Errno, kernel::Current, syscalls::SyscallResult};

const QUERY: u32 = 0;
const GLOBAL: u32 = 1;
const GLOBAL_EXPEDITED: u32 = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: u32 = 1 << 2;
const PRIVATE_EXPEDITED: u32 = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: u32 = 1 << 4;
const GET_REGISTRATIONS: u32 = 1 << 9;

const KNOWN: u32 = GLOBAL
    | GLOBAL_EXPEDITED
    | REGISTER_GLOBAL_EXPEDITED
    | PRIVATE_EXPEDITED
    | REGISTER_PRIVATE_EXPEDITED
    | GET_REGISTRATIONS;

/// membarrier(2). All barriers reach all executors, whoever registered.
///
/// # Errors
/// EINVAL for flags and commands that are not known; EPERM if the process has not registered for
/// the private one.
pub async fn membarrier(
    current: &mut Current,
    command: u32,
    flags: u32,
    _processor: i32,
) -> SyscallResult {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let registered = &current.process().barriers;
    match command {
        QUERY => Ok(u64::from(KNOWN)),
        REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE_EXPEDITED => {
            registered.fetch_or(command, Ordering::Relaxed);
            Ok(0)
        }
        GET_REGISTRATIONS => Ok(u64::from(registered.load(Ordering::Relaxed))),
        PRIVATE_EXPEDITED
            if registered.load(Ordering::Relaxed) & REGISTER_PRIVATE_EXPEDITED == 0 =>
        {
            Err(Errno::EPERM)
        }
        GLOBAL | GLOBAL_EXPEDITED | PRIVATE_EXPEDITED => {
            current.kernel.scheduler.pass_barriers().await;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
