//! The control device: messages of the host, reports of the sentry, and the log.

use alloc::{string::String, sync::Arc};
use core::sync::atomic::{AtomicU32, Ordering};

use guest_abi::{
    control::{ControlQueue, HostMessage, LogLevel, MAX_CONTROL_MESSAGE, SentryMessage},
    device::DeviceDescriptor,
    message,
};

use super::{Buffer, BufferArea, BufferPool, Chain, Part, Request, SubmitError, Virtqueue};
use crate::{
    errno::{Errno, Result},
    kernel::Driver,
    platform::PlatformRef,
};

/// Messages to the host that may be under way at once.
const OUTGOING_SLOTS: usize = 64;

/// Longest text of a log line in bytes; the rest is cut off.
const MAX_LOG_TEXT: usize = 4096;

/// The control device.
pub struct Control {
    to_host: Arc<Virtqueue>,
    from_host: Arc<Virtqueue>,
    outgoing: Arc<BufferPool>,
    incoming: Arc<BufferPool>,
    /// Log lines dropped since the last one that was sent.
    dropped: AtomicU32,
}

impl Control {
    /// Drives `device`, which has index `index` in the device table. Its window must have room for
    /// at least two messages of [`MAX_CONTROL_MESSAGE`].
    ///
    /// # Errors
    /// EINVAL or ENXIO if the descriptor is not valid, ENOMEM if the window is too small.
    pub fn new(platform: &PlatformRef, index: u16, device: &DeviceDescriptor) -> Result<Arc<Self>> {
        let mut area = BufferArea::of(device)?;
        let queue = |queue: ControlQueue| Virtqueue::new(platform, index, device, queue as u16);
        Ok(Arc::new(Self {
            to_host: queue(ControlQueue::ToHost)?,
            from_host: queue(ControlQueue::FromHost)?,
            incoming: area.cut(platform, MAX_CONTROL_MESSAGE, 1)?,
            outgoing: area.cut(platform, MAX_CONTROL_MESSAGE, OUTGOING_SLOTS)?,
            dropped: AtomicU32::new(0),
        }))
    }

    /// Sends `message` and waits until the host has taken it. Messages arrive in the order of the
    /// calls.
    ///
    /// # Errors
    /// EMSGSIZE if it is too long, EIO if the device broke.
    pub async fn send(&self, message: &SentryMessage) -> Result<()> {
        let buffer = self.outgoing.allocate().await;
        let chain = encode(message, buffer)?;
        self.to_host.submit(chain).await?.await.map(|_| ())
    }

    /// Sends a line to the host's log without waiting. If the host is behind, the line is dropped,
    /// and the next one that gets through is preceded by a count.
    pub fn log(&self, level: LogLevel, text: impl Into<String>) {
        if self.report_dropped().is_err() || self.send_line(level, text.into()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for the next message of the host.
    ///
    /// # Errors
    /// EBADMSG if it is malformed, EIO if the device broke.
    pub async fn receive(&self) -> Result<HostMessage> {
        let buffer = self.incoming.allocate().await;
        let size = buffer.size();
        let chain = Chain::of(Part::new(buffer, 0, size)?);
        let completion = self.from_host.submit(chain).await?.await?;
        let length = completion.written().map_err(|_| Errno::EBADMSG)?;
        let part = completion.chain.parts.first().ok_or(Errno::EIO)?;
        let mut bytes = alloc::vec![0; length];
        part.buffer().read(0, &mut bytes)?;
        message::decode(&bytes).map_err(|_| Errno::EBADMSG)
    }

    /// Gives every message of the host to `handle`, until the device breaks. To be spawned.
    pub async fn dispatch(self: Arc<Self>, handle: impl Fn(HostMessage) + Send + Sync) {
        while !self.from_host.is_broken() {
            match self.receive().await {
                Ok(message) => handle(message),
                Err(errno) => self.log(
                    LogLevel::Warning,
                    alloc::format!("control message from the host not understood: {errno}"),
                ),
            }
        }
    }

    fn report_dropped(&self) -> Result<()> {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped == 0 {
            return Ok(());
        }
        let text = alloc::format!("{dropped} log lines were dropped because the host was behind");
        self.send_line(LogLevel::Warning, text).inspect_err(|_| {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        })
    }

    fn send_line(&self, level: LogLevel, mut text: String) -> Result<()> {
        text.truncate(text.floor_char_boundary(MAX_LOG_TEXT));
        let buffer = self.outgoing.try_allocate().ok_or(Errno::EAGAIN)?;
        let chain = encode(&SentryMessage::Log { level, text }, buffer)?;
        let submitted: Result<Request, SubmitError> = self.to_host.try_submit(chain);
        submitted.map(|_| ()).map_err(|_| Errno::EAGAIN)
    }
}

impl Driver for Control {
    fn poll(&self) {
        self.to_host.poll();
        self.from_host.poll();
    }
}

fn encode(message: &SentryMessage, buffer: Buffer) -> Result<Chain> {
    let bytes = message::encode(message).map_err(|_| Errno::EMSGSIZE)?;
    if bytes.len() > buffer.size() {
        return Err(Errno::EMSGSIZE);
    }
    buffer.write(0, &bytes)?;
    Ok(Chain::of(Part::new(buffer, bytes.len(), 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::testing::{TestMachine, block_on, poll_once};
    use guest_abi::{
        control::{ExitStatus, ProcessNumber},
        device::{DeviceKind, QueueId},
    };
    use spin::mutex::SpinMutex;

    fn control() -> (TestMachine, Arc<Control>) {
        let machine = TestMachine::with_device(DeviceKind::Control, 8, 1 << 20);
        let control = Control::new(&machine.platform(), 0, &machine.device).unwrap();
        (machine, control)
    }

    const EXITED: SentryMessage = SentryMessage::Exited { status: ExitStatus::Code(3) };

    #[test]
    fn a_message_is_sent_when_the_host_has_it() {
        let (machine, control) = control();
        let queue = machine.device_queue(ControlQueue::ToHost as u16);
        let received: Arc<SpinMutex<Vec<SentryMessage>>> = Arc::default();
        let log = received.clone();
        machine.on_kick(move |_: QueueId| {
            while let Some(chain) = queue.pop() {
                log.lock().push(message::decode(&chain.readable).unwrap());
                queue.answer(&chain, &[]);
            }
        });
        block_on(&[&*control], control.send(&EXITED)).unwrap();
        assert_eq!(*received.lock(), [EXITED]);
    }

    #[test]
    fn log_lines_are_counted_when_the_host_is_behind() {
        let (machine, control) = control();
        let queue = machine.device_queue(ControlQueue::ToHost as u16);
        for _ in 0..12 {
            control.log(LogLevel::Debug, "x".repeat(10_000));
        }
        let mut lines = 0;
        while let Some(chain) = queue.pop() {
            queue.answer(&chain, &[]);
            lines += 1;
        }
        control.poll();
        control.log(LogLevel::Error, "last");
        let report = message::decode(&queue.pop().unwrap().readable).unwrap();
        let SentryMessage::Log { level, text } = report else {
            panic!("no log line");
        };
        assert_eq!(level, LogLevel::Warning);
        assert!(text.starts_with(&alloc::format!("{} log lines", 12 - lines)));
        assert!(queue.pop().is_some());
    }

    #[test]
    fn messages_of_the_host_are_dispatched_and_nonsense_is_not() {
        let (machine, control) = control();
        let queue = machine.device_queue(ControlQueue::FromHost as u16);
        let resize = HostMessage::Resize { process: ProcessNumber::FIRST, rows: 24, columns: 80 };
        let mut receive = Box::pin(control.receive());
        assert!(poll_once(&mut receive).is_pending());
        let chain = queue.pop().unwrap();
        queue.answer(&chain, &message::encode(&resize).unwrap());
        assert_eq!(block_on(&[&*control], receive), Ok(resize));
        let mut receive = Box::pin(control.receive());
        assert!(poll_once(&mut receive).is_pending());
        let chain = queue.pop().unwrap();
        queue.answer(&chain, &[0xff; 40]);
        assert_eq!(block_on(&[&*control], receive), Err(Errno::EBADMSG));
    }
}
