//! Sending signals (kill(2), tgkill(2), rt_sigqueueinfo(2)).

use alloc::sync::Arc;

use crate::{
    errno::{Errno, Result},
    kernel::{
        Current, Process, Task,
        signal::{SIGINFO_SIZE, Signal, SignalInfo, code},
    },
    mm::UserAddress,
    syscalls::SyscallResult,
};

/// The signal with this number; `None` for 0, which only asks whether it could be sent.
fn signal_or_probe(number: i32) -> Result<Option<Signal>> {
    if number == 0 { Ok(None) } else { Signal::from_number(number).map(Some) }
}

fn from_caller(current: &Current, signal: Signal, code: i32) -> SignalInfo {
    let uid = current.credentials().uid;
    SignalInfo::from_process(signal, code, current.process().pid(), uid)
}

/// Checks whether the caller may send `signal` to `process`.
fn check(current: &Current, process: &Process, signal: Option<Signal>) -> Result<()> {
    // A zombie takes any signal without effect.
    let Some(task) = process.first_thread() else { return Ok(()) };
    check_task(current, &task, signal)
}

fn check_task(current: &Current, task: &Arc<Task>, signal: Option<Signal>) -> Result<()> {
    if Arc::ptr_eq(&task.process, current.process()) {
        return Ok(());
    }
    let same_session = task.process.session().id() == current.process().session().id();
    task.check_signal_permission(&current.credentials(), same_session, signal)
}

/// kill(2).
pub fn kill(current: &mut Current, pid: i32, signal: i32) -> SyscallResult {
    let signal = signal_or_probe(signal)?;
    match pid {
        0 => kill_group(current, current.process().group().id(), signal),
        -1 => kill_all(current, signal),
        i32::MIN => Err(Errno::ESRCH),
        pid if pid < 0 => kill_group(current, pid.unsigned_abs(), signal),
        pid => {
            let process = find_process(current, pid)?;
            check(current, &process, signal)?;
            if let Some(signal) = signal {
                process.send(from_caller(current, signal, code::SI_USER));
            }
            Ok(0)
        }
    }
}

/// The process with this id; the id of any of its threads does as well.
fn find_process(current: &Current, pid: i32) -> Result<Arc<Process>> {
    let pid = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    let processes = current.processes();
    let by_thread = || processes.task(pid).map(|task| task.process.clone());
    processes.process(pid).or_else(by_thread).ok_or(Errno::ESRCH)
}

fn kill_group(current: &Current, id: u32, signal: Option<Signal>) -> SyscallResult {
    let group = current.processes().group(id).ok_or(Errno::ESRCH)?;
    kill_each(current, &group.members(), signal)
}

/// Every process but the first and the caller's own.
fn kill_all(current: &Current, signal: Option<Signal>) -> SyscallResult {
    let mut processes = current.processes().processes();
    let own = current.process().pid();
    processes.retain(|process| process.pid() != 1 && process.pid() != own);
    kill_each(current, &processes, signal)
}

/// Success if at least one could be sent to (kill(2)).
fn kill_each(
    current: &Current,
    processes: &[Arc<Process>],
    signal: Option<Signal>,
) -> SyscallResult {
    let mut outcome = Err(Errno::ESRCH);
    for process in processes {
        match check(current, process, signal) {
            Ok(()) => {
                if let Some(signal) = signal {
                    process.send(from_caller(current, signal, code::SI_USER));
                }
                outcome = Ok(0);
            }
            Err(errno) if outcome.is_err() => outcome = Err(errno),
            Err(_) => {}
        }
    }
    outcome
}

/// The task `tid`, which must belong to process `tgid` unless that is `None`.
fn find_task(current: &Current, tgid: Option<i32>, tid: i32) -> Result<Arc<Task>> {
    let positive = |id: i32| u32::try_from(id).ok().filter(|id| *id > 0).ok_or(Errno::EINVAL);
    let tgid = tgid.map(positive).transpose()?;
    let task = current.processes().task(positive(tid)?).ok_or(Errno::ESRCH)?;
    if tgid.is_some_and(|tgid| task.process.pid() != tgid) {
        return Err(Errno::ESRCH);
    }
    Ok(task)
}

fn send_to_task(current: &Current, task: &Arc<Task>, signal: i32) -> SyscallResult {
    let signal = signal_or_probe(signal)?;
    check_task(current, task, signal)?;
    if let Some(signal) = signal {
        task.send(from_caller(current, signal, code::SI_TKILL));
    }
    Ok(0)
}

/// tkill(2).
pub fn tkill(current: &mut Current, tid: i32, signal: i32) -> SyscallResult {
    let task = find_task(current, None, tid)?;
    send_to_task(current, &task, signal)
}

/// tgkill(2).
pub fn tgkill(current: &mut Current, tgid: i32, tid: i32, signal: i32) -> SyscallResult {
    let task = find_task(current, Some(tgid), tid)?;
    send_to_task(current, &task, signal)
}

/// Reads a siginfo that the caller made; it must not look like the kernel's or kill(2)'s, unless
/// the caller sends it to itself.
async fn read_info(
    current: &Current,
    own: bool,
    signal: i32,
    info: UserAddress,
) -> Result<Option<SignalInfo>> {
    let mut bytes = [0; SIGINFO_SIZE];
    current.mm.copy_in(info, &mut bytes).await?;
    let Some(signal) = signal_or_probe(signal)? else { return Ok(None) };
    let info = SignalInfo::from_user(signal, &bytes);
    if (info.code >= 0 || info.code == code::SI_TKILL) && !own {
        return Err(Errno::EPERM);
    }
    Ok(Some(info))
}

/// rt_sigqueueinfo(2).
pub async fn rt_sigqueueinfo(
    current: &mut Current,
    pid: i32,
    signal: i32,
    info: UserAddress,
) -> SyscallResult {
    let own = u32::try_from(pid) == Ok(current.process().pid());
    let info = read_info(current, own, signal, info).await?;
    let process = find_process(current, pid)?;
    check(current, &process, info.map(|info| info.signal))?;
    if let Some(info) = info {
        process.send(info);
    }
    Ok(0)
}

/// Sends `signal` to `process` with the siginfo at `info`, or that of kill(2) if it is NULL
/// (pidfd_send_signal(2)).
///
/// # Errors
/// EPERM, EINVAL, EFAULT.
pub async fn send_info(
    current: &Current,
    process: &Arc<Process>,
    signal: i32,
    info: UserAddress,
) -> SyscallResult {
    let info = if info.is_null() {
        signal_or_probe(signal)?.map(|signal| from_caller(current, signal, code::SI_USER))
    } else {
        let own = Arc::ptr_eq(process, current.process());
        read_info(current, own, signal, info).await?
    };
    check(current, process, info.map(|info| info.signal))?;
    if let Some(info) = info {
        process.send(info);
    }
    Ok(0)
}

/// rt_tgsigqueueinfo(2).
pub async fn rt_tgsigqueueinfo(
    current: &mut Current,
    tgid: i32,
    tid: i32,
    signal: i32,
    info: UserAddress,
) -> SyscallResult {
    let own = u32::try_from(tid) == Ok(current.task.tid());
    let info = read_info(current, own, signal, info).await?;
    let task = find_task(current, Some(tgid), tid)?;
    check_task(current, &task, info.map(|info| info.signal))?;
    if let Some(info) = info {
        task.send(info);
    }
    Ok(0)
}
