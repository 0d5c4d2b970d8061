//! Message queues (msgget(2), msgop(2)).

use alloc::{collections::VecDeque, vec::Vec};

use spin::mutex::SpinMutex;

use super::{Object, Permission};
use crate::{
    errno::{Errno, Result},
    kernel::{PollEvents, WaitQueue},
};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type; greater than 0.
    pub kind: i64,
    /// Its text.
    pub text: Vec<u8>,
}

/// Which message to receive.
#[derive(Clone, Copy, Debug)]
pub enum Selection {
    /// The first.
    First,
    /// The first of this type.
    Kind(i64),
    /// The first of another type (MSG_EXCEPT).
    Except(i64),
    /// The first of the lowest type that is at most this.
    Lowest(i64),
}

/// Numbers of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    /// Bytes in it.
    pub bytes: u64,
    /// Messages in it.
    pub messages: u64,
    /// Most bytes it may hold.
    pub limit: u64,
    /// Time of the last msgsnd(2), in seconds.
    pub sent: i64,
    /// Time of the last msgrcv(2).
    pub received: i64,
    /// Time of the last change.
    pub changed: i64,
    /// Who sent last.
    pub sender: u32,
    /// Who received last.
    pub receiver: u32,
}

/// A queue.
pub struct MessageQueue {
    permission: SpinMutex<Permission>,
    state: SpinMutex<State>,
    /// Told (IN, OUT) when a message or room may be there, or the queue is gone.
    pub changed: WaitQueue,
}

struct State {
    messages: VecDeque<Message>,
    numbers: Numbers,
    removed: bool,
}

impl Object for MessageQueue {
    fn permission(&self) -> &SpinMutex<Permission> {
        &self.permission
    }
}

impl MessageQueue {
    /// An empty queue for `limit` bytes.
    pub const fn new(permission: Permission, limit: u64, now: i64) -> Self {
        let numbers = Numbers {
            bytes: 0,
            messages: 0,
            limit,
            sent: 0,
            received: 0,
            changed: now,
            sender: 0,
            receiver: 0,
        };
        let state = State { messages: VecDeque::new(), numbers, removed: false };
        let permission = SpinMutex::new(permission);
        Self { permission, state: SpinMutex::new(state), changed: WaitQueue::new() }
    }

    /// Its numbers.
    pub fn numbers(&self) -> Numbers {
        self.state.lock().numbers
    }

    /// Changes how many bytes it may hold.
    pub fn set_limit(&self, limit: u64, now: i64) {
        let mut state = self.state.lock();
        (state.numbers.limit, state.numbers.changed) = (limit, now);
        drop(state);
        self.changed.wake(PollEvents::OUT);
    }

    /// Queues `message` if there is room; `None` if not.
    ///
    /// # Errors
    /// EIDRM.
    pub fn try_send(&self, message: &Message, pid: u32, now: i64) -> Result<Option<()>> {
        {
            let mut state = self.state.lock();
            if state.removed {
                return Err(Errno::EIDRM);
            }
            let numbers = state.numbers;
            let bytes = numbers.bytes + message.text.len() as u64;
            // Each message counts as a byte too, so that empty ones have an end (msgop(2)).
            if bytes > numbers.limit || numbers.messages + 1 > numbers.limit {
                return Ok(None);
            }
            let messages = numbers.messages + 1;
            state.numbers = Numbers { bytes, messages, sent: now, sender: pid, ..numbers };
            state.messages.push_back(message.clone());
        }
        self.changed.wake(PollEvents::IN);
        Ok(Some(()))
    }

    /// Takes the selected message; `None` if there is none. One longer than `room` is cut if
    /// `cut`.
    ///
    /// # Errors
    /// E2BIG if it may not be cut; EIDRM.
    pub fn try_receive(
        &self,
        selection: Selection,
        room: usize,
        cut: bool,
        (pid, now): (u32, i64),
    ) -> Result<Option<Message>> {
        let mut message = {
            let mut state = self.state.lock();
            if state.removed {
                return Err(Errno::EIDRM);
            }
            let Some(at) = state.select(selection) else { return Ok(None) };
            let length = state.messages.get(at).map_or(0, |message| message.text.len());
            if length > room && !cut {
                return Err(Errno::E2BIG);
            }
            let numbers = state.numbers;
            let (bytes, messages) = (numbers.bytes - length as u64, numbers.messages - 1);
            state.numbers = Numbers { bytes, messages, received: now, receiver: pid, ..numbers };
            state.messages.remove(at)
        };
        if let Some(message) = &mut message {
            message.text.truncate(room);
        }
        self.changed.wake(PollEvents::OUT);
        Ok(message)
    }

    /// Ends it: whoever waits fails with EIDRM.
    pub fn end(&self) {
        self.state.lock().removed = true;
        self.changed.wake(PollEvents::all());
    }
}

impl State {
    fn select(&self, selection: Selection) -> Option<usize> {
        let mut kinds = self.messages.iter().map(|message| message.kind);
        match selection {
            Selection::First => (!self.messages.is_empty()).then_some(0),
            Selection::Kind(wanted) => kinds.position(|kind| kind == wanted),
            Selection::Except(unwanted) => kinds.position(|kind| kind != unwanted),
            Selection::Lowest(most) => {
                let allowed = kinds.enumerate().filter(|(_, kind)| *kind <= most);
                allowed.min_by_key(|(_, kind)| *kind).map(|(index, _)| index)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Credentials;

    fn queue() -> MessageQueue {
        MessageQueue::new(Permission::new(1, 0o600, &Credentials::kernel()), 16384, 0)
    }

    fn send(queue: &MessageQueue, kind: i64, text: &[u8]) -> Result<Option<()>> {
        queue.try_send(&Message { kind, text: text.to_vec() }, 1, 0)
    }

    fn receive(queue: &MessageQueue, selection: Selection) -> Result<Option<Vec<u8>>> {
        let message = queue.try_receive(selection, 10, false, (1, 0))?;
        Ok(message.map(|message| message.text))
    }

    #[test]
    fn types_select_messages() {
        let queue = queue();
        for (kind, text) in [(3, b"a"), (1, b"b"), (2, b"c"), (1, b"d")] {
            assert_eq!(send(&queue, kind, text), Ok(Some(())));
        }
        assert_eq!(receive(&queue, Selection::Kind(2)), Ok(Some(b"c".to_vec())));
        assert_eq!(receive(&queue, Selection::Except(3)), Ok(Some(b"b".to_vec())));
        assert_eq!(receive(&queue, Selection::Lowest(2)), Ok(Some(b"d".to_vec())));
        assert_eq!(receive(&queue, Selection::Lowest(2)), Ok(None));
        assert_eq!(receive(&queue, Selection::First), Ok(Some(b"a".to_vec())));
    }

    #[test]
    fn queues_are_bounded_and_end() {
        let queue = queue();
        let large = [b'x'; 8192];
        assert_eq!(send(&queue, 1, &large), Ok(Some(())));
        assert_eq!(send(&queue, 1, &large), Ok(Some(())));
        assert_eq!(send(&queue, 1, b"x"), Ok(None));
        assert_eq!(receive(&queue, Selection::First), Err(Errno::E2BIG));
        let cut = queue.try_receive(Selection::First, 10, true, (1, 0)).unwrap().unwrap();
        assert_eq!(cut.text.len(), 10);
        assert_eq!(send(&queue, 1, b"x"), Ok(Some(())));
        queue.end();
        assert_eq!(send(&queue, 1, b"x"), Err(Errno::EIDRM));
    }
}
