//! Blocking: the one loop that turns tried operations into calls that wait.

use super::{File, OpenFile, OpenFlags, WritePosition, Written};
use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryError, TryResult},
    kernel::{Current, Deadline, Interruption, PollEvents, WaitReason, signal::Signal},
};

/// How long a call may wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blocking {
    /// Until it is done.
    #[default]
    Forever,
    /// Until this time (SO_RCVTIMEO, SO_SNDTIMEO), then EAGAIN.
    Until(Deadline),
    /// Not at all: EAGAIN (O_NONBLOCK, MSG_DONTWAIT).
    Never,
}

impl Blocking {
    /// As the O_NONBLOCK flag of `open` says.
    pub fn of(open: &OpenFile) -> Self {
        if open.flags().contains(OpenFlags::NON_BLOCKING) { Self::Never } else { Self::Forever }
    }
}

impl Current {
    /// Makes `attempt` on `file` until it says something other than "not yet", waiting for
    /// `interest` in between and making memory and contents resident as it asks.
    ///
    /// # Errors
    /// EAGAIN if it may not wait or waited too long; ERESTARTSYS if a signal came; EFAULT; what
    /// `attempt` fails with.
    pub async fn retry<T: Send>(
        &self,
        file: &dyn File,
        interest: PollEvents,
        blocking: Blocking,
        mut attempt: impl FnMut() -> TryResult<T> + Send,
    ) -> Result<T> {
        let mut outcome = attempt();
        let mut relieved = false;
        loop {
            match outcome {
                Ok(value) => return Ok(value),
                Err(TryError::Failed(Errno::ENOMEM)) if !relieved => {
                    // Once: it may be for another reason than want of frames.
                    relieved = true;
                    if !self.mm.frames().relieve().await {
                        return Err(Errno::ENOMEM);
                    }
                    outcome = attempt();
                }
                Err(TryError::Failed(errno)) => return Err(errno),
                Err(fault @ TryError::PageFault { .. }) => {
                    self.mm.resolve(fault).await?;
                    outcome = attempt();
                }
                Err(TryError::NotResident { offset, length }) => {
                    file.fetch(offset, length).await?;
                    self.task.accounting.count_fetched(length);
                    outcome = attempt();
                }
                Err(TryError::WouldBlock) => {
                    outcome = self.await_ready(file, interest, blocking, &mut attempt).await?;
                }
            }
        }
    }

    /// Waits until `attempt`, which said [`TryError::WouldBlock`], says something else.
    async fn await_ready<T: Send>(
        &self,
        file: &dyn File,
        interest: PollEvents,
        blocking: Blocking,
        attempt: &mut (impl FnMut() -> TryResult<T> + Send),
    ) -> Result<TryResult<T>> {
        let deadline = match blocking {
            Blocking::Never => return Err(Errno::EAGAIN),
            Blocking::Forever => None,
            Blocking::Until(deadline) => Some(deadline),
        };
        let queue = file.wait_queue().ok_or(Errno::EAGAIN)?;
        let settled = queue.wait_again(interest, || match attempt() {
            Err(TryError::WouldBlock) => None,
            outcome => Some(outcome),
        });
        self.wait(WaitReason::Stream, deadline, settled).await.map_err(|why| match why {
            Interruption::Signal => Errno::ERESTARTSYS,
            Interruption::TimedOut => Errno::EAGAIN,
        })
    }

    /// Reads from `open` at `offset`, or where its position is (and moves it), into `destination`.
    /// A stream answers what it has; a file fills the destination up to its end.
    ///
    /// # Errors
    /// As [`Self::retry`], if nothing was read.
    pub async fn read_file(
        &self,
        open: &OpenFile,
        offset: Option<u64>,
        destination: &mut dyn Destination,
        blocking: Blocking,
    ) -> Result<usize> {
        open.file.admit(self, false)?;
        let seekable = open.is_seekable();
        let mut total = 0_usize;
        loop {
            let at = offset.map(|offset| offset.saturating_add(total as u64));
            let attempt = || try_read(open, at, seekable, destination);
            match self.retry(&*open.file, PollEvents::IN, blocking, attempt).await {
                Ok(count) => {
                    total += count;
                    if count == 0 || !seekable || destination.remaining() == 0 {
                        return Ok(total);
                    }
                }
                Err(_) if total > 0 => return Ok(total),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// As [`Self::read_file`], if that takes no waiting; `None`, and the position is where it was, if
    /// it might.
    pub fn read_at_once(
        &self,
        open: &OpenFile,
        offset: Option<u64>,
        destination: &mut dyn Destination,
    ) -> Option<Result<usize>> {
        let file = &*open.file;
        if let Err(errno) = file.admit(self, false) {
            return Some(Err(errno));
        }
        if !open.is_seekable() {
            return settled(file.try_read(0, destination));
        }
        let Some(offset) = offset else {
            let mut position = open.offset().lock();
            let outcome = read_to_end(file, *position, destination)?;
            *position = position.saturating_add(outcome.unwrap_or(0) as u64);
            return Some(outcome);
        };
        read_to_end(file, offset, destination)
    }

    /// Writes all of `source` to `open` at `offset`, or where its position is (and moves it), and
    /// as far as the file's flags ask for it (O_DSYNC, O_SYNC) also to where it is kept.
    ///
    /// # Errors
    /// As [`Self::retry`], if nothing was written; EIO, ENOSPC.
    pub async fn write_file(
        &self,
        open: &OpenFile,
        offset: Option<u64>,
        source: &mut dyn Source,
        blocking: Blocking,
    ) -> Result<usize> {
        let total = self.write_pieces(open, offset, source, blocking).await?;
        if open.file.writes_through() {
            open.file.write_through().await?;
            self.task.accounting.count_stored(total);
        }
        let flags = open.flags();
        if flags.intersects(OpenFlags::DATA_SYNC | OpenFlags::SYNC) {
            match open.file.sync(!flags.contains(OpenFlags::SYNC)).await {
                // Nothing to synchronise to.
                Ok(()) | Err(Errno::EINVAL) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(total)
    }

    /// Writes `source`, which lies in one page, to `open`, if that takes no waiting; `None`, and nothing
    /// is written, if it might. For files that take such writes whole.
    pub fn write_at_once(&self, open: &OpenFile, source: &mut dyn Source) -> Option<Result<usize>> {
        let file = &*open.file;
        let attempt = match file.admit(self, true) {
            Ok(()) => file.try_write(WritePosition::At(0), source).map(|written| written.count),
            Err(errno) => Err(TryError::Failed(errno)),
        };
        let outcome = settled(attempt)?;
        if let Err(errno) = outcome {
            self.note_broken_pipe(file, errno);
        }
        Some(outcome)
    }

    async fn write_pieces(
        &self,
        open: &OpenFile,
        offset: Option<u64>,
        source: &mut dyn Source,
        blocking: Blocking,
    ) -> Result<usize> {
        open.file.admit(self, true)?;
        let mut total = 0_usize;
        loop {
            let at = offset.map(|offset| offset.saturating_add(total as u64));
            let attempt = || try_write(open, at, source);
            match self.retry(&*open.file, PollEvents::OUT, blocking, attempt).await {
                Ok(written) => {
                    total += written.count;
                    if source.remaining() == 0 || written.count == 0 {
                        return Ok(total);
                    }
                }
                Err(errno) => {
                    // Also after a part was written, as Linux does (pipe(7)).
                    self.note_broken_pipe(&*open.file, errno);
                    return if total > 0 { Ok(total) } else { Err(errno) };
                }
            }
        }
    }
}

impl Current {
    /// Raises SIGPIPE if writing to `file` failed for want of readers.
    pub fn note_broken_pipe(&self, file: &dyn File, errno: Errno) {
        if errno == Errno::EPIPE && file.signals_broken_pipe() {
            self.task.send_to_itself(Signal::PIPE);
        }
    }
}

/// What an attempt came to, unless it is to be made again.
fn settled(attempt: TryResult<usize>) -> Option<Result<usize>> {
    match attempt {
        Ok(count) => Some(Ok(count)),
        Err(TryError::Failed(errno)) => Some(Err(errno)),
        Err(_) => None,
    }
}

/// Fills `destination` from `offset` up to its end or the file's; `None` if something is missing.
fn read_to_end(
    file: &dyn File,
    offset: u64,
    destination: &mut dyn Destination,
) -> Option<Result<usize>> {
    let mut total = 0_usize;
    loop {
        match file.try_read(offset.saturating_add(total as u64), destination) {
            Ok(count) => {
                total += count;
                if count == 0 || destination.remaining() == 0 {
                    return Some(Ok(total));
                }
            }
            outcome => return settled(outcome).filter(|_| total == 0),
        }
    }
}

/// One attempt to read at `offset`, or at the position, which it then moves.
fn try_read(
    open: &OpenFile,
    offset: Option<u64>,
    seekable: bool,
    destination: &mut dyn Destination,
) -> TryResult<usize> {
    if !seekable || offset.is_some() {
        return open.file.try_read(offset.unwrap_or(0), destination);
    }
    let mut position = open.offset().lock();
    let count = open.file.try_read(*position, destination)?;
    *position = position.saturating_add(count as u64);
    Ok(count)
}

/// One attempt to write at `offset`, or at the position, which it then moves; at the end in either
/// case if the file is open for appending (pwrite(2), BUGS).
fn try_write(open: &OpenFile, offset: Option<u64>, source: &mut dyn Source) -> TryResult<Written> {
    let append = open.flags().contains(OpenFlags::APPEND);
    if let Some(offset) = offset {
        let at = if append { WritePosition::End } else { WritePosition::At(offset) };
        return open.file.try_write(at, source);
    }
    if !open.is_seekable() {
        return open.file.try_write(WritePosition::At(0), source);
    }
    let mut position = open.offset().lock();
    let at = if append { WritePosition::End } else { WritePosition::At(*position) };
    let written = open.file.try_write(at, source)?;
    *position = written.end;
    Ok(written)
}
