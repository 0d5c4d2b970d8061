//! Which process a process id means: ids are used again.

use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
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
    /// Those of pidfd_open(2) and pidfd_send_signal(2).
    pub fn kill(&self) -> rustix::io::Result<()> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error),
        };
        // What the descriptor means cannot change any more.
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(&descriptor, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error),
        }
        self.await_end()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Those of pidfd_open(2) and poll(2).
    pub fn await_end(&self) -> rustix::io::Result<()> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.is_alive() {
            let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut polled, None::<&Timespec>))?;
        }
        Ok(())
    }
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

    #[test]
    fn names_may_look_like_fields() {
        let stat = "7 (a) R 1) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1";
        assert_eq!(parse(stat), Some(('S', 4242)));
        assert_eq!(parse("7 (a"), None);
    }
}
