//! Which session a terminal controls, and which of its jobs may use it (credentials(7),
//! "Sessions and process groups"; POSIX.1 chapter 11).

use alloc::sync::{Arc, Weak};
use core::any::Any;

use super::Terminal;
use crate::{
    errno::{Errno, Result},
    kernel::{
        Capabilities, ControllingTerminal, Current, Kernel, Process, ProcessGroup, Session, Task,
        signal::{Signal, SignalInfo},
    },
    vfs::DeviceNumber,
};

impl ControllingTerminal for Terminal {
    fn device(&self) -> DeviceNumber {
        self.device()
    }

    fn foreground_group(&self) -> u32 {
        self.foreground().map_or(0, |group| group.id())
    }

    fn leader_exited(&self) {
        self.release_session(false);
    }
}

/// The controlling terminal of `task`.
pub(crate) fn controlling_terminal(task: &Task) -> Option<Arc<Terminal>> {
    let terminal: Arc<dyn Any + Send + Sync> = task.process.session().terminal()?;
    terminal.downcast().ok()
}

impl Terminal {
    /// The job that may use it.
    pub(super) fn foreground(&self) -> Option<Arc<ProcessGroup>> {
        self.state.lock().foreground.upgrade()
    }

    /// The session it controls.
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.state.lock().session.upgrade()
    }

    /// Whether it is the controlling terminal of `process`.
    pub(super) fn controls(&self, process: &Process) -> bool {
        self.session().is_some_and(|session| Arc::ptr_eq(&session, &process.session()))
    }

    /// Stops a background job that reads (`Signal::TTIN`), writes or changes the terminal
    /// (`Signal::TTOU`).
    ///
    /// # Errors
    /// ERESTARTSYS after the job was sent the signal; EIO if it cannot be stopped and wants to
    /// read, or nobody could continue it.
    pub(super) fn check_foreground(&self, current: &Current, signal: Signal) -> Result<()> {
        let process = current.process();
        let group = process.group();
        let in_foreground =
            self.foreground().is_none_or(|foreground| foreground.id() == group.id());
        if in_foreground || !self.controls(process) {
            return Ok(());
        }
        let ignored = process.signal_actions().lock().ignores(signal);
        if ignored || current.task.blocked_signals().contains(signal) {
            return if signal == Signal::TTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        if group.is_orphaned() {
            return Err(Errno::EIO);
        }
        group.send(SignalInfo::kernel(signal));
        Err(Errno::ERESTARTSYS)
    }

    /// Makes it the controlling terminal of `task`'s session (TIOCSCTTY); `steal` takes it from
    /// another.
    ///
    /// # Errors
    /// EPERM if the task is no session leader, its session has a terminal, or this one belongs to
    /// another session and the task may not steal it.
    pub(super) fn become_controlling(&self, task: &Task, steal: bool) -> Result<()> {
        let process = &task.process;
        let session = process.session();
        if self.controls(process) {
            return Ok(());
        }
        if session.id() != process.pid() || session.terminal().is_some() {
            return Err(Errno::EPERM);
        }
        if self.session().is_some() {
            if !steal || !task.credentials().has(Capabilities::SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            self.forget_session();
        }
        let this: Arc<dyn ControllingTerminal> = self.this.upgrade().ok_or(Errno::EIO)?;
        let mut state = self.state.lock();
        state.session = Arc::downgrade(&session);
        state.foreground = Arc::downgrade(&process.group());
        drop(state);
        session.set_terminal(Some(this));
        Ok(())
    }

    /// Gives up the controlling terminal (TIOCNOTTY); for a session leader with signals, as if it
    /// had exited.
    ///
    /// # Errors
    /// ENOTTY if it is not the caller's.
    pub(super) fn give_up(&self, process: &Process) -> Result<()> {
        if !self.controls(process) {
            return Err(Errno::ENOTTY);
        }
        if process.session().id() == process.pid() {
            self.release_session(false);
        }
        Ok(())
    }

    /// Makes `id` the foreground job (TIOCSPGRP).
    ///
    /// # Errors
    /// ENOTTY if it is not the caller's terminal; ESRCH, EPERM if there is no such group in the
    /// session; what [`Self::check_foreground`] says.
    pub(super) fn set_foreground(&self, current: &Current, id: i32) -> Result<()> {
        if !self.controls(current.process()) {
            return Err(Errno::ENOTTY);
        }
        self.check_foreground(current, Signal::TTOU)?;
        let id = u32::try_from(id).map_err(|_| Errno::EINVAL)?;
        let group = current.processes().group(id).ok_or(Errno::ESRCH)?;
        if !Arc::ptr_eq(group.session(), &current.process().session()) {
            return Err(Errno::EPERM);
        }
        self.state.lock().foreground = Arc::downgrade(&group);
        Ok(())
    }

    /// Ends its control of a session. The foreground job gets SIGHUP and SIGCONT, and with
    /// `leader_too` also the session's leader.
    pub(super) fn release_session(&self, leader_too: bool) {
        let foreground = self.foreground();
        let session = self.forget_session();
        if leader_too && let Some(leader) = session.and_then(|session| self.leader(&session)) {
            hang_up_signals().for_each(|info| leader.send(info));
        }
        if let Some(group) = foreground {
            hang_up_signals().for_each(|info| {
                group.send(info);
            });
        }
    }

    fn leader(&self, session: &Session) -> Option<Arc<Process>> {
        let kernel: Arc<Kernel> = self.kernel.upgrade()?;
        kernel.all_processes().into_iter().find(|process| {
            process.pid() == session.id() && core::ptr::eq(&*process.session(), session)
        })
    }

    fn forget_session(&self) -> Option<Arc<Session>> {
        let mut state = self.state.lock();
        state.foreground = Weak::new();
        let session = core::mem::take(&mut state.session).upgrade();
        drop(state);
        if let Some(session) = &session {
            session.set_terminal(None);
        }
        session
    }
}

fn hang_up_signals() -> impl Iterator<Item = SignalInfo> {
    [Signal::HUP, Signal::CONT].into_iter().map(SignalInfo::kernel)
}
