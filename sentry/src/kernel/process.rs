//! Processes: what Linux calls thread groups.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use spin::mutex::SpinMutex;

use super::{
    Container, Limit, Limits, OomAdjustment, PollEvents, ProcessGroup, ProcessTable, ProcessTimers,
    Resource, Session, Task, Usage, WaitQueue,
    signal::{PendingSignals, Signal, SignalActions, SignalSet},
};
use crate::{loader::StringRanges, vfs::Path};

/// How a process ended, as wait4(2) encodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitStatus(pub u32);

impl WaitStatus {
    /// It exited with `code`, of which only the low 8 bits count.
    pub const fn exited(code: u32) -> Self {
        Self((code & 0xff) << 8)
    }

    /// `signal` killed it; `core` says whether its default action is to dump core.
    pub const fn killed(signal: Signal, core: bool) -> Self {
        let flag = if core { 0x80 } else { 0 };
        Self(signal.number() as u32 | flag)
    }

    /// The exit code, unless a signal killed it.
    pub const fn code(self) -> Option<u8> {
        if self.0 & 0x7f == 0 { Some((self.0 >> 8) as u8) } else { None }
    }

    /// Number of the signal that killed it; 0 if none did.
    pub const fn signal_number(self) -> u8 {
        (self.0 & 0x7f) as u8
    }

    /// Whether it would have dumped core.
    pub const fn is_core(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// Whether a process is stopped by a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopState {
    /// It runs.
    #[default]
    Running,
    /// Its threads are stopping, or have all stopped.
    Stopped(Signal),
}

/// A stop or continuation that the parent has not waited for yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReport {
    /// It stopped by this signal.
    Stopped(Signal),
    /// It continued.
    Continued,
}

/// The changing part of a process that signals and exit share.
#[derive(Default)]
pub(super) struct ProcessState {
    /// Threads that have not exited.
    pub threads: Vec<Arc<Task>>,
    /// Signals sent to the process as a whole.
    pub pending: PendingSignals,
    /// Set once the whole process is to end; the status it ends with.
    pub ending: Option<WaitStatus>,
    /// The thread that executes a new program and waits for all others to exit.
    pub executing: Option<Arc<Task>>,
    /// The signal that the parent's death sends (PR_SET_PDEATHSIG).
    pub parent_death_signal: Option<Signal>,
    /// Whether a signal has stopped it.
    pub stop: StopState,
    /// Threads that have stopped.
    pub stopped_threads: usize,
    /// Number of the stop, so that a thread can tell one from the next.
    pub stop_epoch: u64,
    /// What wait4(2) may report of a stop.
    pub report: Option<StopReport>,
    /// Set when the last thread has exited.
    pub status: Option<WaitStatus>,
}

/// Relations to other processes; changed only under the lock of the process table.
pub(super) struct Family {
    pub parent: Weak<Process>,
    pub children: Vec<Arc<Process>>,
    pub group: Arc<ProcessGroup>,
}

/// What a new process starts with.
pub(super) struct NewProcess {
    pub pid: u32,
    pub container: Arc<Container>,
    pub parent: Option<Arc<Process>>,
    pub group: Arc<ProcessGroup>,
    pub actions: Arc<SpinMutex<SignalActions>>,
    pub limits: Limits,
    pub executable: Option<Path>,
    pub string_ranges: StringRanges,
    pub uid: u32,
    pub personality: u32,
    pub oom: OomAdjustment,
    /// Number of the signal the parent gets at exit; 0 for none.
    pub exit_signal: u32,
    /// See [`Process::is_protected`].
    pub is_init: bool,
    pub start_nanoseconds: u64,
}

/// A thread group.
///
/// Lock order: process table, `family`, `state`, then a task's signals, then signal actions; each
/// of the other locks is a leaf.
pub struct Process {
    pid: u32,
    container: Arc<Container>,
    pub(super) state: SpinMutex<ProcessState>,
    pub(super) family: SpinMutex<Family>,
    actions: SpinMutex<Arc<SpinMutex<SignalActions>>>,
    limits: SpinMutex<Limits>,
    executable: SpinMutex<Option<Path>>,
    string_ranges: SpinMutex<StringRanges>,
    uid: AtomicU32,
    /// Timers that send it signals.
    pub timers: ProcessTimers,
    /// Told when a child changes its state.
    pub children_changed: WaitQueue,
    /// Told when a signal was sent to any process (signalfd(2)); all processes share it.
    pub signal_arrived: Arc<WaitQueue>,
    /// What it has registered for with membarrier(2).
    pub(crate) barriers: AtomicU32,
    /// Told when this process has exited (pidfd).
    pub exited: WaitQueue,
    /// Resources used by threads that have exited.
    pub(super) past_usage: SpinMutex<Usage>,
    /// Resources used by children that were waited for.
    pub(super) children_usage: SpinMutex<Usage>,
    /// Signal number that the parent gets at exit; 0 for none.
    pub(super) exit_signal: AtomicU32,
    /// It is the container's init, and protected as such.
    pub(super) is_init: bool,
    /// Orphans below it become its children (PR_SET_CHILD_SUBREAPER).
    pub(super) is_subreaper: AtomicBool,
    /// It has executed a program since it was forked (setpgid(2), EACCES).
    pub(super) has_executed: AtomicBool,
    /// PR_SET_DUMPABLE.
    pub(super) dumpable: AtomicU32,
    /// personality(2).
    pub(crate) personality: AtomicU32,
    /// What its exit undoes of operations on semaphores.
    pub semaphore_undo: crate::ipc::SemaphoreUndo,
    /// How it wants to be treated when memory runs out.
    pub oom: OomAdjustment,
    /// CLOCK_MONOTONIC at its start, in nanoseconds.
    pub start_nanoseconds: u64,
}

impl Process {
    /// A process without threads, not yet in the table.
    pub(super) fn new(new: NewProcess) -> Arc<Self> {
        let parent = new.parent.as_ref().map_or_else(Weak::new, Arc::downgrade);
        Arc::new(Self {
            pid: new.pid,
            container: new.container,
            state: SpinMutex::new(ProcessState::default()),
            family: SpinMutex::new(Family { parent, children: Vec::new(), group: new.group }),
            actions: SpinMutex::new(new.actions),
            limits: SpinMutex::new(new.limits),
            executable: SpinMutex::new(new.executable),
            string_ranges: SpinMutex::new(new.string_ranges),
            uid: AtomicU32::new(new.uid),
            personality: AtomicU32::new(new.personality),
            timers: ProcessTimers::default(),
            children_changed: WaitQueue::new(),
            signal_arrived: new
                .parent
                .as_ref()
                .map_or_else(Arc::default, |parent| parent.signal_arrived.clone()),
            barriers: AtomicU32::new(0),
            exited: WaitQueue::new(),
            past_usage: SpinMutex::default(),
            children_usage: SpinMutex::default(),
            exit_signal: AtomicU32::new(new.exit_signal),
            is_init: new.is_init,
            is_subreaper: AtomicBool::new(false),
            has_executed: AtomicBool::new(false),
            dumpable: AtomicU32::new(1),
            semaphore_undo: crate::ipc::SemaphoreUndo::default(),
            oom: new.oom,
            start_nanoseconds: new.start_nanoseconds,
        })
    }

    /// Its id in its pid namespace.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The container it belongs to.
    pub const fn container(&self) -> &Arc<Container> {
        &self.container
    }

    /// The processes of its pid namespace.
    pub fn table(&self) -> &ProcessTable {
        &self.container.processes
    }

    /// Its parent; `None` for the first process, and for the others while they are reaped.
    pub fn parent(&self) -> Option<Arc<Self>> {
        self.family.lock().parent.upgrade()
    }

    /// Its parent's id; 0 if it has none.
    pub fn parent_pid(&self) -> u32 {
        self.parent().map_or(0, |parent| parent.pid)
    }

    /// Its children, zombies included.
    pub fn children(&self) -> Vec<Arc<Self>> {
        self.family.lock().children.clone()
    }

    /// Its process group.
    pub fn group(&self) -> Arc<ProcessGroup> {
        self.family.lock().group.clone()
    }

    /// Its session.
    pub fn session(&self) -> Arc<Session> {
        self.family.lock().group.session().clone()
    }

    /// Its threads that have not exited, the oldest first.
    pub fn threads(&self) -> Vec<Arc<Task>> {
        self.state.lock().threads.clone()
    }

    /// Its oldest thread; `None` if it is a zombie.
    pub fn first_thread(&self) -> Option<Arc<Task>> {
        self.state.lock().threads.first().cloned()
    }

    /// The actions for its signals, which other processes may share.
    pub fn signal_actions(&self) -> Arc<SpinMutex<SignalActions>> {
        self.actions.lock().clone()
    }

    pub(super) fn set_signal_actions(&self, actions: SignalActions) {
        *self.actions.lock() = Arc::new(SpinMutex::new(actions));
    }

    /// Its limit of `resource`.
    pub fn limit(&self, resource: Resource) -> Limit {
        self.limits.lock().get(resource)
    }

    /// All its limits.
    pub fn limits(&self) -> Limits {
        self.limits.lock().clone()
    }

    /// Replaces a limit.
    pub fn set_limit(&self, resource: Resource, limit: Limit) {
        self.limits.lock().set(resource, limit);
        if let Some(mm) = self.first_thread().and_then(|task| task.mm()) {
            mm.set_limits(self.memory_limits());
        }
    }

    /// Its limits that concern memory.
    pub fn memory_limits(&self) -> crate::mm::Limits {
        let limits = self.limits.lock();
        let soft = |resource| limits.get(resource).soft;
        crate::mm::Limits {
            address_space: soft(Resource::AddressSpace),
            data: soft(Resource::Data),
            stack: soft(Resource::Stack),
            locked: soft(Resource::LockedMemory),
        }
    }

    /// The program it executes (/proc/PID/exe).
    pub fn executable(&self) -> Option<Path> {
        self.executable.lock().clone()
    }

    pub(super) fn set_executable(&self, path: Option<Path>) {
        let _old = core::mem::replace(&mut *self.executable.lock(), path);
    }

    /// Where its arguments and environment are in its memory.
    pub fn string_ranges(&self) -> StringRanges {
        *self.string_ranges.lock()
    }

    pub(super) fn set_string_ranges(&self, ranges: StringRanges) {
        *self.string_ranges.lock() = ranges;
    }

    /// Whether it has executed a program since it was forked.
    pub fn has_executed(&self) -> bool {
        self.has_executed.load(Ordering::Relaxed)
    }

    /// Sets whether it is dumpable.
    pub fn set_dumpable(&self, value: u32) {
        self.dumpable.store(value, Ordering::Relaxed);
    }

    /// Whether orphans below it become its children.
    pub fn is_subreaper(&self) -> bool {
        self.is_subreaper.load(Ordering::Relaxed)
    }

    /// Sets whether orphans below it become its children.
    pub fn set_subreaper(&self, value: bool) {
        self.is_subreaper.store(value, Ordering::Relaxed);
    }

    /// The signal it gets when its parent dies.
    pub fn parent_death_signal(&self) -> Option<Signal> {
        self.state.lock().parent_death_signal
    }

    /// Sets the signal it gets when its parent dies.
    pub fn set_parent_death_signal(&self, signal: Option<Signal>) {
        self.state.lock().parent_death_signal = signal;
    }

    /// Real user id of its threads, also after they have exited.
    pub fn real_uid(&self) -> u32 {
        self.uid.load(Ordering::Relaxed)
    }

    pub(super) fn set_real_uid(&self, uid: u32) {
        self.uid.store(uid, Ordering::Relaxed);
    }

    /// Number of the signal that its parent gets at its exit; 0 for none.
    pub fn exit_signal(&self) -> u32 {
        self.exit_signal.load(Ordering::Relaxed)
    }

    /// Signals sent to it as a whole and not delivered yet.
    pub fn pending_signals(&self) -> SignalSet {
        self.state.lock().pending.set()
    }

    /// Number of signals queued for it and its threads (RLIMIT_SIGPENDING).
    pub fn queued_signals(&self) -> usize {
        let state = self.state.lock();
        let threads = state.threads.iter().map(|task| task.signals.lock().pending.queued());
        state.pending.queued() + threads.sum::<usize>()
    }

    /// Whether it is stopped by a signal.
    pub fn stop_state(&self) -> StopState {
        self.state.lock().stop
    }

    /// Ends it as SIGKILL does.
    pub(super) fn kill(&self) {
        self.end(WaitStatus::killed(Signal::KILL, false));
    }

    /// Whether it has ended or is about to.
    pub fn is_ending(&self) -> bool {
        let state = self.state.lock();
        state.ending.is_some() || state.status.is_some()
    }

    /// How it ended, once its last thread has exited.
    pub fn exit_status(&self) -> Option<WaitStatus> {
        self.state.lock().status
    }

    /// Whether it is dumpable (PR_GET_DUMPABLE).
    pub fn is_dumpable(&self) -> bool {
        self.dumpable.load(Ordering::Relaxed) == 1
    }

    /// Resources it has used up to `now` (CLOCK_MONOTONIC, nanoseconds), children excluded.
    pub fn usage(&self, now: u64) -> Usage {
        let mut usage = *self.past_usage.lock();
        self.threads().iter().for_each(|task| usage.add(&task.accounting.usage(now)));
        usage
    }

    /// Resources used by children it has waited for.
    pub fn children_usage(&self) -> Usage {
        *self.children_usage.lock()
    }

    /// Tells waiters for children that something has changed.
    pub(super) fn notify_children_changed(&self) {
        self.children_changed.wake(PollEvents::IN);
    }
}
