//! The threads that run the sentry.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use guest_abi::boot::BootInfo;
use platform_kvm::{Machine, VcpuEnd};
use platform_ptrace::PtracePlatform;
use sentry::{kernel, platform::ExecutorId};

use crate::{
    error::{Failure, Result},
    seccomp::Filter,
    terminal, threads,
    virtqueue::Doorbell,
};

/// How long executors may take to end. Each is at most one operation of the sentry away from
/// noticing; what does not end by then ends with the process.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The executors of one sentry: host threads on the ptrace platform, vCPUs on the kvm platform.
pub struct Executors {
    /// Each executor waits for its own to be sent or dropped; dropped, it ends.
    gates: Vec<Sender<()>>,
    stop: Box<dyn FnOnce()>,
    ended: Doorbell,
    /// Nothing is ever sent: it disconnects when all executors have ended.
    running: Receiver<()>,
    machine: Option<Arc<Machine>>,
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
        let current = std::thread::current();
        let thread = current.name().unwrap_or("unnamed");
        let message = format!("{panic}").replace('\n', " ");
        report(&format!("{thread} {message}"));
    }));
}

/// Writes one line to standard error. If nobody reads it, nothing can be done.
fn report(text: &str) {
    let line = format!("sandbox-vmm: {text}{}", terminal::line_end());
    let _ = io::stderr().write_all(line.as_bytes());
}

impl Executors {
    /// Boots the sentry in this process, on `platform`, and starts its executors.
    ///
    /// # Errors
    /// If the sentry refuses `boot`, or a thread cannot be started.
    pub fn start_ptrace(platform: Arc<PtracePlatform>, boot: BootInfo) -> Result<Self> {
        let count = boot.executors;
        let kernel = kernel::boot(platform, boot).map_err(|error| {
            Failure::new(
                format_args!("the sentry does not start: {error}"),
                "give it more memory with --memory",
            )
        })?;
        let stopped = Arc::clone(&kernel);
        Self::start(
            count,
            Filter::ExecutorPtrace,
            Box::new(move || stopped.halt()),
            move |executor| {
                kernel::run_executor(&kernel, ExecutorId(executor));
            },
        )
    }

    /// Starts the vCPUs of `machine`, which boot the sentry in it.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start_kvm(machine: Machine) -> Result<Self> {
        let machine = Arc::new(machine);
        let (stopper, kept) = (machine.stopper(), machine.clone());
        let stop = Box::new(move || stopper.stop());
        let executors = Self::start(
            machine.vcpu_count(),
            Filter::ExecutorKvm,
            stop,
            move |vcpu| match machine.run_vcpu(vcpu, &|line| report(line)) {
                VcpuEnd::Halted | VcpuEnd::Stopped => {}
                VcpuEnd::Panicked => {
                    let build = platform_kvm::build_id();
                    let build = build.as_deref().unwrap_or("unknown");
                    report(&format!("the sentry panicked; its image has build id {build}"));
                    machine.stopper().stop();
                }
                VcpuEnd::Failed(reason) => {
                    report(&format!("vCPU {vcpu} stopped: {reason}"));
                    machine.stopper().stop();
                }
            },
        )?;
        Ok(Self { machine: Some(kept), ..executors })
    }

    fn start(
        count: u16,
        filter: Filter,
        stop: Box<dyn FnOnce()>,
        run: impl Fn(u16) + Clone + Send + 'static,
    ) -> Result<Self> {
        report_panics();
        let ended = Doorbell::new().map_err(cannot_start)?;
        let (sender, running) = channel();
        let (confined, reports) = channel();
        let mut gates = Vec::new();
        for number in 0..count {
            let ended = ended.clone();
            let presence = Presence { ended, _running: sender.clone() };
            let run = run.clone();
            let confined = confined.clone();
            let (gate, opened) = channel();
            gates.push(gate);
            threads::named(format!("executor-{number}"))
                .spawn(move || {
                    let _presence = presence;
                    // The starter waits for the report.
                    let _ = confined.send(filter.install());
                    drop(confined);
                    if opened.recv().is_ok() {
                        run(number);
                    }
                })
                .map_err(cannot_start)?;
        }
        drop(confined);
        reports.into_iter().collect::<io::Result<()>>().map_err(cannot_start)?;
        Ok(Self { gates, stop, ended, running, machine: None })
    }

    /// Lets them execute the first instruction.
    pub fn release(&mut self) {
        for gate in self.gates.drain(..) {
            // One that has ended already is noticed otherwise.
            let _ = gate.send(());
        }
    }

    /// Readable as soon as one of them has ended.
    pub const fn ended(&self) -> &Doorbell {
        &self.ended
    }

    /// What they are on the kvm platform.
    pub fn machine(&self) -> Option<Arc<Machine>> {
        self.machine.clone()
    }

    /// Stops the sentry and waits for its executors, so that their stub processes are gone too.
    pub fn stop(self) {
        drop(self.gates);
        (self.stop)();
        let _ = self.running.recv_timeout(STOP_TIMEOUT);
    }
}

fn cannot_start(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        format_args!("cannot start an executor: {error}"),
        "lower --executors or check the limits on processes and open files",
    )
}
