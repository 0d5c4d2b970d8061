//! New tasks: clone(2), clone3(2), fork(2), vfork(2).
#![allow(missing_docs, reason = "flags keep the names of their man pages")]

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use bitflags::bitflags;
use spin::mutex::SpinMutex;

use super::{
    Capabilities, Completion, Container, Credentials, Current, Kernel, OomAdjustment, Process,
    Resource, Task,
    process::NewProcess,
    process_table::Tree,
    run,
    signal::{AlternateStack, FaultRecord, Signal, SignalActions},
    task::NewTask,
};
use crate::{
    errno::{Errno, Result},
    fs::pid_fd::PidFd,
    loader::StringRanges,
    mm::{Mm, UserAddress},
    platform::UserContext,
    seccomp::Filters,
    syscalls::FileDescriptor,
    vfs::{FdTable, FsContext, OpenFile, OpenFlags},
};

const READ_WRITE: OpenFlags = OpenFlags::READ_WRITE;

bitflags! {
    /// Flags of clone(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the names are those of clone(2)")]
    pub struct CloneFlags: u64 {
        const NEW_TIME = 0x80;
        const VM = 0x100;
        const FS = 0x200;
        const FILES = 0x400;
        const SIGHAND = 0x800;
        const PIDFD = 0x1000;
        const PTRACE = 0x2000;
        const VFORK = 0x4000;
        const PARENT = 0x8000;
        const THREAD = 0x1_0000;
        const NEW_MOUNTS = 0x2_0000;
        const SYSVSEM = 0x4_0000;
        const SET_TLS = 0x8_0000;
        const PARENT_SET_TID = 0x10_0000;
        const CHILD_CLEAR_TID = 0x20_0000;
        const DETACHED = 0x40_0000;
        const UNTRACED = 0x80_0000;
        const CHILD_SET_TID = 0x100_0000;
        const NEW_CGROUP = 0x200_0000;
        const NEW_UTS = 0x400_0000;
        const NEW_IPC = 0x800_0000;
        const NEW_USER = 0x1000_0000;
        const NEW_PID = 0x2000_0000;
        const NEW_NET = 0x4000_0000;
        const IO = 0x8000_0000;
        const CLEAR_SIGHAND = 0x1_0000_0000;
        const INTO_CGROUP = 0x2_0000_0000;
    }
}

impl CloneFlags {
    /// New namespaces. Those of users can be made.
    pub const NAMESPACES: Self = Self::NEW_TIME
        .union(Self::NEW_MOUNTS)
        .union(Self::NEW_CGROUP)
        .union(Self::NEW_UTS)
        .union(Self::NEW_IPC)
        .union(Self::NEW_USER)
        .union(Self::NEW_PID)
        .union(Self::NEW_NET);
}

/// What to clone and how.
#[derive(Clone, Copy, Debug)]
pub struct CloneRequest {
    /// Flags, without the exit signal.
    pub flags: CloneFlags,
    /// Signal number the parent gets at exit; 0 for none.
    pub exit_signal: u32,
    /// Stack pointer of the child; 0 for the caller's.
    pub stack: u64,
    /// Where the parent's copy of the child's id goes.
    pub parent_tid: UserAddress,
    /// Where the child's own goes, or is cleared at exit.
    pub child_tid: UserAddress,
    /// FS base of the child.
    pub tls: u64,
    /// Where a descriptor of the child as a file goes.
    pub pidfd: UserAddress,
}

impl CloneRequest {
    fn check(&self, current: &Current) -> Result<()> {
        let has = |flags| self.flags.intersects(flags);
        let impossible = (has(CloneFlags::THREAD) && !has(CloneFlags::SIGHAND))
            || (has(CloneFlags::SIGHAND) && !has(CloneFlags::VM))
            || (has(CloneFlags::SIGHAND) && has(CloneFlags::CLEAR_SIGHAND))
            || (has(CloneFlags::PARENT) && current.process().pid() == 1)
            || has(CloneFlags::INTO_CGROUP)
            || (has(CloneFlags::NEW_USER) && has(CloneFlags::THREAD | CloneFlags::FS))
            || (has(CloneFlags::PIDFD) && has(CloneFlags::THREAD))
            || self.exit_signal > u32::from(Signal::MAX);
        if impossible {
            return Err(Errno::EINVAL);
        }
        current.check_namespaces(self.flags)
    }
}

/// Everything of a new task that can fail to be made, made before it is visible.
struct Parts {
    mm: Arc<Mm>,
    files: Arc<FdTable>,
    fs: Arc<FsContext>,
    context: UserContext,
}

impl Current {
    /// Checks that the namespaces that `flags` ask for can be made: of users only.
    ///
    /// # Errors
    /// Linux without namespaces answers EINVAL to those who may have them, and EPERM to others.
    pub fn check_namespaces(&self, flags: CloneFlags) -> Result<()> {
        if !flags.intersects(CloneFlags::NAMESPACES - CloneFlags::NEW_USER) {
            return Ok(());
        }
        let may = flags.contains(CloneFlags::NEW_USER)
            || self.credentials().has_in_own(Capabilities::SYS_ADMIN);
        Err(if may { Errno::EINVAL } else { Errno::EPERM })
    }

    /// Makes a task as `request` says and answers its id. With CLONE_VFORK, when it has executed a
    /// program or exited.
    ///
    /// # Errors
    /// EINVAL, EPERM, EAGAIN (RLIMIT_NPROC), ENOMEM; ERESTARTNOINTR if a signal waits.
    pub async fn clone_task(&mut self, request: &CloneRequest) -> Result<u32> {
        request.check(self)?;
        self.check_process_limit()?;
        if self.task.has_deliverable_signal() {
            return Err(Errno::ERESTARTNOINTR);
        }
        let parts = self.clone_parts(request)?;
        let mm = parts.mm.clone();
        let descriptor = self.reserve_pid_descriptor(request).await?;
        let credentials = if request.flags.contains(CloneFlags::NEW_USER) {
            Arc::new(self.in_new_user_namespace()?)
        } else {
            self.credentials()
        };
        let mut child = self.register_clone(request, parts, credentials).inspect_err(|_| {
            drop(descriptor.map(|reserved| self.files.close(reserved)));
        })?;
        if let Some(descriptor) = descriptor {
            let file = OpenFile::new(PidFd::new(child.process().clone()), None, READ_WRITE);
            drop(self.files.install_at(descriptor, file, true, u64::MAX));
        }
        let tid = child.task.tid();
        // As in Linux, an address that cannot be written is ignored: the child exists already.
        if request.flags.contains(CloneFlags::PARENT_SET_TID) {
            let _ = self.mm.write(request.parent_tid, &tid).await;
        }
        if request.flags.contains(CloneFlags::CHILD_SET_TID) {
            let _ = mm.write(request.child_tid, &tid).await;
        }
        drop(mm);
        let done = request.flags.contains(CloneFlags::VFORK).then(Arc::<Completion>::default);
        child.vfork_done.clone_from(&done);
        run::start(child);
        if let Some(done) = done {
            self.wait_killable(super::WaitReason::Vfork, done.wait()).await;
        }
        Ok(tid)
    }

    /// Opens a descriptor for the child as a file (CLONE_PIDFD) and tells the caller of it, while
    /// the call can still fail. Until the child is there it is a file of the caller's own process.
    async fn reserve_pid_descriptor(
        &self,
        request: &CloneRequest,
    ) -> Result<Option<FileDescriptor>> {
        if !request.flags.contains(CloneFlags::PIDFD) {
            return Ok(None);
        }
        let file = OpenFile::new(PidFd::new(self.process().clone()), None, READ_WRITE);
        let limit = self.process().limit(Resource::OpenFiles).soft;
        let descriptor = self.files.install(file, true, limit)?;
        let told = self.mm.write(request.pidfd, &descriptor.0).await;
        told.inspect_err(|_| drop(self.files.close(descriptor)))?;
        Ok(Some(descriptor))
    }

    fn check_process_limit(&self) -> Result<()> {
        let credentials = self.credentials();
        let limit = self.process().limit(Resource::Processes).soft;
        let exempt = credentials.uid == 0
            || credentials.has(Capabilities::SYS_RESOURCE)
            || credentials.has(Capabilities::SYS_ADMIN);
        let count = u64::try_from(self.container().task_count()).unwrap_or(u64::MAX);
        let is_over = count >= self.container().limits.tasks() || (count >= limit && !exempt);
        if is_over { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    fn clone_parts(&mut self, request: &CloneRequest) -> Result<Parts> {
        self.save_extended_state();
        let has = |flag| request.flags.contains(flag);
        let mut registers = self.context.registers;
        registers.rax = 0;
        if request.stack != 0 {
            registers.rsp = request.stack;
        }
        if has(CloneFlags::SET_TLS) {
            registers.fs_base = request.tls;
        }
        Ok(Parts {
            mm: if has(CloneFlags::VM) { self.mm.clone() } else { self.mm.fork()? },
            files: if has(CloneFlags::FILES) { self.files.clone() } else { self.files.duplicate() },
            fs: if has(CloneFlags::FS) { self.fs.clone() } else { self.fs.duplicate() },
            context: UserContext {
                registers,
                extended: self.context.extended.duplicate(),
                user_nanoseconds: 0,
            },
        })
    }

    /// Makes the task, and its process unless it is a thread of this one, visible to others.
    fn register_clone(
        &self,
        request: &CloneRequest,
        parts: Parts,
        credentials: Arc<Credentials>,
    ) -> Result<Self> {
        let has = |flag| request.flags.contains(flag);
        let mut tree = self.processes().lock();
        let tid = tree.allocate_id()?;
        let process = if has(CloneFlags::THREAD) {
            self.process().clone()
        } else {
            Process::new(self.process_clone(request, tid))
        };
        let task = Task::new(NewTask {
            tid,
            process: process.clone(),
            runnable: self.kernel.scheduler.create(),
            credentials,
            mm: parts.mm.clone(),
            files: parts.files.clone(),
            fs: parts.fs.clone(),
            name: self.task.name(),
            blocked: self.task.blocked_signals(),
        });
        task.inherit_scheduling(&self.task);
        {
            let mut state = process.state.lock();
            if state.ending.is_some() || state.executing.is_some() {
                return Err(Errno::ERESTARTNOINTR);
            }
            // Under the lock, so that no filter for all threads passes it by.
            task.inherit_call_filters(&self.task);
            state.threads.push(task.clone());
            if state.stop != super::StopState::Running {
                task.notify();
            }
        }
        tree.insert_task(&task);
        if !has(CloneFlags::THREAD) {
            tree.insert_process(&process);
        }
        drop(tree);
        let mut child = Self::new(self.kernel.clone(), task, parts);
        if has(CloneFlags::CHILD_CLEAR_TID) {
            child.clear_child_tid = request.child_tid.0;
        }
        if !has(CloneFlags::VM) || has(CloneFlags::VFORK) {
            child.alternate_stack = self.alternate_stack;
        }
        Ok(child)
    }

    fn process_clone(&self, request: &CloneRequest, pid: u32) -> NewProcess {
        let has = |flag| request.flags.contains(flag);
        let process = self.process();
        let actions = process.signal_actions();
        let sibling = has(CloneFlags::PARENT);
        NewProcess {
            pid,
            container: self.container().clone(),
            parent: if sibling { process.parent() } else { Some(process.clone()) },
            group: process.group(),
            actions: if has(CloneFlags::SIGHAND) {
                actions
            } else {
                let mut own: SignalActions = actions.lock().clone();
                if has(CloneFlags::CLEAR_SIGHAND) {
                    own.reset_for_exec();
                }
                Arc::new(SpinMutex::new(own))
            },
            limits: process.limits(),
            executable: process.executable(),
            string_ranges: process.string_ranges(),
            personality: process.personality.load(Ordering::Relaxed),
            oom: process.oom.inherited(),
            uid: process.real_uid(),
            exit_signal: if sibling {
                process.exit_signal.load(Ordering::Relaxed)
            } else {
                request.exit_signal
            },
            is_init: false,
            start_nanoseconds: self.kernel.platform.monotonic_nanoseconds(),
        }
    }

    fn new(kernel: Arc<Kernel>, task: Arc<Task>, parts: Parts) -> Self {
        Self {
            task,
            kernel,
            mm: parts.mm,
            files: parts.files,
            fs: parts.fs,
            context: parts.context,
            clear_child_tid: 0,
            alternate_stack: AlternateStack::default(),
            saved_mask: None,
            restart_deadline: None,
            ending: None,
            interrupted_call: None,
            fault: FaultRecord::default(),
            vfork_done: None,
            slice_end: None,
        }
    }
}

/// What a task is made of that no other task of the container makes.
pub(super) struct FirstTask {
    pub container: Arc<Container>,
    pub mm: Arc<Mm>,
    pub files: Arc<FdTable>,
    pub fs: Arc<FsContext>,
    pub context: UserContext,
    pub credentials: Arc<Credentials>,
    pub limits: super::Limits,
    /// Filters of its system calls.
    pub call_filters: Option<Arc<Filters>>,
}

/// Registers the first process of a container, in a session of its own; it does not run yet. In a pid
/// namespace of the container's own it is process 1.
///
/// # Errors
/// EAGAIN if there is such a process already, or there are no more process ids.
pub(super) fn first_task(kernel: &Arc<Kernel>, first: FirstTask) -> Result<Current> {
    let container = first.container.clone();
    let mut tree = container.processes.lock();
    let pid = tree.allocate_id()?;
    if pid != 1 && !container.spec.shared.pid {
        return Err(Errno::EAGAIN);
    }
    let is_init = container.spec.has_init && pid == 1;
    let current = register_first(kernel, &mut tree, pid, is_init, first);
    container.set_first_process(current.process());
    Ok(current)
}

/// Registers a process whose parent is outside the container, in a session of its own; it does not
/// run yet.
///
/// # Errors
/// EAGAIN if there are no more process ids.
pub(super) fn joining_task(kernel: &Arc<Kernel>, first: FirstTask) -> Result<Current> {
    let container = first.container.clone();
    let mut tree = container.processes.lock();
    let pid = tree.allocate_id()?;
    Ok(register_first(kernel, &mut tree, pid, false, first))
}

fn register_first(
    kernel: &Arc<Kernel>,
    tree: &mut Tree,
    pid: u32,
    is_init: bool,
    first: FirstTask,
) -> Current {
    let process = Process::new(NewProcess {
        pid,
        container: first.container,
        parent: None,
        group: tree.create_session(pid),
        actions: Arc::default(),
        limits: first.limits,
        executable: None,
        string_ranges: StringRanges::default(),
        personality: 0,
        oom: OomAdjustment::default(),
        uid: first.credentials.uid,
        exit_signal: 0,
        is_init,
        start_nanoseconds: kernel.platform.monotonic_nanoseconds(),
    });
    let task = Task::new(NewTask {
        tid: pid,
        process: process.clone(),
        runnable: kernel.scheduler.create(),
        credentials: first.credentials,
        mm: first.mm.clone(),
        files: first.files.clone(),
        fs: first.fs.clone(),
        name: super::task::task_name(b"init"),
        blocked: super::signal::SignalSet::EMPTY,
    });
    if let Some(filters) = first.call_filters {
        task.seccomp.set_filters(filters);
    }
    process.state.lock().threads.push(task.clone());
    tree.insert_task(&task);
    tree.insert_process(&process);
    let parts = Parts { mm: first.mm, files: first.files, fs: first.fs, context: first.context };
    Current::new(kernel.clone(), task, parts)
}
