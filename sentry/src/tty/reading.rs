//! Reading from a terminal: by line, or by VMIN and VTIME (termios(3), "Canonical and noncanonical
//! mode").

use alloc::sync::Weak;

use super::{Control, Terminal, terminal::State};
use crate::{
    io::{Destination, TryError, TryResult},
    kernel::{PollEvents, TimerHandler, TimerId},
};

/// VTIME counts tenths of a second.
const NANOSECONDS_PER_TENTH: u64 = 100_000_000;

/// The timer of a read with VTIME.
#[derive(Default)]
pub(super) struct ReadTimer {
    pending: Option<TimerId>,
    expired: bool,
}

impl State {
    /// Bytes that make the terminal readable in noncanonical mode. With a time-out a single byte
    /// does, as Linux's `input_available_p` says for poll(2).
    pub fn read_minimum(&self) -> usize {
        let termios = self.line.termios();
        if termios.character(Control::Time) > 0 {
            return 1;
        }
        usize::from(termios.character(Control::Minimum)).max(1)
    }

    /// Bytes a read of `wanted` waits for; 0 if it waits for none.
    fn awaited(&self, wanted: usize) -> usize {
        usize::from(self.line.termios().character(Control::Minimum)).min(wanted)
    }
}

impl Terminal {
    pub(super) fn read(&self, destination: &mut dyn Destination) -> TryResult<usize> {
        let wanted = destination.remaining();
        let mut state = self.state.lock();
        if wanted == 0 {
            return Ok(0);
        }
        let canonical = state.line.is_canonical();
        let enough = if canonical {
            state.line.input.has_line()
        } else {
            self.has_enough(&mut state, wanted)
        };
        if !enough && !state.hung_up {
            return Err(TryError::WouldBlock);
        }
        let bytes = state.line.input.peek(wanted, canonical);
        let count = if bytes.is_empty() { 0 } else { destination.put(&bytes)? };
        state.line.input.consume(count);
        self.cancel_read_timer(&mut state);
        drop(state);
        self.wake_line_writers();
        Ok(count)
    }

    /// Whether a read in noncanonical mode may return; arms its timer if not.
    fn has_enough(&self, state: &mut State, wanted: usize) -> bool {
        let available = state.line.input.len();
        let tenths = state.line.termios().character(Control::Time);
        if available >= state.awaited(wanted).max(1) || state.read_timer.expired {
            return true;
        }
        let minimum = state.line.termios().character(Control::Minimum);
        match (minimum, tenths) {
            (0, 0) => true,
            (_, 0) => false,
            // The time runs from the call; with a minimum only from the first byte on.
            (minimum, tenths) => {
                if (minimum == 0 || available > 0) && state.read_timer.pending.is_none() {
                    self.arm_read_timer(state, tenths);
                }
                false
            }
        }
    }

    /// Input has come: the time between two bytes starts anew.
    pub(super) fn note_input(&self, state: &mut State) {
        if state.read_timer.pending.is_some() {
            self.cancel_read_timer(state);
            let tenths = state.line.termios().character(Control::Time);
            self.arm_read_timer(state, tenths);
        }
    }

    fn arm_read_timer(&self, state: &mut State, tenths: u8) {
        let Some(kernel) = self.kernel.upgrade() else { return };
        let delay = u64::from(tenths) * NANOSECONDS_PER_TENTH;
        let deadline = kernel.platform.monotonic_nanoseconds().saturating_add(delay);
        let handler: Weak<dyn TimerHandler> = self.this.clone();
        state.read_timer.pending = Some(kernel.timers.add_handler(deadline, handler));
    }

    fn cancel_read_timer(&self, state: &mut State) {
        state.read_timer.expired = false;
        if let Some(id) = state.read_timer.pending.take()
            && let Some(kernel) = self.kernel.upgrade()
        {
            kernel.timers.cancel(id);
        }
    }
}

impl TimerHandler for Terminal {
    fn expired(&self, _now: u64) {
        let mut state = self.state.lock();
        if state.read_timer.pending.take().is_none() {
            return;
        }
        state.read_timer.expired = true;
        drop(state);
        self.queue.wake(PollEvents::IN);
    }
}
