//! The terminal: a line discipline under a lock, with somebody waiting on either side.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};

use spin::mutex::SpinMutex;

use super::{Termios, WindowSize, line_discipline::LineDiscipline, reading::ReadTimer};
use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryError, TryResult},
    kernel::{
        Kernel, PollEvents, ProcessGroup, Session, WaitQueue,
        signal::{Signal, SignalInfo},
    },
    vfs::DeviceNumber,
};

/// A terminal.
pub struct Terminal {
    device: DeviceNumber,
    pub(super) kernel: Weak<Kernel>,
    pub(super) state: SpinMutex<State>,
    /// Tasks that read, write or drain.
    pub(super) queue: WaitQueue,
    /// Whoever moves bytes to and from the line.
    line_queue: WaitQueue,
    pub(super) this: Weak<Self>,
}

/// Lock order: this before the locks of user memory. Signals are sent, and queues woken, without it.
#[derive(Default)]
pub(super) struct State {
    pub line: LineDiscipline,
    pub window: WindowSize,
    /// The session it controls.
    pub session: Weak<Session>,
    /// The job that may use it.
    pub foreground: Weak<ProcessGroup>,
    /// The line is gone.
    pub hung_up: bool,
    /// Open files on the task side.
    pub users: usize,
    /// It has been opened at all, so that no users means the last has gone.
    pub was_used: bool,
    pub read_timer: ReadTimer,
    /// The line has taken output that it has not delivered.
    pub line_busy: bool,
}

impl State {
    /// Whether a read would find something.
    pub fn readable(&self) -> bool {
        if self.line.is_canonical() {
            self.line.input.has_line()
        } else {
            self.line.input.len() >= self.read_minimum()
        }
    }
}

pub(super) fn readable() -> PollEvents {
    PollEvents::IN | PollEvents::READ_NORMAL
}

pub(super) fn writable() -> PollEvents {
    PollEvents::OUT | PollEvents::WRITE_NORMAL
}

/// The most bytes one write moves under the lock.
const WRITE_CHUNK: usize = 512;

impl Terminal {
    /// A terminal with default settings.
    pub fn new(kernel: &Arc<Kernel>, device: DeviceNumber) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            device,
            kernel: Arc::downgrade(kernel),
            state: SpinMutex::default(),
            queue: WaitQueue::new(),
            line_queue: WaitQueue::new(),
            this: this.clone(),
        })
    }

    /// Its device number.
    pub const fn device(&self) -> DeviceNumber {
        self.device
    }

    /// The settings.
    pub fn termios(&self) -> Termios {
        *self.state.lock().line.termios()
    }

    /// Changes the settings.
    pub fn set_termios(&self, termios: Termios) {
        self.state.lock().line.set_termios(termios);
        self.wake_all();
    }

    /// The size of its window.
    pub fn window(&self) -> WindowSize {
        self.state.lock().window
    }

    /// Changes the size of its window; the foreground job gets SIGWINCH if it is another.
    pub fn resize(&self, window: WindowSize) {
        let mut state = self.state.lock();
        let changed = core::mem::replace(&mut state.window, window) != window;
        let foreground = state.foreground.upgrade();
        drop(state);
        if changed && let Some(group) = foreground {
            group.send(SignalInfo::kernel(Signal::WINCH));
        }
    }

    /// The line side: where to wait for output to take ([`PollEvents::IN`]) and for room for input
    /// ([`PollEvents::OUT`]).
    pub const fn line_queue(&self) -> &WaitQueue {
        &self.line_queue
    }

    /// The line side: gives the terminal what was typed. Returns how many bytes it took; 0 if the
    /// reader is behind.
    pub fn receive(&self, bytes: &[u8]) -> usize {
        let mut signals = smallvec::SmallVec::<[Signal; 4]>::new();
        let mut state = self.state.lock();
        let mut taken = 0;
        for byte in bytes {
            if state.line.input_room() == 0 {
                break;
            }
            signals.extend(state.line.receive(*byte));
            taken += 1;
        }
        self.note_input(&mut state);
        let is_readable = state.readable();
        let has_output = !state.line.output.ring.is_empty();
        let foreground = state.foreground.upgrade();
        drop(state);
        if is_readable {
            self.queue.wake(readable());
        }
        // Typing may have started output that was stopped, or discarded it.
        self.queue.wake(writable());
        if has_output {
            self.line_queue.wake(readable());
        }
        if let Some(group) = foreground {
            signals.into_iter().for_each(|signal| {
                group.send(SignalInfo::kernel(signal));
            });
        }
        taken
    }

    /// The line side: takes output.
    ///
    /// # Errors
    /// WouldBlock if there is none, or it is stopped; EIO if all users have gone and it is empty.
    pub fn take_output(&self, destination: &mut dyn Destination) -> TryResult<usize> {
        let mut state = self.state.lock();
        if state.line.output.ring.is_empty() && state.was_used && state.users == 0 {
            return Err(Errno::EIO.into());
        }
        if state.line.stopped || state.line.output.ring.is_empty() {
            return Err(TryError::WouldBlock);
        }
        let count = state.line.output.ring.drain_into(destination, usize::MAX)?;
        drop(state);
        self.queue.wake(writable());
        Ok(count)
    }

    /// The line side: takes up to `limit` bytes of output for a line that needs time to deliver
    /// them. They count as waiting until this is called again.
    ///
    /// # Errors
    /// As [`Self::take_output`], but goes on without users.
    pub fn next_output(&self, limit: usize) -> TryResult<Vec<u8>> {
        let mut state = self.state.lock();
        state.line_busy = false;
        let ring = &mut state.line.output.ring;
        let (front, _) = ring.slices();
        let bytes = front.get(..limit.min(front.len())).unwrap_or_default().to_vec();
        let none = bytes.is_empty() || state.line.stopped;
        if !none {
            state.line.output.ring.discard(bytes.len());
            state.line_busy = true;
        }
        drop(state);
        self.queue.wake(writable());
        if none { Err(TryError::WouldBlock) } else { Ok(bytes) }
    }

    /// The line side: bytes that [`Self::receive`] takes now.
    pub fn input_room(&self) -> usize {
        self.state.lock().line.input_room()
    }

    /// The line side: what [`Self::receive`] and [`Self::take_output`] would do now.
    pub fn line_events(&self) -> PollEvents {
        let state = self.state.lock();
        let mut events = PollEvents::empty();
        if !state.line.stopped && !state.line.output.ring.is_empty() {
            events |= readable();
        }
        if state.line.input_room() > 0 {
            events |= writable();
        }
        if state.was_used && state.users == 0 {
            events |= PollEvents::HANG_UP;
        }
        events
    }

    /// The line side: the line is gone. Its session loses the terminal and is told by SIGHUP;
    /// reads see end of file from now on, and writes fail.
    pub fn hang_up(&self) {
        self.state.lock().hung_up = true;
        self.release_session(true);
        self.wake_all();
    }

    /// Whether the line is gone.
    pub fn is_hung_up(&self) -> bool {
        self.state.lock().hung_up
    }

    pub(super) fn write(&self, source: &mut dyn Source) -> TryResult<usize> {
        let mut state = self.state.lock();
        if state.hung_up {
            return Err(Errno::EIO.into());
        }
        let mut total = 0;
        let outcome = loop {
            let room = state.line.output.ring.free() / super::output::EXPANSION;
            let limit = source.remaining().min(WRITE_CHUNK).min(room);
            if source.remaining() == 0 {
                break Ok(total);
            }
            if limit == 0 || state.line.stopped {
                break Err(TryError::WouldBlock);
            }
            let mut chunk = [0; WRITE_CHUNK];
            let Some(chunk) = chunk.get_mut(..limit) else { break Ok(total) };
            match source.take(chunk) {
                Ok(0) => break Ok(total),
                Ok(count) => {
                    let termios = *state.line.termios();
                    state.line.output.write(chunk.get(..count).unwrap_or_default(), &termios);
                    total += count;
                }
                Err(error) => break Err(error),
            }
        };
        drop(state);
        if total > 0 {
            self.line_queue.wake(readable());
            return Ok(total);
        }
        outcome
    }

    pub(super) fn events(&self) -> PollEvents {
        let state = self.state.lock();
        if state.hung_up {
            return PollEvents::HANG_UP | PollEvents::ERROR | readable() | writable();
        }
        let mut events = PollEvents::empty();
        if state.readable() {
            events |= readable();
        }
        if !state.line.stopped && state.line.output.fits(1) {
            events |= writable();
        }
        events
    }

    /// Bytes that a read would find (FIONREAD).
    pub(super) fn waiting_input(&self) -> usize {
        let state = self.state.lock();
        let input = &state.line.input;
        if state.line.is_canonical() { input.complete_len() } else { input.len() }
    }

    /// Bytes written that the line has not taken (TIOCOUTQ).
    pub(super) fn waiting_output(&self) -> usize {
        self.state.lock().line.output.ring.len()
    }

    /// Drops unread input, and output not yet taken (tcflush(3)).
    pub(super) fn flush(&self, input: bool, output: bool) {
        let mut state = self.state.lock();
        if input {
            state.line.input.clear();
        }
        if output {
            state.line.output.ring.discard(usize::MAX);
        }
        drop(state);
        self.wake_all();
    }

    /// Stops or starts output (tcflow(3)).
    pub(super) fn set_stopped(&self, stopped: bool) {
        self.state.lock().line.stopped = stopped;
        self.wake_all();
    }

    /// Waits until the line has taken all output, or is gone (tcdrain(3)).
    pub async fn drained(&self) {
        let drained = || {
            let state = self.state.lock();
            let empty = state.line.output.ring.is_empty() && !state.line_busy;
            (state.hung_up || empty).then_some(())
        };
        self.queue.wait_until(PollEvents::OUT, drained).await;
    }

    pub(super) fn add_user(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.hung_up {
            return Err(Errno::EIO);
        }
        state.users += 1;
        state.was_used = true;
        drop(state);
        self.line_queue.wake_all();
        Ok(())
    }

    pub(super) fn remove_user(&self) {
        self.state.lock().users -= 1;
        self.line_queue.wake_all();
    }

    pub(super) fn wake_all(&self) {
        self.queue.wake_all();
        self.line_queue.wake_all();
    }

    pub(super) fn wake_line_writers(&self) {
        self.line_queue.wake(writable());
    }
}
