//! Further containers: made beside the first one when the host asks, until they end.

use alloc::{boxed::Box, sync::Arc};

use guest_abi::{
    container::ContainerSpec,
    control::{ProcessNumber, SentryMessage},
};

use super::{StartFailure, joined, new_process, sync_mounts};
use crate::{
    drivers::{Console, Control},
    errno::Errno,
    kernel::{Container, Current, Kernel, PollEvents, Process, WaitStatus, run},
};

/// What the host asks to make.
pub struct Order {
    /// The container's number.
    pub number: ProcessNumber,
    /// Which console its first process gets.
    pub console: u16,
    /// What it is.
    pub spec: ContainerSpec,
}

/// Makes the container that `order` describes, and reports to the host how that went, how it ends
/// and when its streams are free again.
pub(super) fn create(kernel: &Arc<Kernel>, control: &Arc<Control>, order: Order) {
    let (kernel_of_task, control) = (kernel.clone(), control.clone());
    let life = async move {
        let number = order.number;
        let outcome = live(&kernel_of_task, &control, order).await;
        joined::report_last(&control, number, outcome).await;
    };
    kernel.scheduler.spawn(Box::pin(life));
}

async fn live(kernel: &Arc<Kernel>, control: &Control, order: Order) -> Result<(), StartFailure> {
    let Order { number, console, spec } = order;
    if kernel.containers.get(number).is_some() {
        return Err(StartFailure::new("there is such a container already", Errno::EEXIST));
    }
    let lines = kernel.joined.lines(console)?;
    joined::driven(kernel, &lines, async {
        let container = Container::beside(&kernel.containers.sandbox, number, spec);
        kernel.containers.add(&container);
        let console = lines.open();
        let status = run_to_end(kernel, control, &container, &console).await;
        dismantle(kernel, &container);
        if status.is_err() {
            console.close();
        }
        let has_terminal = container.spec.process.terminal;
        joined::report_end(control, number, status?, console, has_terminal).await;
        Ok(())
    })
    .await
}

/// From the making of its first process until none of its processes is left, and all that they wrote
/// is where it belongs.
async fn run_to_end(
    kernel: &Arc<Kernel>,
    control: &Control,
    container: &Arc<Container>,
    console: &Arc<Console>,
) -> Result<WaitStatus, StartFailure> {
    let new = match new_process::first(kernel, container, console).await {
        Ok(new) => new,
        Err(failure) => {
            end_members(container).await;
            return Err(failure);
        }
    };
    let process = new.current.process().clone();
    kernel.joined.add(container.number, &process, new.terminal.clone());
    // Nothing can be done for a host that does not listen.
    let _ = control.send(&SentryMessage::Created(container.number)).await;
    start(control, container, new.current).await;
    let status = process.exited.wait_until(PollEvents::IN, || process.exit_status()).await;
    end_members(container).await;
    kernel.joined.remove(container.number);
    if let Some(terminal) = new.terminal {
        terminal.drained().await;
    }
    sync_mounts(kernel, container).await;
    Ok(status)
}

/// Lets the first process run once the host has said so, or has killed it.
async fn start(control: &Control, container: &Container, current: Current) {
    container.start.wait().await;
    if !current.process().is_ending() {
        // Nothing can be done for a host that does not listen.
        let _ = control.send(&SentryMessage::Started(container.number)).await;
    }
    run::start(current);
}

/// Ends all processes of a container and waits until they have. One that is being forked meanwhile is
/// seen in the next round.
async fn end_members(container: &Container) {
    container.freezer.thaw();
    let is_alive = |process: &Arc<Process>| process.exit_status().is_none();
    while let Some(one) = container.members().into_iter().find(is_alive) {
        container.members().iter().for_each(|process| {
            process.kill();
        });
        one.exited.wait_until(PollEvents::IN, || one.exit_status()).await;
    }
}

/// Takes a container apart that has no process any more: nobody else finds it, and its file-system
/// devices are free.
fn dismantle(kernel: &Kernel, container: &Container) {
    for queue in container.take_queues() {
        kernel
            .drivers
            .write()
            .retain(|driver| !core::ptr::addr_eq(Arc::as_ptr(driver), Arc::as_ptr(&queue)));
        queue.close();
    }
    container.set_mounts(None);
    container.forget_members();
    kernel.containers.remove(container.number);
}
