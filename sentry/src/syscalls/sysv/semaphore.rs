//! Semaphores (semget(2), semop(2), semctl(2)).

use alloc::{sync::Arc, vec::Vec};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    INTERRUPTED, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, READ, WRITE, find, find_for_stat,
    find_owned, stat_answer,
};
use crate::{
    errno::{Errno, Result},
    ipc::{Object, Operation, SEMAPHORE_MAX, SemaphoreSet, UserPermission, Waiting, now},
    kernel::{
        Credentials, Current, Deadline, Interruption, Kernel, PollEvents, WaitReason, settings,
    },
    mm::UserAddress,
    syscalls::{SyscallResult, time::Timespec},
};

const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;

/// `struct semid64_ds`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Status {
    permission: UserPermission,
    operated: i64,
    unused: u64,
    changed: i64,
    unused2: u64,
    count: u64,
    unused3: [u64; 2],
}

/// semget(2).
///
/// # Errors
/// As semget(2).
pub fn semget(current: &mut Current, key: i32, count: i32, flags: u32) -> SyscallResult {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let kernel = &current.kernel;
    let [per_set, _, _, sets] = limits(kernel);
    if count > per_set {
        return Err(Errno::EINVAL);
    }
    let fits = |set: &SemaphoreSet| if count <= set.len() { Ok(()) } else { Err(Errno::EINVAL) };
    let make = |permission| match count {
        0 => Err(Errno::EINVAL),
        count => Ok(SemaphoreSet::new(permission, count, now(kernel))),
    };
    let id = current.container().ipc.semaphores.get(
        key,
        flags,
        &current.credentials(),
        sets,
        fits,
        make,
    )?;
    Ok(u64::from(id.unsigned_abs()))
}

/// semop(2).
///
/// # Errors
/// As semop(2).
pub async fn semop(
    current: &mut Current,
    id: i32,
    operations: UserAddress,
    count: usize,
) -> SyscallResult {
    semtimedop(current, id, operations, count, UserAddress(0)).await
}

/// semtimedop(2).
///
/// # Errors
/// As semop(2).
pub async fn semtimedop(
    current: &mut Current,
    id: i32,
    operations: UserAddress,
    count: usize,
    timeout: UserAddress,
) -> SyscallResult {
    match count {
        0 => return Err(Errno::EINVAL),
        count if count > limits(&current.kernel)[2] => return Err(Errno::E2BIG),
        _ => {}
    }
    let operations: Vec<Operation> = current.mm.read_array(operations, count).await?;
    let deadline = if timeout.is_null() {
        None
    } else {
        let time: Timespec = current.mm.read(timeout).await?;
        let now = current.kernel.platform.monotonic_nanoseconds();
        Some(Deadline(now.saturating_add(time.to_nanoseconds()?)))
    };
    let changes = operations.iter().any(|operation| operation.difference != 0);
    let sets = &current.container().ipc.semaphores;
    let set = find(current, sets, id, if changes { WRITE } else { READ })?;
    operate(current, (id, &set), &operations, deadline).await?;
    Ok(0)
}

/// Counts an operation as waiting for as long as it exists.
struct Counted<'a> {
    set: &'a SemaphoreSet,
    waiting: Option<Waiting>,
}

impl Counted<'_> {
    fn set(&mut self, waiting: Option<Waiting>) {
        if let Some(old) = core::mem::replace(&mut self.waiting, waiting) {
            self.set.note_waiting(old, false);
        }
        if let Some(new) = waiting {
            self.set.note_waiting(new, true);
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.set(None);
    }
}

async fn operate(
    current: &Current,
    (id, set): (i32, &Arc<SemaphoreSet>),
    operations: &[Operation],
    deadline: Option<Deadline>,
) -> Result<()> {
    let (kernel, process) = (&current.kernel, current.process());
    let mut counted = Counted { set, waiting: None };
    let note = |count| process.semaphore_undo.note(id, set, count, operations);
    let attempt = || match set.try_operate(operations, (process.pid(), now(kernel)), note) {
        Ok(Some(waiting)) => {
            counted.set(Some(waiting));
            None
        }
        Ok(None) => Some(Ok(())),
        Err(errno) => Some(Err(errno)),
    };
    let done = set.changed.wait_until(PollEvents::all(), attempt);
    match current.wait(WaitReason::Ipc, deadline, done).await {
        Ok(outcome) => outcome,
        Err(Interruption::TimedOut) => Err(Errno::EAGAIN),
        Err(Interruption::Signal) => Err(INTERRUPTED),
    }
}

/// semctl(2).
///
/// # Errors
/// As semctl(2).
pub async fn semctl(
    current: &mut Current,
    id: i32,
    index: i32,
    command: i32,
    argument: u64,
) -> SyscallResult {
    let kernel = current.kernel.clone();
    let registry = &current.container().ipc.semaphores;
    match command {
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
            let (id, set) = find_for_stat(current, registry, id, command, SEM_STAT_ANY)?;
            let status = status(id, &set, &current.credentials());
            current.mm.write(UserAddress(argument), &status).await?;
            Ok(stat_answer(command, id))
        }
        IPC_SET => {
            let status: Status = current.mm.read(UserAddress(argument)).await?;
            let set = find_owned(current, registry, id)?;
            set.permission().lock().change(&status.permission, &current.credentials())?;
            set.note_changed(now(&kernel));
            Ok(0)
        }
        IPC_RMID => {
            let set = find_owned(current, registry, id)?;
            registry.remove(id, &set);
            set.end();
            Ok(0)
        }
        IPC_INFO | SEM_INFO => {
            current.mm.write(UserAddress(argument), &information(current, command)).await?;
            Ok(registry.highest_place())
        }
        SETVAL | SETALL => {
            let set = find(current, registry, id, WRITE)?;
            set_values(current, id, &set, index, command, argument).await
        }
        GETALL => {
            let set = find(current, registry, id, READ)?;
            let value = |value: i32| u16::try_from(value).unwrap_or(u16::MAX);
            let values: Vec<u16> =
                set.semaphores().iter().map(|semaphore| value(semaphore.value)).collect();
            current.mm.write(UserAddress(argument), values.as_slice()).await?;
            Ok(0)
        }
        GETPID | GETVAL | GETNCNT | GETZCNT => {
            let set = find(current, registry, id, READ)?;
            one_value(&set, index, command)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn one_value(set: &SemaphoreSet, index: i32, command: i32) -> SyscallResult {
    let semaphores = set.semaphores();
    let place = usize::try_from(index).map_err(|_| Errno::EINVAL)?;
    let semaphore = semaphores.get(place).ok_or(Errno::EINVAL)?;
    let number = u16::try_from(index).map_err(|_| Errno::EINVAL)?;
    Ok(match command {
        GETPID => u64::from(semaphore.last_user),
        GETVAL => u64::from(semaphore.value.unsigned_abs()),
        GETNCNT => set.count_waiting(Waiting::Increase(number)) as u64,
        _ => set.count_waiting(Waiting::Zero(number)) as u64,
    })
}

async fn set_values(
    current: &Current,
    id: i32,
    set: &SemaphoreSet,
    index: i32,
    command: i32,
    argument: u64,
) -> SyscallResult {
    let (first, values): (usize, Vec<i32>) = if command == SETVAL {
        let first = usize::try_from(index).map_err(|_| Errno::EINVAL)?;
        (first, alloc::vec![((argument & 0xffff_ffff) as u32).cast_signed()])
    } else {
        let values: Vec<u16> = current.mm.read_array(UserAddress(argument), set.len()).await?;
        (0, values.into_iter().map(i32::from).collect())
    };
    let ipc = &current.container().ipc;
    let mut processes = current.kernel.all_processes();
    processes.retain(|process| Arc::ptr_eq(&process.container().ipc, ipc));
    let forget = || {
        for process in &processes {
            process.semaphore_undo.forget(id, first, values.len());
        }
    };
    set.set(first, &values, (current.process().pid(), now(&current.kernel)), forget)?;
    Ok(0)
}

/// kernel.sem: semaphores of a set, of all sets, operations of a call, sets.
fn limits(kernel: &Kernel) -> [usize; 4] {
    [0, 1, 2, 3].map(|position| kernel.settings.size(settings::SEMAPHORES, position))
}

/// `struct seminfo`: semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem;
/// for SEM_INFO semusz and semaem are the numbers of sets and semaphores in use.
fn information(current: &Current, command: i32) -> [u32; 10] {
    const UNDO_SIZE: u32 = 20;
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let [per_set, most, operations, sets_limit] = limits(&current.kernel).map(number);
    let largest = SEMAPHORE_MAX.unsigned_abs();
    let (mut sets, mut semaphores) = (UNDO_SIZE, largest);
    if command != IPC_INFO {
        let all = current.container().ipc.semaphores.all();
        sets = number(all.len());
        semaphores = number(all.iter().map(|(_, set)| set.len()).sum());
    }
    [most, sets_limit, most, most, per_set, operations, operations, sets, largest, semaphores]
}

fn status(id: i32, set: &SemaphoreSet, reader: &Credentials) -> Status {
    let (operated, changed) = set.times();
    Status {
        permission: set.permission().lock().to_user(id, reader),
        operated,
        unused: 0,
        changed,
        unused2: 0,
        count: set.len() as u64,
        unused3: [0; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_linux() {
        assert_eq!([size_of::<Status>(), size_of::<Operation>()], [104, 6]);
    }
}
