//! All tasks, processes, groups and sessions of a pid namespace by id, and how processes are related.
//!
//! Each pid namespace has a table of its own (pid_namespaces(7)): an id is looked up where the caller
//! is, so that none of another namespace is ever found. No namespace is inside another: the one that
//! all are inside of is the host's.
//!
//! One lock covers everything that relates processes to each other, so that fork, exit, wait and
//! setpgid see a consistent tree. It comes before every lock of a process or task.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use spin::mutex::{SpinMutex, SpinMutexGuard};

use super::{Process, ProcessGroup, Session, Task};
use crate::errno::{Errno, Result};

/// One more than the largest id (pid_max of proc(5)).
pub const PID_LIMIT: u32 = 1 << 22;

type ById<T> = HashMap<u32, T, FxBuildHasher>;

/// The processes of a pid namespace.
#[derive(Default)]
pub struct ProcessTable {
    tree: SpinMutex<Tree>,
}

/// The locked part of the table.
#[derive(Default)]
pub(super) struct Tree {
    tasks: ById<Arc<Task>>,
    processes: ById<Arc<Process>>,
    groups: ById<Weak<ProcessGroup>>,
    sessions: ById<Weak<Session>>,
    last_id: u32,
}

impl ProcessTable {
    /// The task with thread id `tid`.
    pub fn task(&self, tid: u32) -> Option<Arc<Task>> {
        self.tree.lock().tasks.get(&tid).cloned()
    }

    /// The process with id `pid`; it may be a zombie.
    pub fn process(&self, pid: u32) -> Option<Arc<Process>> {
        self.tree.lock().processes.get(&pid).cloned()
    }

    /// The process group with this id.
    pub fn group(&self, id: u32) -> Option<Arc<ProcessGroup>> {
        self.tree.lock().groups.get(&id).and_then(Weak::upgrade)
    }

    /// The first process, which adopts orphans.
    pub fn init(&self) -> Option<Arc<Process>> {
        self.process(1)
    }

    /// All processes, zombies included, by id.
    pub fn processes(&self) -> Vec<Arc<Process>> {
        let mut all: Vec<_> = self.tree.lock().processes.values().cloned().collect();
        all.sort_unstable_by_key(|process| process.pid());
        all
    }

    /// Number of tasks.
    pub fn task_count(&self) -> usize {
        self.tree.lock().tasks.len()
    }

    /// The id given out last (/proc/loadavg).
    pub fn last_id(&self) -> u32 {
        self.tree.lock().last_id
    }

    /// Forgets all processes: none of them is ever looked for again.
    pub(super) fn clear(&self) {
        let mut tree = self.tree.lock();
        let forgotten = (core::mem::take(&mut tree.tasks), core::mem::take(&mut tree.processes));
        drop(tree);
        drop(forgotten);
    }

    /// Locks the tree for a change of several relations.
    pub(super) fn lock(&self) -> SpinMutexGuard<'_, Tree> {
        self.tree.lock()
    }
}

impl Tree {
    /// An unused id: for a task, and so for a process, a group and a session.
    ///
    /// # Errors
    /// EAGAIN if there is none.
    pub fn allocate_id(&mut self) -> Result<u32> {
        for _ in 1..PID_LIMIT {
            self.last_id = if self.last_id + 1 >= PID_LIMIT { 300 } else { self.last_id + 1 };
            if !self.is_used(self.last_id) {
                return Ok(self.last_id);
            }
        }
        Err(Errno::EAGAIN)
    }

    fn is_used(&self, id: u32) -> bool {
        let group = self.groups.get(&id).is_some_and(|group| group.strong_count() > 0);
        let session = self.sessions.get(&id).is_some_and(|session| session.strong_count() > 0);
        self.tasks.contains_key(&id) || self.processes.contains_key(&id) || group || session
    }

    /// Registers a task under its id.
    pub fn insert_task(&mut self, task: &Arc<Task>) {
        self.tasks.insert(task.tid(), task.clone());
        task.process.container().task_added();
    }

    /// Forgets a task.
    pub fn remove_task(&mut self, tid: u32) -> Option<Arc<Task>> {
        let task = self.tasks.remove(&tid)?;
        task.process.container().task_removed();
        Some(task)
    }

    /// Registers a process as a child of its parent and a member of its group.
    pub fn insert_process(&mut self, process: &Arc<Process>) {
        self.processes.insert(process.pid(), process.clone());
        process.group().add(process);
        if let Some(parent) = process.parent() {
            parent.family.lock().children.push(process.clone());
        }
    }

    /// Forgets a process that was reaped.
    pub fn remove_process(&mut self, process: &Arc<Process>) {
        self.processes.remove(&process.pid());
        self.leave_group(process);
        if let Some(parent) = process.parent() {
            parent.family.lock().children.retain(|child| !Arc::ptr_eq(child, process));
        }
        self.groups.retain(|_, group| group.strong_count() > 0);
        self.sessions.retain(|_, session| session.strong_count() > 0);
    }

    /// The group with this id.
    pub fn group(&self, id: u32) -> Option<Arc<ProcessGroup>> {
        self.groups.get(&id).and_then(Weak::upgrade)
    }

    /// The process with this id.
    pub fn process(&self, pid: u32) -> Option<&Arc<Process>> {
        self.processes.get(&pid)
    }

    /// A new group in `session`.
    pub fn create_group(&mut self, id: u32, session: Arc<Session>) -> Arc<ProcessGroup> {
        let group = ProcessGroup::new(id, session);
        self.groups.insert(id, Arc::downgrade(&group));
        group
    }

    /// A new session with its first group.
    pub fn create_session(&mut self, id: u32) -> Arc<ProcessGroup> {
        let session = Session::new(id);
        self.sessions.insert(id, Arc::downgrade(&session));
        self.create_group(id, session)
    }

    /// Moves `process` to `group`.
    pub fn join_group(&mut self, process: &Arc<Process>, group: Arc<ProcessGroup>) {
        self.leave_group(process);
        group.add(process);
        process.family.lock().group = group;
    }

    /// Makes `parent` the parent of `child`.
    pub fn reparent(&mut self, child: &Arc<Process>, parent: &Arc<Process>) {
        if let Some(old) = child.parent() {
            old.family.lock().children.retain(|other| !Arc::ptr_eq(other, child));
        }
        child.family.lock().parent = Arc::downgrade(parent);
        parent.family.lock().children.push(child.clone());
    }

    fn leave_group(&self, process: &Arc<Process>) {
        process.group().remove(process);
    }
}
