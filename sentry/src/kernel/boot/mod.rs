//! From boot information to the container's first process, and from its end to the sandbox's.

mod environment;
mod failure;
mod further;
mod host;
mod joined;
mod new_process;

pub use failure::StartFailure;
pub use joined::JoinedProcesses;

use alloc::{boxed::Box, sync::Arc};

use guest_abi::{
    boot::BootInfo,
    control::{ExitStatus, LogLevel, SentryMessage},
    device::DeviceKind,
};

use super::{Container, Driver, Kernel, Process, WaitStatus, run};
use crate::{
    drivers::{Console, ConsoleLines, Control},
    errno::{Errno, Result},
    platform::PlatformRef,
};

/// Makes the kernel that `info` describes. Its first process starts as soon as executors run; the
/// host learns how that went by control messages.
///
/// # Errors
/// EPROTO if the host is of another version; ENODEV if there is no control device; EINVAL, ENXIO or
/// ENOMEM if a device is not as it should be.
pub fn boot(platform: PlatformRef, info: BootInfo) -> Result<Arc<Kernel>> {
    if !info.is_compatible() {
        return Err(Errno::EPROTO);
    }
    let kernel = Kernel::new(platform, info);
    attach_devices(&kernel)?;
    kernel.control.get().ok_or(Errno::ENODEV)?;
    kernel.scheduler.spawn(Box::pin(start_container(kernel.clone())));
    Ok(kernel)
}

/// Starts the drivers of console and control device. File-system devices are driven by who mounts
/// them.
fn attach_devices(kernel: &Arc<Kernel>) -> Result<()> {
    for (index, device) in kernel.boot_info().devices.iter().enumerate() {
        let index = u16::try_from(index).map_err(|_| Errno::EINVAL)?;
        let driver: Arc<dyn Driver> = match device.kind {
            DeviceKind::FileSystem => continue,
            DeviceKind::Console => {
                let console = Console::new(&kernel.platform, index, device)?;
                kernel.console.call_once(|| console.clone());
                console
            }
            DeviceKind::ExecConsoles => {
                let consoles = ConsoleLines::all(&kernel.platform, index, device)?;
                kernel.joined.set_consoles(consoles.into_iter().map(Arc::new).collect());
                // Each is driven while a process has it.
                continue;
            }
            DeviceKind::Control => {
                let control = Control::new(&kernel.platform, index, device)?;
                kernel.control.call_once(|| control.clone());
                control
            }
        };
        kernel.drivers.write().push(driver);
    }
    Ok(())
}

async fn start_container(kernel: Arc<Kernel>) {
    let Some(control) = kernel.control.get().cloned() else { return };
    let container = &kernel.containers.sandbox;
    let first = match kernel.console.get() {
        Some(console) => new_process::first(&kernel, container, console).await,
        None => Err(StartFailure::new("there is no console", Errno::ENODEV)),
    };
    // Nothing can be done for a host that does not listen.
    match first {
        Ok(first) => {
            host::listen(&kernel, &control);
            if container.spec.waits_for_start {
                let _ = control.send(&SentryMessage::Created(container.number)).await;
                container.start.wait().await;
            }
            let _ = control.send(&SentryMessage::Started(container.number)).await;
            run::start(first.current);
        }
        Err(failure) => {
            let errno = failure.errno.number();
            let message = SentryMessage::StartFailed { cause: failure.cause, errno };
            let _ = control.send(&message).await;
            kernel.halt();
        }
    }
}

impl Kernel {
    /// Writes a line to the host's log.
    pub fn log(&self, level: LogLevel, text: &str) {
        match self.control.get() {
            Some(control) => control.log(level, text),
            None => self.platform.emergency_log(text),
        }
    }

    /// Whether the sandbox ends with `process`: it is the first one of the first container.
    pub(super) fn ends_with(&self, process: &Process) -> bool {
        process.pid() == 1 && Arc::ptr_eq(process.container(), &self.containers.sandbox)
    }

    /// The first process has ended: so do all others, and the sandbox once everything is written.
    pub(super) fn sandbox_ended(self: &Arc<Self>, status: WaitStatus) {
        self.scheduler.spawn(Box::pin(end_sandbox(self.clone(), status)));
    }
}

async fn end_sandbox(kernel: Arc<Kernel>, status: WaitStatus) {
    for process in kernel.all_processes() {
        process.kill();
    }
    for container in kernel.containers.all() {
        sync_mounts(&kernel, &container).await;
    }
    host::flush_output(&kernel).await;
    if let Some(control) = kernel.control.get() {
        let status = exit_status(status);
        // Nothing can be done for a host that does not listen.
        let _ = control.send(&SentryMessage::Exited { status }).await;
    }
    kernel.halt();
}

/// Brings all that was written to files of `container` to the host.
async fn sync_mounts(kernel: &Kernel, container: &Container) {
    let Some(namespace) = container.mounts() else { return };
    for mount in namespace.mounts() {
        if let Err(errno) = mount.file_system.sync().await {
            let text = alloc::format!("{}: not all is written: {errno}", mount.source);
            kernel.log(LogLevel::Warning, &text);
        }
    }
}

/// `status` as the host is told of it.
fn exit_status(status: WaitStatus) -> ExitStatus {
    match status.code() {
        Some(code) => ExitStatus::Code(code),
        None => ExitStatus::Signal(status.signal_number()),
    }
}
