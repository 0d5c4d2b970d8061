//! A process of a container that the command itself stands for: its streams are the command's, it
//! gets the command's signals, and the command ends as it does.

use std::io;

use guest_abi::control::ExitStatus;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
};

use crate::{
    channel::Channel,
    signals::{KILL, Received, Signals},
    stand_in::{Ended, Happened},
    terminal::{self, RawMode},
};

/// Serves the life line of a process until it has ended; how it did. With `has_terminal`, its
/// terminal is the one on standard input.
///
/// # Errors
/// If the caller's terminal cannot be handled.
pub fn stand_for(line: &Channel, signals: &Signals, has_terminal: bool) -> io::Result<ExitStatus> {
    let raw = has_terminal.then(RawMode::enter).transpose()?;
    loop {
        let mut polled = [PollFd::new(line, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        retry_on_intr(|| poll(&mut polled, None::<&Timespec>))?;
        while let Some(received) = signals.next() {
            pass_on(line, received, raw.as_ref())?;
        }
        match line.try_receive::<Ended>() {
            Ok((Ended(status), _)) => return Ok(status),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The sandbox is gone, and everything in it.
            Err(_) => return Ok(ExitStatus::Signal(KILL)),
        }
    }
}

fn pass_on(line: &Channel, received: Received, raw: Option<&RawMode>) -> io::Result<()> {
    let happened = match (received.number, raw) {
        (libc::SIGTSTP, None) => {
            terminal::stop_process();
            None
        }
        (libc::SIGTSTP, Some(raw)) => {
            raw.suspend()?;
            size()
        }
        (libc::SIGWINCH, _) => raw.and_then(|_| size()),
        (number, _) => u8::try_from(number).ok().map(Happened::Signal),
    };
    if let Some(happened) = happened {
        // A sandbox that does not listen any more is about to hang up.
        let _ = line.try_send(&happened);
    }
    Ok(())
}

fn size() -> Option<Happened> {
    terminal::size().map(|(rows, columns)| Happened::Resized(rows, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_as_the_process_does_or_is_killed_with_the_sandbox() {
        let signals = Signals::take_over().unwrap();
        let (line, sandbox) = Channel::pair().unwrap();
        sandbox.send(&Ended(ExitStatus::Code(3)), &[]).unwrap();
        assert_eq!(stand_for(&line, &signals, false).unwrap(), ExitStatus::Code(3));
        drop(sandbox);
        assert_eq!(stand_for(&line, &signals, false).unwrap(), ExitStatus::Signal(9));
    }
}
