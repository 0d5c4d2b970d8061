//! Control of one's own process (prctl(2), arch_prctl(2), personality(2)).

use core::sync::atomic::Ordering;

use crate::{
    errno::{Errno, Result},
    kernel::{
        Capabilities, Credentials, Current, SECURE_ALL_BITS, SECURE_KEEP_CAPABILITIES,
        SECURE_NO_AMBIENT_RAISE, TASK_NAME_LENGTH, signal::Signal,
    },
    mm::UserAddress,
    syscalls::SyscallResult,
};

const PR_SET_PDEATHSIG: i32 = 1;
const PR_GET_PDEATHSIG: i32 = 2;
const PR_GET_DUMPABLE: i32 = 3;
const PR_SET_DUMPABLE: i32 = 4;
const PR_GET_KEEPCAPS: i32 = 7;
const PR_SET_KEEPCAPS: i32 = 8;
const PR_GET_TIMING: i32 = 13;
const PR_SET_NAME: i32 = 15;
const PR_GET_NAME: i32 = 16;
const PR_GET_SECCOMP: i32 = 21;
const PR_SET_SECCOMP: i32 = 22;
const PR_CAPBSET_READ: i32 = 23;
const PR_CAPBSET_DROP: i32 = 24;
const PR_GET_TSC: i32 = 25;
const PR_GET_SECUREBITS: i32 = 27;
const PR_SET_SECUREBITS: i32 = 28;
const PR_SET_TIMERSLACK: i32 = 29;
const PR_GET_TIMERSLACK: i32 = 30;
const PR_SET_CHILD_SUBREAPER: i32 = 36;
const PR_GET_CHILD_SUBREAPER: i32 = 37;
const PR_SET_NO_NEW_PRIVS: i32 = 38;
const PR_GET_NO_NEW_PRIVS: i32 = 39;
const PR_GET_TID_ADDRESS: i32 = 40;
const PR_SET_THP_DISABLE: i32 = 41;
const PR_GET_THP_DISABLE: i32 = 42;
const PR_CAP_AMBIENT: i32 = 47;

/// prctl(2).
pub async fn prctl(
    current: &mut Current,
    operation: i32,
    argument: u64,
    argument3: u64,
    argument4: u64,
    argument5: u64,
) -> SyscallResult {
    let address = UserAddress(argument);
    let rest_is_zero = argument3 == 0 && argument4 == 0 && argument5 == 0;
    match operation {
        PR_SET_PDEATHSIG => set_death_signal(current, argument),
        PR_GET_PDEATHSIG => {
            let signal = current.process().parent_death_signal();
            let number = signal.map_or(0, |signal| u32::from(signal.number()));
            current.mm.write(address, &number).await?;
            Ok(0)
        }
        PR_GET_DUMPABLE => Ok(u64::from(current.process().is_dumpable())),
        PR_SET_DUMPABLE => {
            let value = u32::try_from(argument).ok().filter(|value| *value <= 1);
            current.process().set_dumpable(value.ok_or(Errno::EINVAL)?);
            Ok(0)
        }
        PR_SET_NAME => {
            let mut name = [0; TASK_NAME_LENGTH];
            read_name(current, address, &mut name).await?;
            current.task.set_name(&name);
            Ok(0)
        }
        PR_GET_NAME => {
            let name = current.task.name();
            current.mm.copy_out(address, &name).await?;
            Ok(0)
        }
        PR_GET_TID_ADDRESS => {
            let value = current.clear_child_tid;
            current.mm.write(address, &value).await?;
            Ok(0)
        }
        PR_SET_CHILD_SUBREAPER => {
            current.process().set_subreaper(argument != 0);
            Ok(0)
        }
        PR_GET_CHILD_SUBREAPER => {
            let value = u32::from(current.process().is_subreaper());
            current.mm.write(address, &value).await?;
            Ok(0)
        }
        PR_SET_NO_NEW_PRIVS if argument != 1 || !rest_is_zero => Err(Errno::EINVAL),
        PR_SET_NO_NEW_PRIVS => change(current, |new| {
            new.no_new_privileges = true;
            Ok(())
        }),
        PR_GET_NO_NEW_PRIVS => Ok(u64::from(current.credentials().no_new_privileges)),
        PR_GET_TIMERSLACK => Ok(current.task.scheduling.lock().timer_slack),
        PR_SET_TIMERSLACK => {
            // Timers are as exact as ever: slack permits lateness, it does not ask for it.
            let mut scheduling = current.task.scheduling.lock();
            let slack = if argument == 0 { scheduling.default_timer_slack } else { argument };
            scheduling.timer_slack = slack;
            Ok(0)
        }
        // There are no huge pages to disable.
        PR_SET_THP_DISABLE => Ok(0),
        PR_GET_TIMING | PR_GET_THP_DISABLE => Ok(0),
        PR_GET_SECCOMP => Ok(current.task.seccomp.mode() as u64),
        PR_SET_SECCOMP => super::seccomp::set_mode(current, argument, UserAddress(argument3)).await,
        PR_GET_TSC => {
            current.mm.write(address, &1_u32).await?;
            Ok(0)
        }
        _ => capability_control(current, operation, argument, argument3),
    }
}

async fn read_name(current: &Current, address: UserAddress, name: &mut [u8]) -> Result<()> {
    for (index, place) in name.iter_mut().take(TASK_NAME_LENGTH - 1).enumerate() {
        *place = current.mm.read(address.offset(index as u64)?).await?;
        if *place == 0 {
            break;
        }
    }
    Ok(())
}

fn set_death_signal(current: &Current, argument: u64) -> SyscallResult {
    let signal = match argument {
        0 => None,
        number => {
            let number = i32::try_from(number).map_err(|_| Errno::EINVAL)?;
            Some(Signal::from_number(number)?)
        }
    };
    current.process().set_parent_death_signal(signal);
    Ok(0)
}

/// Replaces the caller's credentials by a changed copy.
fn change(current: &Current, change: impl FnOnce(&mut Credentials) -> Result<()>) -> SyscallResult {
    let mut new = (*current.credentials()).clone();
    change(&mut new)?;
    current.task.set_credentials(new);
    Ok(0)
}

fn capability(number: u64) -> Result<Capabilities> {
    let bit = u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number));
    bit.and_then(Capabilities::from_bits).ok_or(Errno::EINVAL)
}

fn capability_control(
    current: &Current,
    operation: i32,
    argument: u64,
    argument3: u64,
) -> SyscallResult {
    let credentials = current.credentials();
    match operation {
        PR_CAPBSET_READ => Ok(u64::from(credentials.bounding.contains(capability(argument)?))),
        PR_CAPBSET_DROP => {
            let dropped = capability(argument)?;
            if !credentials.has_in_own(Capabilities::SETPCAP) {
                return Err(Errno::EPERM);
            }
            change(current, |new| {
                new.bounding -= dropped;
                Ok(())
            })
        }
        PR_GET_SECUREBITS => Ok(u64::from(credentials.securebits)),
        PR_SET_SECUREBITS => set_securebits(current, argument),
        PR_GET_KEEPCAPS => Ok(u64::from(credentials.securebits & SECURE_KEEP_CAPABILITIES != 0)),
        PR_SET_KEEPCAPS if argument > 1 => Err(Errno::EINVAL),
        PR_SET_KEEPCAPS if credentials.securebits & (SECURE_KEEP_CAPABILITIES << 1) != 0 => {
            Err(Errno::EPERM)
        }
        PR_SET_KEEPCAPS => change(current, |new| {
            new.securebits &= !SECURE_KEEP_CAPABILITIES;
            if argument == 1 {
                new.securebits |= SECURE_KEEP_CAPABILITIES;
            }
            Ok(())
        }),
        PR_CAP_AMBIENT => ambient(current, argument, argument3),
        _ => Err(Errno::EINVAL),
    }
}

/// PR_SET_SECUREBITS: a locked bit (each lock is one above its bit) does not change.
fn set_securebits(current: &Current, argument: u64) -> SyscallResult {
    const LOCKS: u32 = 0xaa;
    let bits = u32::try_from(argument).map_err(|_| Errno::EPERM)?;
    let old = current.credentials().securebits;
    let locked = (old & LOCKS) >> 1;
    let changes_locked = (bits ^ old) & locked != 0;
    let unlocks = old & LOCKS & !bits != 0;
    let may = current.credentials().has_in_own(Capabilities::SETPCAP);
    if changes_locked || unlocks || bits & !SECURE_ALL_BITS != 0 || !may {
        return Err(Errno::EPERM);
    }
    change(current, |new| {
        new.securebits = bits;
        Ok(())
    })
}

/// PR_CAP_AMBIENT.
fn ambient(current: &Current, operation: u64, number: u64) -> SyscallResult {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    if operation == CLEAR_ALL {
        return change(current, |new| {
            new.ambient = Capabilities::empty();
            Ok(())
        });
    }
    let capability = capability(number)?;
    match operation {
        IS_SET => Ok(u64::from(current.credentials().ambient.contains(capability))),
        RAISE => change(current, |new| {
            let available = new.permitted & new.inheritable;
            let allowed = new.securebits & SECURE_NO_AMBIENT_RAISE == 0;
            if !available.contains(capability) || !allowed {
                return Err(Errno::EPERM);
            }
            new.ambient |= capability;
            Ok(())
        }),
        LOWER => change(current, |new| {
            new.ambient -= capability;
            Ok(())
        }),
        _ => Err(Errno::EINVAL),
    }
}

/// arch_prctl(2).
pub async fn arch_prctl(current: &mut Current, operation: i32, argument: u64) -> SyscallResult {
    const ARCH_SET_GS: i32 = 0x1001;
    const ARCH_SET_FS: i32 = 0x1002;
    const ARCH_GET_FS: i32 = 0x1003;
    const ARCH_GET_GS: i32 = 0x1004;
    let limit = current.mm.address_limit();
    match operation {
        ARCH_SET_FS | ARCH_SET_GS if argument >= limit => Err(Errno::EPERM),
        ARCH_SET_FS => {
            current.context.registers.fs_base = argument;
            Ok(0)
        }
        ARCH_SET_GS => {
            current.context.registers.gs_base = argument;
            Ok(0)
        }
        ARCH_GET_FS => {
            let base = current.context.registers.fs_base;
            current.mm.write(UserAddress(argument), &base).await?;
            Ok(0)
        }
        ARCH_GET_GS => {
            let base = current.context.registers.gs_base;
            current.mm.write(UserAddress(argument), &base).await?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// personality(2): PER_LINUX with ADDR_NO_RANDOMIZE or nothing; other bits change nothing here and
/// are refused.
pub fn personality(current: &mut Current, persona: u32) -> SyscallResult {
    const QUERY: u32 = u32::MAX;
    const ADDR_NO_RANDOMIZE: u32 = 0x004_0000;
    let process = current.process();
    let old = process.personality.load(Ordering::Relaxed);
    if persona != QUERY {
        if persona & !ADDR_NO_RANDOMIZE != 0 {
            return Err(Errno::EINVAL);
        }
        process.personality.store(persona, Ordering::Relaxed);
    }
    Ok(u64::from(old))
}
