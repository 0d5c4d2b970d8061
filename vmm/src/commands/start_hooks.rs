//! startContainer hooks: programs of the container's root that run in the container before its own
//! program does, as the same user and with the same rights.

use std::{
    fs::File,
    io::{Seek, Write},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use guest_abi::{
    container::{ContainerSpec, ProcessSpec},
    control::ExitStatus,
};
use oci_spec::runtime::{Hook, Hooks};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, memfd_create},
    io::{Errno, read, retry_on_intr},
    pipe::{PipeFlags, pipe_with},
};

use super::{exec, state::state_json};
use crate::{
    channel::Channel,
    error::Result,
    hooks,
    signals::KILL,
    stand_in::{Ended, Happened},
    state::{Container, Record, Status},
};

/// The id that the container's first process has inside.
const FIRST_PID: u32 = 1;

/// Bytes kept of what a hook says on its standard error.
const MAX_SAID_BYTES: usize = 4096;

/// What startContainer hooks need to know of the container's process, if there are such hooks.
pub fn process_of(container: &ContainerSpec, hooks: Option<&Hooks>) -> Option<ProcessSpec> {
    hooks?.start_container().as_ref()?;
    Some(container.process.clone())
}

/// Runs them, in order.
///
/// # Errors
/// The first that fails, or takes longer than it may.
pub fn run(container: &Container, record: &Record) -> Result<()> {
    let hooks = record.hooks.as_ref().and_then(|hooks| hooks.start_container().as_ref());
    let mut state = state_json(record, Status::Created);
    // As it is seen where they run.
    if let Some(pid) = state.get_mut("pid") {
        *pid = FIRST_PID.into();
    }
    let state = state.to_string();
    let own = record.process.clone().unwrap_or_default();
    hooks::run_by("startContainer", hooks, |hook| {
        let status = run_one(container, process(hook, &own), &state, hooks::time_limit(hook))?;
        match status {
            (ExitStatus::Code(0), _) => Ok(()),
            (ExitStatus::Code(code), said) => Err(format!("exit status: {code}, stderr: {said}")),
            (ExitStatus::Signal(number), said) => Err(format!("signal: {number}, stderr: {said}")),
        }
    })
}

/// The process that `hook` asks for in a container with the first process `own`.
fn process(hook: &Hook, own: &ProcessSpec) -> ProcessSpec {
    let path = hook.path().to_string_lossy().into_owned();
    ProcessSpec {
        arguments: hook.args().clone().unwrap_or_else(|| vec![path.clone()]),
        program: Some(path),
        environment: hook.env().clone().unwrap_or_default(),
        terminal: false,
        terminal_size: None,
        ..own.clone()
    }
}

/// Runs `process` with `state` on its standard input; how it ended and what it said.
fn run_one(
    container: &Container,
    process: ProcessSpec,
    state: &str,
    limit: Option<Duration>,
) -> std::result::Result<(ExitStatus, String), String> {
    let failed = |error: std::io::Error| error.to_string();
    let (line, remote) = Channel::pair().map_err(|error| error.to_string())?;
    let (said, streams) = streams(state).map_err(failed)?;
    let started = exec::start(container, process, &streams, remote.as_fd());
    started.map_err(|failure| failure.to_string())?;
    // A sandbox that is gone shows as a hang-up.
    drop((remote, streams));
    Running { line, said, text: Vec::new() }.wait(limit)
}

/// Its standard streams, and where its standard error is read.
fn streams(state: &str) -> std::io::Result<(OwnedFd, [OwnedFd; 3])> {
    let mut input = File::from(memfd_create("state", MemfdFlags::CLOEXEC)?);
    input.write_all(state.as_bytes())?;
    input.rewind()?;
    let null = File::options().write(true).open("/dev/null")?;
    let (said, error) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    Ok((said, [input.into(), null.into(), error]))
}

/// A hook that runs.
struct Running {
    line: Channel,
    said: OwnedFd,
    text: Vec<u8>,
}

impl Running {
    /// Waits for its end; kills it when it has taken `limit`.
    fn wait(
        mut self,
        limit: Option<Duration>,
    ) -> std::result::Result<(ExitStatus, String), String> {
        let start = Instant::now();
        let mut is_killed = false;
        let mut is_silent = false;
        loop {
            let left = limit.map(|limit| limit.saturating_sub(start.elapsed()));
            let left = left.filter(|_| !is_killed);
            if left == Some(Duration::ZERO) {
                is_killed = true;
                let _ = self.line.try_send(&Happened::Signal(KILL));
                continue;
            }
            self.await_event(left, is_silent)?;
            is_silent |= self.read();
            let status = match self.line.try_receive::<Ended>() {
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Ok((Ended(status), _)) => status,
                Err(_) => ExitStatus::Signal(KILL),
            };
            // What it wrote has arrived before its end is told.
            self.read();
            let said = String::from_utf8_lossy(&self.text).trim().to_owned();
            return match limit.filter(|_| is_killed) {
                Some(limit) => Err(hooks::too_slow(limit)),
                None => Ok((status, said)),
            };
        }
    }

    fn await_event(
        &self,
        left: Option<Duration>,
        is_silent: bool,
    ) -> std::result::Result<(), String> {
        let mut polled = vec![PollFd::new(&self.line, PollFlags::IN)];
        // A pipe that nobody writes any more is ready at all times.
        if !is_silent {
            polled.push(PollFd::new(&self.said, PollFlags::IN));
        }
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let ready = retry_on_intr(|| poll(&mut polled, left.as_ref()));
        ready.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Takes what it has said; whether it can say no more.
    fn read(&mut self) -> bool {
        let mut buffer = [0_u8; MAX_SAID_BYTES];
        loop {
            match retry_on_intr(|| read(&self.said, &mut buffer)) {
                Ok(0) => return true,
                Ok(count) => {
                    let room = MAX_SAID_BYTES.saturating_sub(self.text.len()).min(count);
                    self.text.extend(buffer.get(..room).unwrap_or_default());
                }
                Err(error) => return error != Errno::AGAIN,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_a_process_like_the_first_one() {
        let own = ProcessSpec {
            arguments: vec!["init".to_owned()],
            environment: vec!["A=1".to_owned()],
            uid: 5,
            terminal: true,
            ..ProcessSpec::default()
        };
        let hook = |json: &str| process(&serde_json::from_str(json).unwrap(), &own);
        let process =
            hook(r#"{"path": "/bin/busybox", "args": ["sh", "-c", "x"], "env": ["B=2"]}"#);
        assert_eq!(process.program.as_deref(), Some("/bin/busybox"));
        assert_eq!(process.arguments, ["sh", "-c", "x"]);
        assert_eq!(process.environment, ["B=2"]);
        assert_eq!((process.uid, process.terminal), (5, false));
        assert_eq!(hook(r#"{"path": "/bin/true"}"#).arguments, ["/bin/true"]);
    }

    fn running() -> (Channel, OwnedFd, Running) {
        let (line, remote) = Channel::pair().unwrap();
        let (said, error) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        (remote, error, Running { line, said, text: Vec::new() })
    }

    #[test]
    fn what_it_says_and_how_it_ends_are_told() {
        let (remote, error, running) = running();
        rustix::io::write(&error, b"no\n").unwrap();
        remote.send(&Ended(ExitStatus::Code(3)), &[]).unwrap();
        assert_eq!(running.wait(None), Ok((ExitStatus::Code(3), "no".to_owned())));
    }

    #[test]
    fn one_that_takes_too_long_is_killed() {
        let (remote, error, running) = running();
        drop(error);
        let sandbox = std::thread::spawn(move || {
            let happened = remote.receive::<Happened>().unwrap().0;
            remote.send(&Ended(ExitStatus::Signal(9)), &[]).unwrap();
            happened
        });
        let limit = Duration::from_millis(10);
        assert_eq!(running.wait(Some(limit)), Err(hooks::too_slow(limit)));
        assert!(matches!(sandbox.join().unwrap(), Happened::Signal(KILL)));
    }
}
