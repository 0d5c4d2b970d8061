//! The control device: what the host tells the sentry, and what the sentry reports.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
};

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use guest_abi::{
    control::{HostMessage, MAX_CONTROL_MESSAGE, ProcessNumber, SentryMessage},
    message,
};

use super::{End, Ending};
use crate::{
    logging::Log,
    virtqueue::{Chain, DeviceQueue, QueueError},
};

/// Most messages that wait in either direction. The sentry has buffers posted at all times, so more
/// can only mean that it hangs; what a hung sentry is told no longer matters.
const MAX_PENDING: usize = 256;

/// Reports taken per wake-up, so that a talkative sentry does not starve the streams.
const REPORTS_PER_WAKE_UP: usize = 256;

/// Why the control device cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The ring is not sound.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A report is no message, or longer than one may be.
    #[error("the sentry sent a malformed message")]
    Malformed,
}

/// Back end of the control device.
#[derive(Debug)]
pub struct Control {
    from_host: DeviceQueue,
    to_host: DeviceQueue,
    pending: VecDeque<HostMessage>,
    reports: VecDeque<SentryMessage>,
    log: Arc<Log>,
    ending: Ending,
}

impl Control {
    /// The back end of both queues. Reports that end the sandbox go to `ending`, log lines to `log`,
    /// and the others wait for [`Self::next_report`].
    pub const fn new(
        from_host: DeviceQueue,
        to_host: DeviceQueue,
        log: Arc<Log>,
        ending: Ending,
    ) -> Self {
        Self { from_host, to_host, pending: VecDeque::new(), reports: VecDeque::new(), log, ending }
    }

    /// Tells the sentry `message`, now or when it has posted a buffer.
    ///
    /// # Errors
    /// If the queue is broken.
    pub fn send(&mut self, message: HostMessage) -> Result<(), QueueError> {
        if self.pending.len() < MAX_PENDING {
            self.pending.push_back(message);
        }
        self.flush()
    }

    /// Delivers pending messages while there are buffers.
    fn flush(&mut self) -> Result<(), QueueError> {
        while let Some(message) = self.pending.front() {
            let Some(chain) = self.from_host.pop()? else {
                return Ok(());
            };
            let bytes = message::encode(message).unwrap_or_default();
            let written = chain.writable.write(0, &bytes).map_or(0, |()| bytes.len());
            self.from_host.complete(chain.head(), u32::try_from(written).unwrap_or(0))?;
            self.pending.pop_front();
        }
        Ok(())
    }

    /// Takes the sentry's reports.
    fn take_reports(&mut self) -> Result<(), ControlError> {
        for _ in 0..REPORTS_PER_WAKE_UP {
            let Some(chain) = self.to_host.pop()? else {
                return Ok(());
            };
            let report = decode(&chain);
            self.to_host.complete(chain.head(), 0)?;
            self.take(report?);
        }
        self.to_host.kick().ring();
        Ok(())
    }

    /// The oldest report that nobody has taken.
    pub fn next_report(&mut self) -> Option<SentryMessage> {
        self.reports.pop_front()
    }

    fn take(&mut self, report: SentryMessage) {
        if report == SentryMessage::Started(ProcessNumber::FIRST) {
            self.log.information("the program is loaded and starts");
        }
        match report {
            SentryMessage::StartFailed { cause, errno } => {
                self.ending.set(End::StartFailed { cause, errno });
            }
            SentryMessage::Exited { status } => self.ending.set(End::Exited(status)),
            SentryMessage::Log { level, text } => self.log.line(level, printable(&text)),
            report if self.reports.len() < MAX_PENDING => self.reports.push_back(report),
            // Nobody takes them: the sandbox runs one command, which asked for none.
            _ => {}
        }
    }

    /// Serves both queues; if one is broken, that ends the sandbox.
    pub fn serve_or_end(&mut self) {
        if let Err(error) = self.serve() {
            self.ending.broken("control device", error);
        }
    }

    fn serve(&mut self) -> Result<(), ControlError> {
        self.from_host.kick().clear();
        self.to_host.kick().clear();
        self.flush()?;
        self.take_reports()
    }
}

/// The message in `chain`.
fn decode(chain: &Chain) -> Result<SentryMessage, ControlError> {
    let length = chain.readable.len();
    if length > MAX_CONTROL_MESSAGE {
        return Err(ControlError::Malformed);
    }
    let mut bytes = vec![0; length];
    chain.readable.read(0, &mut bytes).map_err(|_| ControlError::Malformed)?;
    message::decode(&bytes).map_err(|_| ControlError::Malformed)
}

/// `text` without what could steer the terminal that shows the log.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl MutEventSubscriber for Control {
    fn init(&mut self, ops: &mut EventOps) {
        for queue in [&self.from_host, &self.to_host] {
            let kick = queue.kick().as_fd().as_raw_fd();
            if let Err(error) = ops.add(Events::new_raw(kick, EventSet::IN)) {
                self.ending.broken("control device", error);
            }
        }
    }

    fn process(&mut self, _events: Events, _ops: &mut EventOps) {
        self.serve_or_end();
    }
}

#[cfg(test)]
mod tests {
    use guest_abi::{
        control::{ExitStatus, LogLevel, SignalTarget},
        device::DeviceKind,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::{logging::LogFormat, virtqueue::driver::Driver};

    /// The driver's ends of FromHost and ToHost, in windows of their own.
    fn control() -> (Driver, Driver, Control, Ending) {
        let (from_host_driver, from_host) = Driver::connect(DeviceKind::Control, 1 << 20);
        let (to_host_driver, to_host) = Driver::connect(DeviceKind::Control, 1 << 20);
        let log = Arc::new(Log::open(LogLevel::Error, None, LogFormat::Text).unwrap());
        let ending = Ending::default();
        let control = Control::new(from_host, to_host, log, ending.clone());
        (from_host_driver, to_host_driver, control, ending)
    }

    #[test]
    fn messages_wait_for_buffers() {
        let (mut driver, _to_host, mut control, _ending) = control();
        let signal =
            HostMessage::Signal { number: 15, target: SignalTarget::All(ProcessNumber::FIRST) };
        control.send(signal.clone()).unwrap();
        assert_eq!(driver.used_index(), 0);
        driver.post(b"", 64, 256);
        control.serve().unwrap();
        assert_eq!(message::decode::<HostMessage>(&driver.answer(0)), Ok(signal));
    }

    #[test]
    fn pending_messages_are_bounded() {
        let (_driver, _to_host, mut control, _ending) = control();
        for _ in 0..10_000 {
            control.send(HostMessage::ListProcesses(ProcessNumber::FIRST)).unwrap();
        }
        assert_eq!(control.pending.len(), MAX_PENDING);
    }

    #[test]
    fn exit_ends_the_loop() {
        let (_driver, mut to_host, mut control, ending) = control();
        let status = ExitStatus::Signal(9);
        let bytes = message::encode(&SentryMessage::Exited { status }).unwrap();
        to_host.post(&bytes, 64, 0);
        control.serve().unwrap();
        assert_eq!(ending.get(), Some(End::Exited(status)));
        assert_eq!(to_host.used_index(), 1);
    }

    #[test]
    fn log_lines_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\nc"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn hostile_reports_never_panic(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
            let (_driver, mut to_host, mut control, _ending) = control();
            to_host.post(&bytes, 16, 0);
            let _ = control.serve();
        }
    }
}
