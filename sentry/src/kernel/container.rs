//! Containers: what the processes of one share, and those of others do not see.
//!
//! A sandbox has its first container, and may get further ones while it runs. Each has a mount
//! namespace and a freezer of its own; a pid, UTS or IPC namespace is its own or that of the first.

use alloc::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicUsize, Ordering};

use guest_abi::{container::ContainerSpec, control::ProcessNumber};
use spin::{Once, RwLock, mutex::SpinMutex};

use super::{Completion, ContainerLimits, Freezer, Kernel, Process, ProcessTable, UtsNames};
use crate::{drivers::Virtqueue, ipc::Ipc, seccomp::Filters, tty::Terminals, vfs::Namespace};

/// A container.
pub struct Container {
    /// The host's number of its first process, which names the container too.
    pub number: ProcessNumber,
    /// What the host said of it.
    pub spec: ContainerSpec,
    /// Its pid namespace.
    pub processes: Arc<ProcessTable>,
    /// Host and domain name.
    pub uts: Arc<RwLock<UtsNames>>,
    /// System V IPC and POSIX message queues.
    pub ipc: Arc<Ipc>,
    /// Its mounts, as long as it has any.
    mounts: SpinMutex<Option<Arc<Namespace>>>,
    /// Filters of the system calls of processes that no process of the container forks.
    pub call_filters: Once<Arc<Filters>>,
    /// Terminals.
    pub terminals: Terminals,
    /// Whether it is paused.
    pub freezer: Freezer,
    /// Complete when its first process may run.
    pub start: Completion,
    first: Once<Weak<Process>>,
    /// Queues of its file-system devices.
    queues: SpinMutex<Vec<Arc<Virtqueue>>>,
    tasks: AtomicUsize,
    /// What it may use.
    pub limits: ContainerLimits,
}

impl Container {
    /// The first container, with the first namespace of each kind.
    pub fn sandbox(spec: &ContainerSpec) -> Arc<Self> {
        let uts = Arc::new(RwLock::new(names(spec)));
        Self::new(ProcessNumber::FIRST, spec.clone(), (Arc::default(), uts, Arc::default()))
    }

    /// A further container beside `sandbox`, which it shares namespaces with as `spec` says.
    pub fn beside(sandbox: &Self, number: ProcessNumber, spec: ContainerSpec) -> Arc<Self> {
        let shared = spec.shared;
        let processes =
            if shared.pid { sandbox.processes.clone() } else { Arc::<ProcessTable>::default() };
        let uts = match shared.uts {
            true => sandbox.uts.clone(),
            false => Arc::new(RwLock::new(names(&spec))),
        };
        let ipc = if shared.ipc { sandbox.ipc.clone() } else { Arc::default() };
        Self::new(number, spec, (processes, uts, ipc))
    }

    fn new(
        number: ProcessNumber,
        spec: ContainerSpec,
        (processes, uts, ipc): (Arc<ProcessTable>, Arc<RwLock<UtsNames>>, Arc<Ipc>),
    ) -> Arc<Self> {
        let limits = ContainerLimits::new(&spec.limits);
        Arc::new(Self {
            number,
            spec,
            processes,
            uts,
            ipc,
            mounts: SpinMutex::new(None),
            call_filters: Once::new(),
            terminals: Terminals::default(),
            freezer: Freezer::default(),
            start: Completion::default(),
            first: Once::new(),
            queues: SpinMutex::default(),
            tasks: AtomicUsize::new(0),
            limits,
        })
    }

    /// Its mounts; `None` before they are made and after its end.
    pub fn mounts(&self) -> Option<Arc<Namespace>> {
        self.mounts.lock().clone()
    }

    /// Gives it mounts, or takes them away.
    pub(super) fn set_mounts(&self, mounts: Option<Arc<Namespace>>) {
        // The old ones are dropped after the lock is released.
        let _old = core::mem::replace(&mut *self.mounts.lock(), mounts);
    }

    /// Its first process; `None` before there is one, and when nobody has it any more.
    pub fn first_process(&self) -> Option<Arc<Process>> {
        self.first.get().and_then(Weak::upgrade)
    }

    /// Notes its first process, once.
    pub(super) fn set_first_process(&self, process: &Arc<Process>) {
        self.first.call_once(|| Arc::downgrade(process));
    }

    /// Whether its first process has ended.
    pub fn has_ended(&self) -> bool {
        self.first.get().is_some_and(|first| {
            first.upgrade().is_none_or(|process| process.exit_status().is_some())
        })
    }

    /// Its processes, zombies included, by id.
    pub fn members(&self) -> Vec<Arc<Process>> {
        let mut all = self.processes.processes();
        all.retain(|process| core::ptr::eq(&**process.container(), self));
        all
    }

    /// Forgets its processes, of which none is alive.
    pub(super) fn forget_members(&self) {
        if !self.spec.shared.pid {
            self.processes.clear();
        }
    }

    /// Notes that a mount of it uses the device behind `queue`.
    pub fn add_queue(&self, queue: &Arc<Virtqueue>) {
        self.queues.lock().push(queue.clone());
    }

    /// Ends the use of its devices: whatever waits for them fails.
    pub(super) fn close_queues(&self) {
        let queues = self.queues.lock().clone();
        queues.iter().for_each(|queue| queue.close());
    }

    /// The queues of its devices, to be closed.
    pub(super) fn take_queues(&self) -> Vec<Arc<Virtqueue>> {
        core::mem::take(&mut *self.queues.lock())
    }

    /// Number of its tasks.
    pub fn task_count(&self) -> usize {
        self.tasks.load(Ordering::Relaxed)
    }

    pub(super) fn task_added(&self) {
        self.tasks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn task_removed(&self) {
        self.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}

fn names(spec: &ContainerSpec) -> UtsNames {
    UtsNames {
        host: spec.hostname.as_bytes().to_vec(),
        domain: spec.domainname.as_bytes().to_vec(),
    }
}

/// All containers of a sandbox. The lock is a leaf.
pub struct Containers {
    /// The first one, whose end is the sandbox's.
    pub sandbox: Arc<Container>,
    further: SpinMutex<BTreeMap<ProcessNumber, Arc<Container>>>,
}

impl Containers {
    /// `sandbox` and no other.
    pub(super) fn new(sandbox: Arc<Container>) -> Self {
        Self { sandbox, further: SpinMutex::default() }
    }

    /// The container with this number.
    pub fn get(&self, number: ProcessNumber) -> Option<Arc<Container>> {
        match number {
            ProcessNumber::FIRST => Some(self.sandbox.clone()),
            number => self.further.lock().get(&number).cloned(),
        }
    }

    /// All of them, the first one first.
    pub fn all(&self) -> Vec<Arc<Container>> {
        let further = self.further.lock();
        core::iter::once(&self.sandbox).chain(further.values()).cloned().collect()
    }

    pub(super) fn add(&self, container: &Arc<Container>) {
        self.further.lock().insert(container.number, container.clone());
    }

    pub(super) fn remove(&self, number: ProcessNumber) {
        let removed = self.further.lock().remove(&number);
        // What hangs on it is dropped after the lock is released.
        drop(removed);
    }
}

impl Kernel {
    /// The processes of all containers, those of a pid namespace together.
    pub fn all_processes(&self) -> Vec<Arc<Process>> {
        let mut tables: Vec<Arc<ProcessTable>> = Vec::new();
        for container in self.containers.all() {
            if !tables.iter().any(|table| Arc::ptr_eq(table, &container.processes)) {
                tables.push(container.processes.clone());
            }
        }
        tables.iter().flat_map(|table| table.processes()).collect()
    }
}
