//! Standard input.
//!
//! A buffer is with the host only while somebody wants to read, so that input meant for whoever
//! reads the host's stream next is not swallowed.

use alloc::{
    sync::{Arc, Weak},
    task::Wake,
};
use core::task::Waker;

use spin::mutex::SpinMutex;

use crate::{
    drivers::{Buffer, BufferPool, Chain, Completion, Part, Request, SubmitError, Virtqueue},
    errno::{Errno, Result},
    fs::next_inode,
    io::{Destination, TryError, TryResult},
    kernel::{PollEvents, WaitQueue},
    vfs::{Anonymous, File, OpenFlags},
};

/// The container's standard input. Its lock is held while bytes go to user memory; the queue's and
/// the pool's locks come after it.
pub struct ConsoleInput {
    queue: Arc<Virtqueue>,
    pool: Arc<BufferPool>,
    state: SpinMutex<State>,
    readers: WaitQueue,
    this: Weak<Self>,
    inode: u64,
}

enum State {
    /// Nobody has asked for input since the last was consumed.
    Idle,
    /// The host has a buffer.
    Asked(Request),
    /// Input is there.
    Holding(Input),
    /// End of file.
    Ended,
    /// The device broke.
    Failed,
}

/// Received bytes that are not consumed yet.
struct Input {
    completion: Completion,
    position: usize,
    length: usize,
}

impl ConsoleInput {
    pub(super) fn new(queue: Arc<Virtqueue>, pool: Arc<BufferPool>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            queue,
            pool,
            state: SpinMutex::new(State::Idle),
            readers: WaitQueue::new(),
            this: this.clone(),
            inode: next_inode(),
        })
    }

    pub(super) const fn queue(&self) -> &Arc<Virtqueue> {
        &self.queue
    }

    /// Waits for input and moves it to `bytes`; returns how much, 0 at end of file. The terminal's
    /// way in.
    ///
    /// # Errors
    /// EIO if the device broke.
    pub async fn read(&self, bytes: &mut [u8]) -> Result<usize> {
        let attempt = || {
            let outcome = self.consume(|buffer, offset, available| {
                let count = available.min(bytes.len());
                buffer.read(offset, bytes.get_mut(..count).unwrap_or_default())?;
                Ok(count)
            });
            match outcome {
                Err(TryError::WouldBlock) => None,
                outcome => Some(crate::vfs::without_waiting(outcome)),
            }
        };
        self.readers.wait_until(PollEvents::IN, attempt).await
    }

    /// Ends the stream: who reads it, now or later, gets EIO.
    pub fn close(&self) {
        *self.state.lock() = State::Failed;
        self.readers.wake(PollEvents::IN | PollEvents::ERROR);
    }

    /// Lets `take` move bytes out of the buffer: it is given the buffer, an offset and how many
    /// bytes are there, and says how many it took.
    fn consume(
        &self,
        take: impl FnOnce(&Buffer, usize, usize) -> TryResult<usize>,
    ) -> TryResult<usize> {
        let mut state = self.state.lock();
        self.advance(&mut state);
        match &mut *state {
            State::Ended => Ok(0),
            State::Failed => Err(Errno::EIO.into()),
            State::Idle | State::Asked(_) => Err(TryError::WouldBlock),
            State::Holding(input) => {
                let count = input.take(take)?;
                if input.position == input.length {
                    *state = State::Idle;
                }
                Ok(count)
            }
        }
    }

    /// Asks the host for input if nobody has, and looks for its answer.
    fn advance(&self, state: &mut State) {
        if matches!(state, State::Idle) {
            *state = self.ask();
        }
        if let State::Asked(request) = state
            && let Some(answer) = request.try_take()
        {
            *state = received(answer);
        }
    }

    fn ask(&self) -> State {
        let Some(buffer) = self.pool.try_allocate() else {
            return State::Idle;
        };
        let size = buffer.size();
        let part = Part::new(buffer, 0, size).map_err(SubmitError::Failed);
        match part.and_then(|part| self.queue.try_submit(Chain::of(part))) {
            Ok(mut request) => {
                if let Some(this) = self.this.upgrade() {
                    request.notify(&Waker::from(this));
                }
                State::Asked(request)
            }
            Err(_) => State::Failed,
        }
    }
}

impl Input {
    fn take(
        &mut self,
        take: impl FnOnce(&Buffer, usize, usize) -> TryResult<usize>,
    ) -> TryResult<usize> {
        let part = self.completion.chain.parts.first().ok_or(Errno::EIO)?;
        let available = self.length - self.position;
        let count = take(part.buffer(), self.position, available)?.min(available);
        self.position += count;
        Ok(count)
    }
}

/// The state after the host's answer.
fn received(answer: Result<Completion>) -> State {
    let Ok(completion) = answer else {
        return State::Failed;
    };
    match completion.written() {
        Ok(0) => State::Ended,
        Ok(length) => State::Holding(Input { completion, position: 0, length }),
        Err(_) => State::Failed,
    }
}

impl Wake for ConsoleInput {
    fn wake(self: Arc<Self>) {
        self.readers.wake(PollEvents::IN | PollEvents::READ_NORMAL);
    }
}

impl File for ConsoleInput {
    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        if destination.remaining() == 0 {
            return Ok(0);
        }
        self.consume(|buffer, offset, available| {
            let count = available.min(destination.remaining());
            destination.put_physical(buffer.locate(offset, count)?, count)
        })
    }

    fn poll(&self) -> PollEvents {
        let mut state = self.state.lock();
        self.advance(&mut state);
        match *state {
            State::Idle | State::Asked(_) => PollEvents::empty(),
            State::Holding(_) => PollEvents::IN | PollEvents::READ_NORMAL,
            State::Ended => PollEvents::HANG_UP,
            State::Failed => PollEvents::ERROR,
        }
    }

    fn anonymous(&self) -> Anonymous {
        Anonymous::pipe(self.inode, super::STREAM_PERMISSIONS, (0, 0))
    }

    fn reopen(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>> {
        if flags.readable() { Ok(self) } else { Err(Errno::EACCES) }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.readers)
    }
}
