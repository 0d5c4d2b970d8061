//! signalfd(2): signals that are read instead of delivered.

use alloc::sync::{Arc, Weak};

use spin::mutex::SpinMutex;

use super::record::put_record;
use crate::{
    errno::{Errno, Result},
    io::{Destination, TryError, TryResult},
    kernel::{
        Current, PollEvents, Task, WaitQueue,
        signal::{Signal, SignalInfo, SignalSet, code},
    },
    vfs::{Anonymous, File},
};

/// Size of one record (`struct signalfd_siginfo`).
const RECORD_SIZE: usize = 128;

/// Signals as a file. It shows those of the task that made it or read from it last: what a child
/// inherits it reads its own signals from.
pub struct SignalFd {
    set: SpinMutex<SignalSet>,
    reader: SpinMutex<Weak<Task>>,
    arrived: Arc<WaitQueue>,
}

impl SignalFd {
    /// A file of the signals in `set`.
    pub fn new(current: &Current, set: SignalSet) -> Arc<Self> {
        Arc::new(Self {
            set: SpinMutex::new(set.difference(SignalSet::UNBLOCKABLE)),
            reader: SpinMutex::new(Arc::downgrade(&current.task)),
            arrived: current.process().signal_arrived.clone(),
        })
    }

    /// Replaces the set.
    pub fn set_signals(&self, set: SignalSet) {
        *self.set.lock() = set.difference(SignalSet::UNBLOCKABLE);
        self.arrived.wake(PollEvents::IN);
    }

    /// The signals it shows (proc_pid_fdinfo(5), `sigmask`).
    pub fn signals(&self) -> SignalSet {
        *self.set.lock()
    }

    fn reader(&self) -> Option<Arc<Task>> {
        self.reader.lock().upgrade()
    }
}

impl File for SignalFd {
    fn admit(&self, current: &Current, _write: bool) -> Result<()> {
        *self.reader.lock() = Arc::downgrade(&current.task);
        Ok(())
    }

    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        if destination.remaining() < RECORD_SIZE {
            return Err(Errno::EINVAL.into());
        }
        let (set, task) = (self.signals(), self.reader().ok_or(Errno::EIO)?);
        let mut total = 0;
        while destination.remaining() >= RECORD_SIZE {
            let Some(info) = task.take_signal(set) else { break };
            match put_record(destination, &record(&info.seen_by(&task.credentials()))) {
                Ok(count) => total += count,
                Err(error) => {
                    // The memory is not there yet: the signal must be when the read comes again.
                    task.return_signal(info);
                    if total == 0 {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        if total == 0 { Err(TryError::WouldBlock) } else { Ok(total) }
    }

    fn poll(&self) -> PollEvents {
        let pending = self.reader().map_or(SignalSet::EMPTY, |task| task.pending_signals());
        if pending.intersection(self.signals()).is_empty() {
            PollEvents::empty()
        } else {
            PollEvents::IN | PollEvents::READ_NORMAL
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.arrived)
    }

    fn anonymous(&self) -> Anonymous {
        Anonymous::inode("signalfd")
    }
}

/// What is known of a signal, as `struct signalfd_siginfo` lays it out (signalfd(2)).
fn record(info: &SignalInfo) -> [u8; RECORD_SIZE] {
    let mut record = [0; RECORD_SIZE];
    let mut put = |offset: usize, bytes: &[u8]| {
        let places = record.iter_mut().skip(offset);
        places.zip(bytes).for_each(|(place, byte)| *place = *byte);
    };
    put(0, &u32::from(info.signal.number()).to_ne_bytes());
    put(4, &info.errno.to_ne_bytes());
    put(8, &info.code.to_ne_bytes());
    match info.signal {
        _ if info.code == code::SI_TIMER => {
            put(24, &info.timer_id().to_ne_bytes());
            put(32, &info.overrun().to_ne_bytes());
            put_value(&mut put, info.value());
        }
        Signal::CHLD if info.code > 0 => {
            put_sender(&mut put, info);
            let (user, system) = info.times();
            put(40, &info.status().to_ne_bytes());
            put(56, &user.to_ne_bytes());
            put(64, &system.to_ne_bytes());
        }
        signal if info.code > 0 && SignalSet::SYNCHRONOUS.contains(signal) => {
            put(72, &info.address().to_ne_bytes());
        }
        _ => {
            put_sender(&mut put, info);
            if info.code < 0 {
                put_value(&mut put, info.value());
            }
        }
    }
    record
}

fn put_sender(put: &mut impl FnMut(usize, &[u8]), info: &SignalInfo) {
    put(12, &info.pid().to_ne_bytes());
    put(16, &info.uid().to_ne_bytes());
}

/// `ssi_int` and `ssi_ptr`, which are one union to the sender.
fn put_value(put: &mut impl FnMut(usize, &[u8]), value: u64) {
    let bytes = value.to_ne_bytes();
    put(44, bytes.get(..4).unwrap_or_default());
    put(48, &bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(record: &[u8; RECORD_SIZE], offset: usize) -> u32 {
        u32::from_ne_bytes(record[offset..offset + 4].try_into().unwrap())
    }

    #[test]
    fn records_have_the_layout_of_signalfd_siginfo() {
        let child = record(&SignalInfo::child(code::CLD_EXITED, 7, 8, 9, 10, 11));
        assert_eq!([word(&child, 0), word(&child, 8)], [17, 1]);
        assert_eq!([word(&child, 12), word(&child, 16), word(&child, 40)], [7, 8, 9]);
        assert_eq!([word(&child, 56), word(&child, 64)], [10, 11]);
        let timer = record(&SignalInfo::timer(Signal::ALRM, 3, 4, 0x1_0000_0005));
        assert_eq!([word(&timer, 24), word(&timer, 32), word(&timer, 44)], [3, 4, 5]);
        let sent = record(&SignalInfo::from_process(Signal::USR1, code::SI_USER, 5, 6));
        assert_eq!([word(&sent, 12), word(&sent, 16), word(&sent, 48)], [5, 6, 0]);
    }
}
