//! `run`: creates a container and starts it; in the foreground, waits for its end and deletes it.

use std::{
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::Child,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

use super::{
    Launch,
    create::{self, Created, Options},
    delete, start,
};
use crate::{
    error::{Failure, Result},
    signals::Signals,
    terminal::{self, RawMode},
};

/// The command. `keep` leaves the stopped container to be looked at.
///
/// # Errors
/// If it cannot be created or started; then nothing of it remains.
pub fn run(launch: &Launch<'_>, options: &Options, detach: bool, keep: bool) -> Result<u8> {
    // Before there is a child that could inherit what a signal does to this process.
    let signals = Signals::take_over().map_err(failed)?;
    let created = create::create(launch, options)?;
    if let Err(failure) = start::start(launch.context, &created.container, &created.record) {
        let _ = created.record.stand_in.kill();
        let _ = delete::forget(launch.context, created.container, &created.record);
        return Err(failure);
    }
    if detach {
        return Ok(0);
    }
    let Created { container, record, stand_in, has_callers_terminal } = created;
    // Others may change it while it runs.
    drop(container);
    let status = wait(stand_in, &signals, has_callers_terminal)?;
    if !keep && let Some(container) = launch.context.root.try_find(&record.id)? {
        container.lock()?;
        delete::forget(launch.context, container, &record)?;
    }
    Ok(status)
}

/// Waits for `stand_in` and passes signals on to it; the status as a shell would show it.
///
/// # Errors
/// If the caller's terminal or the process cannot be handled.
pub fn wait(mut stand_in: Child, signals: &Signals, has_callers_terminal: bool) -> Result<u8> {
    let raw = has_callers_terminal.then(RawMode::enter).transpose().map_err(failed)?;
    let pid = i32::try_from(stand_in.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| failed(std::io::Error::other("a pid that is none")))?;
    let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| failed(error.into()))?;
    loop {
        let mut polled = [
            PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        retry_on_intr(|| poll(&mut polled, None::<&Timespec>))
            .map_err(|error| failed(error.into()))?;
        if polled.first().is_some_and(|ended| !ended.revents().is_empty()) {
            break;
        }
        while let Some(received) = signals.next() {
            match (received.number, &raw) {
                (libc::SIGTSTP, Some(raw)) => raw.suspend().map_err(failed)?,
                (libc::SIGTSTP, None) => terminal::stop_process(),
                (number, _) => pass_on(pid, number),
            }
        }
    }
    let status = stand_in.wait().map_err(failed)?;
    let signal = status.signal().map(|number| 128_i32.saturating_add(number));
    Ok(status.code().or(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

/// The process is a child that was not waited for, so the id is still its own.
fn pass_on(pid: Pid, number: libc::c_int) {
    if let Some(signal) = Signal::from_named_raw(number) {
        // It may just have ended.
        let _ = kill_process(pid, signal);
    }
}

fn failed(error: std::io::Error) -> Failure {
    Failure::new(
        format_args!("cannot wait for the container: {error}"),
        "check the limit of open files (ulimit -n)",
    )
}
