//! Waiting for children (wait4(2), waitid(2)).
#![allow(missing_docs, reason = "flags keep the names of their man pages")]

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use bitflags::bitflags;

use super::{
    Current, Interruption, PollEvents, Process, StopReport, Usage, WaitReason, WaitStatus, exit,
    process_table::Tree,
    signal::{Signal, SignalInfo, code},
};
use crate::errno::{Errno, Result};

bitflags! {
    /// Options of wait4(2) and waitid(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the names are those of wait(2), with W and __W left out")]
    pub struct WaitOptions: u32 {
        const NO_HANG = 1;
        const STOPPED = 2;
        const EXITED = 4;
        const CONTINUED = 8;
        const NO_WAIT = 0x0100_0000;
        const NO_THREAD = 0x2000_0000;
        const ALL = 0x4000_0000;
        const CLONE = 0x8000_0000;
    }
}

/// Which children to wait for.
#[derive(Clone, Debug)]
pub enum WaitTarget {
    /// All.
    Any,
    /// The one with this id.
    Process(u32),
    /// Those in the process group with this id.
    Group(u32),
}

/// News of a child.
#[derive(Clone, Debug)]
pub struct ChildEvent {
    /// Its id.
    pub pid: u32,
    /// As wait4(2) encodes it.
    pub status: u32,
    /// As waitid(2) shows it.
    pub info: SignalInfo,
    /// What it and its waited-for children have used; nothing unless it has ended.
    pub usage: Usage,
}

/// What a look at the children found.
enum Found {
    Event(ChildEvent),
    /// Children, but no news.
    Nothing,
    NoChild,
}

impl WaitTarget {
    fn matches(&self, child: &Process, options: WaitOptions) -> bool {
        let selected = match self {
            Self::Any => true,
            Self::Process(pid) => child.pid() == *pid,
            Self::Group(id) => child.group().id() == *id,
        };
        // A "clone child" is one that does not send SIGCHLD (wait(2), __WCLONE).
        let signal = child.exit_signal.load(Ordering::Relaxed);
        let is_clone = signal != u32::from(Signal::CHLD.number());
        let kind =
            options.contains(WaitOptions::ALL) || is_clone == options.contains(WaitOptions::CLONE);
        selected && kind
    }
}

impl Current {
    /// Waits for news of a child; `None` if there is none and `options` say not to wait.
    ///
    /// # Errors
    /// ECHILD if no child matches; ERESTARTSYS after a signal.
    pub async fn wait_for_child(
        &self,
        target: &WaitTarget,
        options: WaitOptions,
    ) -> Result<Option<ChildEvent>> {
        match self.look_for_event(target, options) {
            Found::Event(event) => return Ok(Some(event)),
            Found::NoChild => return Err(Errno::ECHILD),
            Found::Nothing if options.contains(WaitOptions::NO_HANG) => return Ok(None),
            Found::Nothing => {}
        }
        let condition = || match self.look_for_event(target, options) {
            Found::Event(event) => Some(Ok(Some(event))),
            Found::NoChild => Some(Err(Errno::ECHILD)),
            Found::Nothing => None,
        };
        let wait = self.process().children_changed.wait_until(PollEvents::IN, condition);
        self.wait(WaitReason::Child, None, wait).await.unwrap_or_else(|interruption| {
            Err(match interruption {
                Interruption::Signal => Errno::ERESTARTSYS,
                Interruption::TimedOut => Errno::ETIMEDOUT,
            })
        })
    }

    fn look_for_event(&self, target: &WaitTarget, options: WaitOptions) -> Found {
        let mut tree = self.processes().lock();
        let mut any = false;
        for child in self.process().children() {
            if !target.matches(&child, options) {
                continue;
            }
            any = true;
            let event = self.end_of(&mut tree, &child, options);
            if let Some(event) = event.or_else(|| stop_of(&child, options)) {
                return Found::Event(event);
            }
        }
        if any { Found::Nothing } else { Found::NoChild }
    }

    /// The end of `child`, which is reaped unless `options` say otherwise.
    fn end_of(
        &self,
        tree: &mut Tree,
        child: &Arc<Process>,
        options: WaitOptions,
    ) -> Option<ChildEvent> {
        let WaitStatus(status) = child.exit_status()?;
        if !options.contains(WaitOptions::EXITED) {
            return None;
        }
        let mut usage: Usage = *child.past_usage.lock();
        usage.add(&child.children_usage());
        let event = ChildEvent { pid: child.pid(), status, info: exit::child_info(child), usage };
        if !options.contains(WaitOptions::NO_WAIT) {
            tree.remove_process(child);
            self.process().children_usage.lock().add(&usage);
        }
        Some(event)
    }
}

/// A stop or continuation of `child`, told once unless `options` say otherwise.
fn stop_of(child: &Process, options: WaitOptions) -> Option<ChildEvent> {
    let uid = child.real_uid();
    let mut state = child.state.lock();
    let (wanted, status, code, signal) = match state.report? {
        StopReport::Stopped(signal) => {
            let status = u32::from(signal.number()) << 8 | 0x7f;
            (WaitOptions::STOPPED, status, code::CLD_STOPPED, signal)
        }
        StopReport::Continued => {
            (WaitOptions::CONTINUED, 0xffff, code::CLD_CONTINUED, Signal::CONT)
        }
    };
    if !options.contains(wanted) {
        return None;
    }
    if !options.contains(WaitOptions::NO_WAIT) {
        state.report = None;
    }
    let info = SignalInfo::child(code, child.pid(), uid, i32::from(signal.number()), 0, 0);
    Some(ChildEvent { pid: child.pid(), status, info, usage: Usage::default() })
}
