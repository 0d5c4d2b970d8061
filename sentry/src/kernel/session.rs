//! Process groups and sessions (setsid(2), setpgid(2), credentials(7)).

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};
use core::any::Any;

use spin::mutex::SpinMutex;

use super::{Current, Process, signal::SignalInfo};
use crate::{
    errno::{Errno, Result},
    vfs::DeviceNumber,
};

/// A terminal as the controlling terminal of a session.
pub trait ControllingTerminal: Any + Send + Sync {
    /// Its device number (`tty_nr` of proc_pid_stat(5)).
    fn device(&self) -> DeviceNumber;

    /// Id of the foreground process group; 0 if there is none (tcgetpgrp(3)).
    fn foreground_group(&self) -> u32;

    /// The session's leader has exited: the foreground group gets SIGHUP and SIGCONT, and the
    /// terminal belongs to no session any more.
    fn leader_exited(&self);
}

/// A session: the process groups of one login.
pub struct Session {
    id: u32,
    terminal: SpinMutex<Option<Arc<dyn ControllingTerminal>>>,
}

impl Session {
    /// A session led by process `id`, without a terminal.
    pub fn new(id: u32) -> Arc<Self> {
        Arc::new(Self { id, terminal: SpinMutex::new(None) })
    }

    /// Id of the process that made it.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Its controlling terminal.
    pub fn terminal(&self) -> Option<Arc<dyn ControllingTerminal>> {
        self.terminal.lock().clone()
    }

    /// Gives it `terminal`, or takes it away.
    pub fn set_terminal(&self, terminal: Option<Arc<dyn ControllingTerminal>>) {
        // The old one is dropped after the lock is released.
        let _old = core::mem::replace(&mut *self.terminal.lock(), terminal);
    }
}

/// A process group: a job of a shell. The lock is a leaf.
pub struct ProcessGroup {
    id: u32,
    session: Arc<Session>,
    members: SpinMutex<Vec<Weak<Process>>>,
}

impl ProcessGroup {
    /// An empty group in `session`.
    pub fn new(id: u32, session: Arc<Session>) -> Arc<Self> {
        Arc::new(Self { id, session, members: SpinMutex::new(Vec::new()) })
    }

    /// Its id.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The session it belongs to.
    pub const fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Its processes, zombies included.
    pub fn members(&self) -> Vec<Arc<Process>> {
        self.members.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Sends a signal to each of its processes, without a permission check; true if it has any.
    pub fn send(&self, info: SignalInfo) -> bool {
        let members = self.members();
        members.iter().for_each(|process| process.send(info));
        !members.is_empty()
    }

    /// Whether no process outside the group but in the session is a parent of a member, so that
    /// nobody could continue it when stopped (setpgid(2), "orphaned process group").
    pub fn is_orphaned(&self) -> bool {
        !self.members().iter().any(|process| {
            process.parent().is_some_and(|parent| {
                let group = parent.group();
                group.id() != self.id && group.session().id() == self.session.id()
            })
        })
    }

    pub(super) fn add(&self, process: &Arc<Process>) {
        self.members.lock().push(Arc::downgrade(process));
    }

    pub(super) fn remove(&self, process: &Process) {
        self.members.lock().retain(|member| !core::ptr::eq(member.as_ptr(), process));
    }
}

impl Current {
    /// Moves `process`, the caller or a child of it, to the group `id` (0: a group of its own).
    ///
    /// # Errors
    /// As setpgid(2): ESRCH, EPERM, EACCES.
    pub fn set_process_group(&self, process: &Arc<Process>, id: u32) -> Result<()> {
        let own = self.process();
        let id = if id == 0 { process.pid() } else { id };
        let mut tree = self.processes().lock();
        if !Arc::ptr_eq(process, own) {
            let is_child = process.parent().is_some_and(|parent| Arc::ptr_eq(&parent, own));
            if !is_child {
                return Err(Errno::ESRCH);
            }
            if process.session().id() != own.session().id() {
                return Err(Errno::EPERM);
            }
            if process.has_executed() {
                return Err(Errno::EACCES);
            }
        }
        if process.session().id() == process.pid() {
            return Err(Errno::EPERM);
        }
        if process.group().id() == id {
            return Ok(());
        }
        let session = process.session();
        let group = match tree.group(id) {
            Some(group) if group.session().id() == session.id() => group,
            None if id == process.pid() => tree.create_group(id, session),
            _ => return Err(Errno::EPERM),
        };
        tree.join_group(process, group);
        Ok(())
    }

    /// Makes the caller the leader of a new session and group; answers its id.
    ///
    /// # Errors
    /// EPERM if it leads a group already.
    pub fn create_session(&self) -> Result<u32> {
        let process = self.process();
        let mut tree = self.processes().lock();
        if tree.group(process.pid()).is_some() {
            return Err(Errno::EPERM);
        }
        let group = tree.create_session(process.pid());
        tree.join_group(process, group);
        Ok(process.pid())
    }
}
