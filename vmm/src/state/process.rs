//! Which process a process id means: ids are used again.

use std::{fs, os::fd::OwnedFd};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, Result, retry_on_intr},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

/// A process: its id, and when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks after boot (proc_pid_stat(5), field 22).
    pub start_ticks: u64,
}

impl ProcessIdentity {
    /// The process that has the id `pid` now.
    pub fn of(pid: u32) -> Option<Self> {
        read(pid).map(|(_, start_ticks)| Self { pid, start_ticks })
    }

    /// Whether it has not ended. A zombie has.
    pub fn is_alive(&self) -> bool {
        read(self.pid).is_some_and(|(state, start_ticks)| {
            start_ticks == self.start_ticks && !matches!(state, 'Z' | 'X')
        })
    }

    /// Kills it and waits until it has ended; does nothing if it has already.
    ///
    /// # Errors
    /// Those of pidfd_open(2), pidfd_send_signal(2) and poll(2).
    pub fn kill(&self) -> Result<()> {
        let Some(descriptor) = self.open()? else { return Ok(()) };
        match pidfd_send_signal(&descriptor, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error),
        }
        wait_for_end(&descriptor)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Those of pidfd_open(2) and poll(2).
    pub fn await_end(&self) -> Result<()> {
        self.open()?.map_or(Ok(()), |descriptor| wait_for_end(&descriptor))
    }

    /// A descriptor that means this process for good; none if it has ended.
    fn open(&self) -> Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            // What the descriptor means cannot change any more.
            Ok(descriptor) => Ok(self.is_alive().then_some(descriptor)),
            // Its parent has waited for it. Before the id is free for others, Linux answers EINVAL, or
            // ENOENT since 6.16.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn wait_for_end(process: &OwnedFd) -> Result<()> {
    let mut polled = [PollFd::new(process, PollFlags::IN)];
    retry_on_intr(|| poll(&mut polled, None::<&Timespec>)).map(drop)
}

/// State and start time of process `pid`.
fn read(pid: u32) -> Option<(char, u64)> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name, second field, may contain anything; the last parenthesis ends it.
fn parse(stat: &str) -> Option<(char, u64)> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_the_next_with_its_id() {
        let own = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        let other = ProcessIdentity { start_ticks: own.start_ticks + 1, ..own };
        assert!(!other.is_alive());
        other.kill().unwrap();
        assert_eq!(ProcessIdentity::of(u32::MAX), None);
    }

    #[test]
    fn a_killed_process_has_ended_when_kill_returns() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let identity = ProcessIdentity::of(child.id()).unwrap();
        identity.kill().unwrap();
        assert!(!identity.is_alive());
        child.wait().unwrap();
        identity.await_end().unwrap();
    }

    /// A thread's id is to pidfd_open(2) what the id of a process is that is just being reaped: one
    /// that is in use, and of no process.
    #[test]
    fn an_id_that_is_in_use_and_of_no_process_is_no_error() {
        let thread = || u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        let killed = std::thread::spawn(move || {
            let identity = ProcessIdentity::of(thread()).unwrap();
            identity.kill().and_then(|()| identity.await_end())
        });
        killed.join().unwrap().unwrap();
    }

    #[test]
    fn names_may_look_like_fields() {
        let stat = "7 (a) R 1) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1";
        assert_eq!(parse(stat), Some(('S', 4242)));
        assert_eq!(parse("7 (a"), None);
    }
}
