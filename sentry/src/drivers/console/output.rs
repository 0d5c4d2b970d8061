//! Standard output and standard error.
//!
//! While the host is busy with earlier buffers, small writes gather in the next one: many short
//! lines cost few buffers and few doorbells, a single line goes out at once.

use alloc::{
    collections::VecDeque,
    sync::{Arc, Weak},
    task::Wake,
};
use core::task::Waker;

use guest_abi::console::OUTPUT_CLOSED;
use spin::mutex::SpinMutex;

use super::Hold;
use crate::{
    drivers::{Buffer, BufferPool, Chain, Completion, Part, Request, SubmitError, Virtqueue},
    errno::{Errno, Result},
    fs::next_inode,
    io::{Source, TryError, TryResult},
    kernel::{PollEvents, WaitQueue},
    vfs::{Anonymous, File, OpenFlags, WritePosition, Written},
};

/// Buffers with the host from which on a buffer that is not full waits for more bytes.
const GATHER_FROM: usize = 2;

/// Writes up to this size are not split (pipe(7), PIPE_BUF).
const ATOMIC_WRITE: usize = 4096;

/// One output stream. Its lock is held while bytes come from user memory; the queue's and the
/// pool's locks come after it.
pub struct ConsoleOutput {
    queue: Arc<Virtqueue>,
    pool: Arc<BufferPool>,
    state: SpinMutex<State>,
    writers: WaitQueue,
    this: Weak<Self>,
    inode: u64,
    _hold: Arc<Hold>,
}

#[derive(Default)]
struct State {
    /// With the host, oldest first.
    sent: VecDeque<Request>,
    /// Being filled, and how many bytes it has.
    filling: Option<(Buffer, usize)>,
    /// How many buffers were given to the host, and how many it has returned.
    submitted: u64,
    returned: u64,
    /// Nobody reads any more.
    closed: bool,
}

impl ConsoleOutput {
    pub(super) fn new(queue: Arc<Virtqueue>, pool: Arc<BufferPool>, hold: Arc<Hold>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            queue,
            pool,
            state: SpinMutex::new(State::default()),
            writers: WaitQueue::new(),
            this: this.clone(),
            inode: next_inode(),
            _hold: hold,
        })
    }

    pub(super) const fn queue(&self) -> &Arc<Virtqueue> {
        &self.queue
    }

    /// Takes as many of `bytes` as there is room for and returns how many. The terminal's way out.
    ///
    /// # Errors
    /// EPIPE if nobody reads any more.
    pub fn push(&self, bytes: &[u8]) -> Result<usize> {
        let mut state = self.state.lock();
        self.settle(&mut state);
        if state.closed {
            return Err(Errno::EPIPE);
        }
        let mut rest = bytes;
        let _ = self.append(&mut state, bytes.len(), |buffer, offset, room| {
            let (now, later) = rest.split_at(room.min(rest.len()));
            buffer.write(offset, now)?;
            rest = later;
            Ok(now.len())
        });
        Ok(bytes.len() - rest.len())
    }

    /// Writes all of `bytes`, waiting for room.
    ///
    /// # Errors
    /// EPIPE if nobody reads any more.
    pub async fn write_all(&self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        let attempt = || match self.push(rest) {
            Ok(count) => {
                rest = rest.get(count..).unwrap_or_default();
                rest.is_empty().then_some(Ok(()))
            }
            Err(errno) => Some(Err(errno)),
        };
        self.writers.wait_until(PollEvents::OUT, attempt).await
    }

    /// Waits until the host has all that was written so far, or nobody reads any more.
    pub async fn flush(&self) {
        let last = {
            let state = self.state.lock();
            state.submitted + u64::from(state.filling.is_some())
        };
        let drained = || {
            let mut state = self.state.lock();
            self.settle(&mut state);
            (state.closed || state.returned >= last).then_some(())
        };
        self.writers.wait_until(PollEvents::OUT, drained).await;
    }

    /// Ends the stream: who writes to it, now or later, gets EPIPE.
    pub(super) fn close(&self) {
        {
            let mut state = self.state.lock();
            state.closed = true;
            state.filling = None;
        }
        self.writers.wake(PollEvents::OUT | PollEvents::ERROR);
    }

    /// Puts up to `wanted` bytes that `fill` supplies into buffers and sends them; `fill` is given
    /// a buffer, an offset and how many bytes fit there.
    fn append(
        &self,
        state: &mut State,
        wanted: usize,
        mut fill: impl FnMut(&Buffer, usize, usize) -> TryResult<usize>,
    ) -> TryResult<usize> {
        let mut count = 0;
        let outcome = loop {
            if count == wanted {
                break Ok(());
            }
            let Some((buffer, used)) = self.filling(state) else {
                break Err(TryError::WouldBlock);
            };
            match fill(buffer, *used, buffer.size() - *used) {
                Ok(0) => break Ok(()),
                Ok(more) => {
                    *used = buffer.size().min(*used + more);
                    count += more;
                }
                Err(error) => break Err(error),
            }
            self.send_full(state);
        };
        self.send_rest(state);
        match outcome {
            Err(error) if count == 0 => Err(error),
            _ => Ok(count),
        }
    }

    /// The buffer to fill, with room in it.
    fn filling<'a>(&self, state: &'a mut State) -> Option<&'a mut (Buffer, usize)> {
        if state.filling.is_none() {
            state.filling = Some((self.pool.try_allocate()?, 0));
        }
        state.filling.as_mut().filter(|(buffer, used)| *used < buffer.size())
    }

    /// Sends the buffer being filled if it is full.
    fn send_full(&self, state: &mut State) {
        if let Some((buffer, used)) = &state.filling
            && *used == buffer.size()
        {
            self.send(state);
        }
    }

    /// Sends the buffer being filled unless more should gather in it.
    fn send_rest(&self, state: &mut State) {
        if state.sent.len() < GATHER_FROM {
            self.send(state);
        }
    }

    fn send(&self, state: &mut State) {
        let Some((buffer, used)) = state.filling.take() else {
            return;
        };
        if used == 0 {
            return;
        }
        let part = Part::new(buffer, used, 0).map_err(SubmitError::Failed);
        match part.and_then(|part| self.queue.try_submit(Chain::of(part))) {
            Ok(mut request) => {
                if let Some(this) = self.this.upgrade() {
                    request.notify(&Waker::from(this));
                }
                state.sent.push_back(request);
                state.submitted += 1;
            }
            Err(SubmitError::Full(chain)) => {
                let part = chain.parts.into_iter().next();
                state.filling = part.map(|part| (part.into_buffer(), used));
            }
            Err(SubmitError::Failed(_)) => state.closed = true,
        }
    }

    /// Takes what the host has returned, and sends what waited for that.
    fn settle(&self, state: &mut State) {
        while let Some(answer) = state.sent.front_mut().and_then(Request::try_take) {
            state.sent.pop_front();
            state.returned += 1;
            state.closed |= is_closed(&answer);
        }
        if state.closed {
            state.filling = None;
        } else {
            self.send_full(state);
            self.send_rest(state);
        }
    }

    /// Bytes that can be taken now.
    fn room(&self, state: &State) -> usize {
        let rest = match &state.filling {
            Some((buffer, used)) => buffer.size() - used,
            None => 0,
        };
        rest + self.pool.free_count() * self.pool.slot_size()
    }
}

fn is_closed(answer: &Result<Completion>) -> bool {
    answer.as_ref().map_or(true, |completion| completion.length == OUTPUT_CLOSED)
}

impl Wake for ConsoleOutput {
    fn wake(self: Arc<Self>) {
        self.settle(&mut self.state.lock());
        self.writers.wake(PollEvents::OUT | PollEvents::WRITE_NORMAL);
    }
}

impl File for ConsoleOutput {
    fn try_write(&self, _at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        let mut state = self.state.lock();
        self.settle(&mut state);
        if state.closed {
            return Err(Errno::EPIPE.into());
        }
        let wanted = source.remaining();
        if wanted <= ATOMIC_WRITE && self.room(&state) < wanted {
            return Err(TryError::WouldBlock);
        }
        let count = self.append(&mut state, wanted, |buffer, offset, room| {
            let length = room.min(source.remaining());
            source.take_physical(buffer.locate(offset, length)?, length)
        })?;
        Ok(Written { count, end: 0 })
    }

    fn poll(&self) -> PollEvents {
        let mut state = self.state.lock();
        self.settle(&mut state);
        if state.closed {
            return PollEvents::ERROR | PollEvents::OUT | PollEvents::WRITE_NORMAL;
        }
        if self.room(&state) >= ATOMIC_WRITE {
            PollEvents::OUT | PollEvents::WRITE_NORMAL
        } else {
            PollEvents::empty()
        }
    }

    fn anonymous(&self) -> Anonymous {
        Anonymous::pipe(self.inode, super::STREAM_PERMISSIONS, (0, 0))
    }

    fn reopen(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>> {
        if flags.writable() { Ok(self) } else { Err(Errno::EACCES) }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.writers)
    }
}
