//! Tasks: what Linux calls threads.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use spin::mutex::SpinMutex;

use super::{
    Accounting, Completion, Container, Credentials, Deadline, Kernel, Process, ProcessTable,
    Runnable, SchedulingPolicy, WaitReason, WaitStatus,
    signal::{AlternateStack, FaultRecord, PendingSignals, SignalSet},
};
use crate::{
    errno::Errno,
    mm::Mm,
    platform::UserContext,
    seccomp::TaskSeccomp,
    vfs::{FdTable, FsContext},
};

/// Length of a task's name with its final NUL (TASK_COMM_LEN; prctl(2), PR_SET_NAME).
pub const TASK_NAME_LENGTH: usize = 16;

/// A task as others see it. Its locks come after those of its process.
pub struct Task {
    tid: AtomicU32,
    /// The process it is a thread of.
    pub process: Arc<Process>,
    /// Its schedulable future.
    pub runnable: Arc<Runnable>,
    credentials: SpinMutex<Arc<Credentials>>,
    mm: SpinMutex<Option<Arc<Mm>>>,
    files: SpinMutex<Option<Arc<FdTable>>>,
    fs: SpinMutex<Option<Arc<FsContext>>>,
    name: SpinMutex<[u8; TASK_NAME_LENGTH]>,
    wait_reason: SpinMutex<WaitReason>,
    pub(super) signals: SpinMutex<TaskSignals>,
    /// Something must be done before user code runs on: a signal, a stop, or the end.
    pub(super) notified: AtomicBool,
    /// How it is to be scheduled.
    pub(crate) scheduling: SpinMutex<SchedulingPolicy>,
    /// Head of the list of robust futexes (get_robust_list(2)).
    pub(crate) robust_list: AtomicU64,
    /// How its system calls are judged.
    pub seccomp: TaskSeccomp,
    /// Resources it has used.
    pub accounting: Accounting,
}

/// Signal state of one task.
#[derive(Default)]
pub(super) struct TaskSignals {
    /// Sent to this task alone.
    pub pending: PendingSignals,
    /// Not delivered now.
    pub blocked: SignalSet,
    /// What sigtimedwait(2) waits for: delivered to it though blocked.
    pub awaited: SignalSet,
}

/// A task as its own future sees it: what no other task may touch needs no lock.
pub struct Current {
    /// The shared part.
    pub task: Arc<Task>,
    /// The kernel.
    pub kernel: Arc<Kernel>,
    /// Its address space.
    pub mm: Arc<Mm>,
    /// Its file descriptors.
    pub files: Arc<FdTable>,
    /// Its root, working directory and umask.
    pub fs: Arc<FsContext>,
    /// Its processor state.
    pub context: UserContext,
    /// Where to write 0 and wake a futex at exit (set_tid_address(2)); 0 if nowhere.
    pub clear_child_tid: u64,
    /// Alternate signal stack.
    pub(crate) alternate_stack: AlternateStack,
    /// The mask to return to after a handler ran during sigsuspend(2), ppoll(2) and the like.
    pub(crate) saved_mask: Option<SignalSet>,
    /// The deadline of an interrupted call that is restarted now.
    pub(crate) restart_deadline: Option<Deadline>,
    /// Set when this task is to exit; the status of exit(2).
    pub(crate) ending: Option<WaitStatus>,
    /// The restart errno of the system call that signals interrupted.
    pub(super) interrupted_call: Option<Errno>,
    /// The last exception.
    pub(super) fault: FaultRecord,
    /// Told when this task no longer uses its parent's address space (vfork(2)).
    pub(super) vfork_done: Option<Arc<Completion>>,
    /// When to let other tasks run, once others are queued; CLOCK_MONOTONIC in nanoseconds.
    pub(super) slice_end: Option<u64>,
}

/// What a new task starts with.
pub(super) struct NewTask {
    pub tid: u32,
    pub process: Arc<Process>,
    pub runnable: Arc<Runnable>,
    pub credentials: Arc<Credentials>,
    pub mm: Arc<Mm>,
    pub files: Arc<FdTable>,
    pub fs: Arc<FsContext>,
    pub name: [u8; TASK_NAME_LENGTH],
    pub blocked: SignalSet,
}

impl Task {
    /// A task that is not in the table yet.
    pub(super) fn new(new: NewTask) -> Arc<Self> {
        Arc::new(Self {
            tid: AtomicU32::new(new.tid),
            process: new.process,
            runnable: new.runnable,
            credentials: SpinMutex::new(new.credentials),
            mm: SpinMutex::new(Some(new.mm)),
            files: SpinMutex::new(Some(new.files)),
            fs: SpinMutex::new(Some(new.fs)),
            name: SpinMutex::new(new.name),
            wait_reason: SpinMutex::default(),
            signals: SpinMutex::new(TaskSignals { blocked: new.blocked, ..Default::default() }),
            notified: AtomicBool::new(false),
            scheduling: SpinMutex::default(),
            robust_list: AtomicU64::new(0),
            seccomp: TaskSeccomp::default(),
            accounting: Accounting::default(),
        })
    }

    /// Its thread id.
    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// Gives it another id, when it takes the leader's place in execve(2).
    pub(super) fn set_tid(&self, tid: u32) {
        self.tid.store(tid, Ordering::Relaxed);
    }

    /// Its credentials.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.lock().clone()
    }

    /// Replaces its credentials; for the task itself. no_new_privs stays once it is set, which
    /// another thread may have done meanwhile.
    pub fn set_credentials(&self, mut credentials: Credentials) {
        self.process.set_real_uid(credentials.uid);
        let mut own = self.credentials.lock();
        credentials.no_new_privileges |= own.no_new_privileges;
        let old = core::mem::replace(&mut *own, Arc::new(credentials));
        drop(own);
        drop(old);
    }

    /// Sets no_new_privs, on behalf of any thread of its process.
    pub(super) fn forbid_new_privileges(&self) {
        let mut credentials = self.credentials.lock();
        if !credentials.no_new_privileges {
            Arc::make_mut(&mut credentials).no_new_privileges = true;
        }
    }

    /// Its address space; `None` once it has exited.
    pub fn mm(&self) -> Option<Arc<Mm>> {
        self.mm.lock().clone()
    }

    pub(super) fn set_mm(&self, mm: Option<Arc<Mm>>) {
        let _old = core::mem::replace(&mut *self.mm.lock(), mm);
    }

    /// Its file descriptors; `None` once it has exited.
    pub fn files(&self) -> Option<Arc<FdTable>> {
        self.files.lock().clone()
    }

    /// Its root, working directory and umask; `None` once it has exited.
    pub fn fs(&self) -> Option<Arc<FsContext>> {
        self.fs.lock().clone()
    }

    /// Gives up files and file-system context, at exit.
    pub(super) fn release_files(&self) {
        // Dropped after the locks are released: closing the last descriptor of a file calls it.
        let files = self.files.lock().take();
        let fs = self.fs.lock().take();
        drop((files, fs));
    }

    /// Its name, padded with NUL.
    pub fn name(&self) -> [u8; TASK_NAME_LENGTH] {
        *self.name.lock()
    }

    /// Renames it; `name` is cut to 15 bytes.
    pub fn set_name(&self, name: &[u8]) {
        *self.name.lock() = task_name(name);
    }

    /// What it waits for.
    pub fn wait_reason(&self) -> WaitReason {
        *self.wait_reason.lock()
    }

    /// Notes what it waits for.
    pub fn set_wait_reason(&self, reason: WaitReason) {
        *self.wait_reason.lock() = reason;
    }

    /// Takes over how the calls of `parent` are judged.
    pub(super) fn inherit_call_filters(&self, parent: &Self) {
        self.seccomp.inherit(&parent.seccomp);
        if parent.credentials.lock().no_new_privileges {
            self.forbid_new_privileges();
        }
    }

    /// Takes over how `parent` is scheduled, unless that is not to be inherited.
    pub(super) fn inherit_scheduling(&self, parent: &Self) {
        *self.scheduling.lock() = parent.scheduling.lock().inherited();
    }

    /// Signals it blocks.
    pub fn blocked_signals(&self) -> SignalSet {
        self.signals.lock().blocked
    }

    /// Whether a signal waits that the task does not block, or it has to stop or end.
    pub fn has_deliverable_signal(&self) -> bool {
        self.notified.load(Ordering::Acquire)
    }
}

/// `name` as a task's name: its first 15 bytes up to a NUL.
pub(super) fn task_name(name: &[u8]) -> [u8; TASK_NAME_LENGTH] {
    let mut padded = [0; TASK_NAME_LENGTH];
    let visible = name.iter().take(TASK_NAME_LENGTH - 1).take_while(|byte| **byte != 0);
    padded.iter_mut().zip(visible).for_each(|(place, byte)| *place = *byte);
    padded
}

impl Current {
    /// Its process.
    pub fn process(&self) -> &Arc<Process> {
        &self.task.process
    }

    /// The container it belongs to.
    pub fn container(&self) -> &Arc<Container> {
        self.process().container()
    }

    /// The processes of its pid namespace.
    pub fn processes(&self) -> &ProcessTable {
        self.process().table()
    }

    /// Its credentials.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.task.credentials()
    }

    /// Replaces its table of file descriptors (unshare(2), CLONE_FILES).
    pub fn set_files(&mut self, files: Arc<FdTable>) {
        self.files = files.clone();
        let _old = self.task.files.lock().replace(files);
    }

    /// Replaces its file-system context (unshare(2), CLONE_FS).
    pub fn set_fs(&mut self, fs: Arc<FsContext>) {
        self.fs = fs.clone();
        let _old = self.task.fs.lock().replace(fs);
    }

    /// The deadline `nanoseconds` from now; that of the first try if the call was interrupted and
    /// is restarted (ERESTART_RESTARTBLOCK).
    pub fn deadline_after(&mut self, nanoseconds: u64) -> Deadline {
        self.restart_deadline.take().unwrap_or_else(|| {
            Deadline(self.kernel.platform.monotonic_nanoseconds().saturating_add(nanoseconds))
        })
    }

    /// Blocks `mask` instead of the task's own mask until this system call has ended and the signals
    /// that interrupted it were delivered (sigsuspend(2), ppoll(2), pselect(2), epoll_pwait(2)).
    pub fn block_temporarily(&mut self, mask: SignalSet) {
        self.saved_mask = Some(self.task.blocked_signals());
        self.task.set_blocked_signals(mask);
    }

    /// Notes `deadline` and answers what a call with a relative time-out returns when a signal
    /// interrupts it.
    pub fn restart_with(&mut self, deadline: Deadline) -> Errno {
        self.restart_deadline = Some(deadline);
        Errno::ERESTART_RESTARTBLOCK
    }
}
