//! System V IPC (sysvipc(7)).

pub mod message;
pub mod semaphore;
pub mod shared_memory;

use alloc::sync::Arc;

use crate::{
    errno::{Errno, Result},
    ipc::{Object, Registry},
    kernel::Current,
};

/// Commands that all three kinds have.
const IPC_RMID: i32 = 0;
const IPC_SET: i32 = 1;
const IPC_STAT: i32 = 2;
const IPC_INFO: i32 = 3;
/// Read permission, for all classes.
const READ: u32 = 0o444;
/// Write permission, for all classes.
const WRITE: u32 = 0o222;
/// IPC_NOWAIT.
const NO_WAIT: u32 = 0o4000;

/// The object `id`, which the caller must have the permission `wanted` for.
fn find<T: Object>(
    current: &Current,
    registry: &Registry<T>,
    id: i32,
    wanted: u32,
) -> Result<Arc<T>> {
    let object = registry.find(id)?;
    object.permission().lock().check(&current.credentials(), wanted)?;
    Ok(object)
}

/// The object `id`, which the caller must own.
fn find_owned<T: Object>(current: &Current, registry: &Registry<T>, id: i32) -> Result<Arc<T>> {
    let object = registry.find(id)?;
    object.permission().lock().check_control(&current.credentials())?;
    Ok(object)
}

/// The object that a STAT command means: `IPC_STAT` by its id, `by_place` by its place with and
/// `any` (the two others of a kind) without a check of permission.
fn find_for_stat<T: Object>(
    current: &Current,
    registry: &Registry<T>,
    id: i32,
    command: i32,
    any: i32,
) -> Result<(i32, Arc<T>)> {
    let (id, object) = match command {
        IPC_STAT => (id, registry.find(id)?),
        _ => registry.at(id)?,
    };
    if command != any {
        object.permission().lock().check(&current.credentials(), READ)?;
    }
    Ok((id, object))
}

/// What STAT commands answer: those that ask by place, the id.
fn stat_answer(command: i32, id: i32) -> u64 {
    if command == IPC_STAT { 0 } else { u64::from(id.unsigned_abs()) }
}

/// How an interrupted wait for an object fails (semop(2), msgop(2)): it is never restarted by
/// itself where a time-out was given or a handler ran.
const INTERRUPTED: Errno = Errno::EINTR;
