//! A POSIX message queue: messages by priority, within bounds (mq_overview(7)).

use alloc::{collections::VecDeque, string::String, sync::Arc, vec::Vec};

use spin::mutex::SpinMutex;

use crate::{
    errno::{Errno, Result},
    kernel::{
        PollEvents, Process, WaitQueue,
        signal::{Signal, SignalInfo},
    },
};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Higher ones are received first.
    pub priority: u32,
    /// Contents.
    pub bytes: Vec<u8>,
}

/// How the arrival of a message at an empty queue is told (mq_notify(3)).
pub enum Notification {
    /// Not at all, but the place is taken (SIGEV_NONE).
    None,
    /// By a signal with this value.
    Signal(Signal, u64),
}

/// Whom to tell.
struct Registration {
    process: Arc<Process>,
    notification: Notification,
}

/// A queue.
pub struct Queue {
    /// Most messages.
    pub max_messages: usize,
    /// Most bytes of a message.
    pub max_size: usize,
    state: SpinMutex<State>,
    /// Told when a message or room is there.
    pub changed: WaitQueue,
}

#[derive(Default)]
struct State {
    /// Highest priority first; of one priority the oldest first.
    messages: VecDeque<Message>,
    bytes: usize,
    /// Tasks that wait to receive: they come before a notification.
    receivers: usize,
    registration: Option<Registration>,
}

impl Queue {
    /// An empty queue.
    pub fn new(max_messages: usize, max_size: usize) -> Self {
        let state = SpinMutex::new(State::default());
        Self { max_messages, max_size, state, changed: WaitQueue::new() }
    }

    /// Bytes that it may come to take (getrlimit(2), RLIMIT_MSGQUEUE).
    pub const fn room(&self) -> usize {
        const OF_MESSAGE: usize = 48;
        self.max_messages.saturating_mul(self.max_size.saturating_add(OF_MESSAGE))
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.state.lock().messages.len()
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts `message` in its place; `None` if there is no room. `sender` is who the notification
    /// says has sent it: process and user.
    ///
    /// # Errors
    /// EMSGSIZE.
    pub fn try_send(&self, message: &Message, sender: (u32, u32)) -> Result<Option<()>> {
        if message.bytes.len() > self.max_size {
            return Err(Errno::EMSGSIZE);
        }
        let told = {
            let mut state = self.state.lock();
            if state.messages.len() >= self.max_messages {
                return Ok(None);
            }
            let was_empty = state.messages.is_empty();
            let lower = |other: &Message| other.priority < message.priority;
            let place = state.messages.iter().position(lower).unwrap_or(state.messages.len());
            state.messages.insert(place, message.clone());
            state.bytes += message.bytes.len();
            let tells = was_empty && state.receivers == 0;
            tells.then(|| state.registration.take()).flatten()
        };
        self.changed.wake(PollEvents::IN | PollEvents::READ_NORMAL);
        if let Some(Registration { process, notification: Notification::Signal(signal, value) }) =
            told
        {
            process.send(SignalInfo::message_queue(signal, sender, value));
        }
        Ok(Some(()))
    }

    /// Takes the first message; `None` if there is none.
    pub fn try_receive(&self) -> Option<Message> {
        let message = {
            let mut state = self.state.lock();
            let message = state.messages.pop_front()?;
            state.bytes -= message.bytes.len();
            message
        };
        self.changed.wake(PollEvents::OUT | PollEvents::WRITE_NORMAL);
        Some(message)
    }

    /// Counts a task that waits to receive, or (`begins` false) no longer does.
    pub fn note_receiver(&self, begins: bool) {
        let mut state = self.state.lock();
        state.receivers =
            if begins { state.receivers + 1 } else { state.receivers.saturating_sub(1) };
    }

    /// Registers `process` to be told, once, of the next message that arrives at the empty queue.
    ///
    /// # Errors
    /// EBUSY if a process is registered.
    pub fn register(&self, process: &Arc<Process>, notification: Notification) -> Result<()> {
        let mut state = self.state.lock();
        let alive = |registered: &Registration| registered.process.exit_status().is_none();
        if state.registration.as_ref().is_some_and(alive) {
            return Err(Errno::EBUSY);
        }
        state.registration = Some(Registration { process: process.clone(), notification });
        Ok(())
    }

    /// Ends the registration of `process`, if it has one.
    pub fn unregister(&self, process: &Arc<Process>) {
        let mut state = self.state.lock();
        if state.registration.as_ref().is_some_and(|r| Arc::ptr_eq(&r.process, process)) {
            state.registration = None;
        }
    }

    /// What a read of its file gives (mq_overview(7), "Mounting the message queue filesystem").
    pub fn description(&self) -> String {
        let state = self.state.lock();
        let (notify, signal, pid) = match &state.registration {
            None => (0, 0, 0),
            Some(Registration { process, notification }) => match notification {
                Notification::Signal(signal, _) => (0, signal.number(), process.pid()),
                Notification::None => (1, 0, process.pid()),
            },
        };
        let bytes = state.bytes;
        alloc::format!(
            "QSIZE:{bytes:<10} NOTIFY:{notify:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(queue: &Queue, priority: u32, text: &[u8]) -> Result<Option<()>> {
        queue.try_send(&Message { priority, bytes: text.to_vec() }, (1, 0))
    }

    #[test]
    fn the_highest_priority_comes_first_and_then_the_oldest() {
        let queue = Queue::new(4, 3);
        for (priority, text) in [(1, b"a"), (5, b"b"), (1, b"c"), (5, b"d")] {
            assert_eq!(send(&queue, priority, text), Ok(Some(())));
        }
        assert_eq!(send(&queue, 9, b"e"), Ok(None));
        let order: Vec<Vec<u8>> =
            core::iter::from_fn(|| queue.try_receive()).map(|message| message.bytes).collect();
        assert_eq!(order, [b"b", b"d", b"a", b"c"]);
        assert_eq!(send(&queue, 0, b"long"), Err(Errno::EMSGSIZE));
        assert!(
            queue
                .description()
                .starts_with("QSIZE:0          NOTIFY:0     SIGNO:0     NOTIFY_PID:0")
        );
    }
}
