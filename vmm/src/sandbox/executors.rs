//! The threads that run the sentry.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use guest_abi::boot::BootInfo;
use platform_ptrace::PtracePlatform;
use sentry::{
    kernel::{self, Kernel},
    platform::ExecutorId,
};

use crate::{
    error::{Failure, Result},
    terminal,
    virtqueue::Doorbell,
};

/// How long executors may take to end. Each is at most one operation of the sentry away from
/// noticing; what does not end by then ends with the process.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The executors of one sentry.
pub struct Executors {
    kernel: Arc<Kernel>,
    ended: Doorbell,
    /// Nothing is ever sent: it disconnects when all executors have ended.
    running: Receiver<()>,
}

/// Held by each executor; its drop tells that the executor has ended, even by a panic.
struct Presence {
    ended: Doorbell,
    _running: Sender<()>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.ended.ring();
    }
}

/// Reports a panic in one line: the file and line are for whoever gets the report, and the
/// terminal may be raw.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let current = thread::current();
        let thread = current.name().unwrap_or("unnamed");
        let message = format!("{panic}").replace('\n', " ");
        let line = format!("sandbox-vmm: {thread} {message}{}", terminal::line_end());
        let _ = io::stderr().write_all(line.as_bytes());
    }));
}

impl Executors {
    /// Boots the sentry on `platform` and starts its executors.
    ///
    /// # Errors
    /// If the sentry refuses `boot`, or a thread cannot be started.
    pub fn start(platform: Arc<PtracePlatform>, boot: BootInfo) -> Result<Self> {
        report_panics();
        let count = boot.executors;
        let kernel = kernel::boot(platform, boot).map_err(|error| {
            Failure::new(
                format_args!("the sentry does not start: {error}"),
                "give it more memory with --memory",
            )
        })?;
        let ended = Doorbell::new().map_err(cannot_start)?;
        let (sender, running) = channel();
        let executors = Self { kernel, ended, running };
        for number in 0..count {
            executors.spawn(ExecutorId(number), sender.clone())?;
        }
        Ok(executors)
    }

    fn spawn(&self, executor: ExecutorId, running: Sender<()>) -> Result<()> {
        let kernel = Arc::clone(&self.kernel);
        let ended = self.ended.try_clone().map_err(cannot_start)?;
        let presence = Presence { ended, _running: running };
        thread::Builder::new()
            .name(format!("executor-{}", executor.0))
            .spawn(move || {
                let _presence = presence;
                kernel::run_executor(&kernel, executor);
            })
            .map(|_| ())
            .map_err(cannot_start)
    }

    /// Readable as soon as one of them has ended.
    pub const fn ended(&self) -> &Doorbell {
        &self.ended
    }

    /// Stops the sentry and waits for its executors, so that their stub processes are gone too.
    pub fn stop(self) {
        self.kernel.halt();
        let _ = self.running.recv_timeout(STOP_TIMEOUT);
    }
}

fn cannot_start(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        format_args!("cannot start an executor: {error}"),
        "lower --executors or check the limits on processes and open files",
    )
}
