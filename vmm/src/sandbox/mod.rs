//! Launch of a sandbox: a [`plan`] becomes memory, devices, a gofer process and executors.
//!
//! It runs in the process of the command itself ([`run`]), or as the process of a container that
//! other commands control ([`service`]).

mod devices;
mod event_loop;
mod executors;
mod host;
mod kvm;
pub mod plan;
pub mod service;
pub mod settings;
mod supervisor;
mod watch;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use guest_abi::boot::{ABI_VERSION, BootInfo};
use platform_ptrace::{Config, PtracePlatform, create_sandbox_memory};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    devices::{
        End, Ending,
        control::Control,
        host_stream::{Direction, HostStream},
        input::Input,
        output::Output,
    },
    error::{Failure, Result, STATUS_NOT_EXECUTABLE, STATUS_NOT_FOUND},
    gofer::{self, GoferProcess, StartingGofer},
    jail,
    logging::Log,
    seccomp::Filter,
    signals::Signals,
    terminal::RawMode,
    virtqueue::DeviceQueue,
};
use devices::Device;
use event_loop::{Served, Streams};
use executors::Executors;
use host::HostParts;
use plan::{CONSOLE_DEVICE, CONTROL_DEVICE, LaunchPlan, Trees};
use settings::Settings;
use watch::Watched;

/// Runs `plan` in this process, on its standard streams, to its end and returns the status to exit
/// with. When it returns, all processes of the sandbox are gone.
///
/// # Errors
/// If the sandbox cannot be started, or a part of it fails.
pub fn run(plan: LaunchPlan, settings: &Settings, log: Log) -> Result<u8> {
    // Before there is any other thread or process: all of them inherit the blocked signals.
    let signals = Signals::take_over().map_err(cannot_start)?;
    let has_terminal = plan.container.process.terminal;
    let ending = Ending::default();
    let streams = HostStreams::of_process().map_err(cannot_start)?;
    let mut sandbox = Sandbox::start(plan, settings, &Arc::new(log), streams, &ending, false)?;
    let served = Served {
        streams: sandbox.streams,
        signals,
        terminal: has_terminal.then(RawMode::enter).transpose().map_err(cannot_start)?,
        watched: sandbox.watched,
    };
    sandbox.parts.begin()?;
    let end = event_loop::run(served, &ending);
    sandbox.parts.stop();
    exit_status(end?)
}

/// The host's ends of a process's standard streams.
#[derive(Debug)]
struct HostStreams {
    input: HostStream,
    output: HostStream,
    error: HostStream,
}

impl HostStreams {
    /// Those of this process.
    fn of_process() -> io::Result<Self> {
        Ok(Self {
            input: HostStream::open(io::stdin().as_fd(), Direction::Input)?,
            output: HostStream::open(io::stdout().as_fd(), Direction::Output)?,
            error: HostStream::open(io::stderr().as_fd(), Direction::Output)?,
        })
    }

    /// Those that a command sends, after
    /// [`own_descriptions`](crate::devices::host_stream::own_descriptions).
    fn received(input: OwnedFd, output: OwnedFd, error: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            input: HostStream::of_own(input, Direction::Input)?,
            output: HostStream::of_own(output, Direction::Output)?,
            error: HostStream::of_own(error, Direction::Output)?,
        })
    }
}

/// A sandbox that runs.
struct Sandbox {
    parts: Parts,
    /// Back ends of the console and the control device.
    streams: Streams,
    /// What is for processes and containers that are started later.
    later: Later,
    /// Its parts that must not end before it does.
    watched: Vec<Watched>,
}

/// Devices whose back ends come later.
struct Later {
    /// Queues of the consoles for processes.
    exec_queues: Vec<DeviceQueue>,
    /// Devices for the trees of further containers.
    spare: Vec<Device>,
}

/// What runs it.
struct Parts {
    executors: Executors,
    gofer: GoferProcess,
    log: Arc<Log>,
}

impl Sandbox {
    /// Starts the sandbox of `plan`; with `can_execute` more processes can be started in it.
    fn start(
        plan: LaunchPlan,
        settings: &Settings,
        log: &Arc<Log>,
        streams: HostStreams,
        ending: &Ending,
        can_execute: bool,
    ) -> Result<Self> {
        raise_open_files_limit();
        let spare = plan.spare_devices();
        let devices =
            devices::create_all(&plan.trees, spare.clone(), can_execute).map_err(cannot_start)?;
        // It gets ready while the jail closes.
        let gofer = start_gofer(&devices, &plan.trees)?;
        let host = HostParts::open(settings.platform)?;
        jail::enter(log);
        let gofer = gofer.ready()?;
        log.information(format_args!("gofer process {} started", gofer.id()));
        let boot = boot_info(plan, &devices, settings)?;
        let streams =
            serve_streams(&devices, streams, Arc::clone(log), ending).map_err(cannot_start)?;
        let exec_queues = match devices.last().filter(|_| can_execute) {
            Some(device) => device.serve().map_err(cannot_start)?,
            None => Vec::new(),
        };
        let executors = match host {
            HostParts::Ptrace { trusts_tsc } => {
                Executors::start_ptrace(start_ptrace(&devices, settings, trusts_tsc)?, boot)?
            }
            HostParts::Kvm(kvm) => Executors::start_kvm(kvm::build_machine(kvm, &devices, boot)?)?,
        };
        log.information("executors started");
        let watched = watched(&gofer, &executors).map_err(cannot_start)?;
        let parts = Parts { executors, gofer, log: Arc::clone(log) };
        let is_spare = |device: &Device| spare.contains(&device.index());
        let spare = devices.into_iter().filter(is_spare).collect();
        Ok(Self { parts, streams, later: Later { exec_queues, spare }, watched })
    }
}

impl Parts {
    /// Confines this thread and lets the guest run. All that the thread has to open is open.
    fn begin(&mut self) -> Result<()> {
        // The first hash table of a thread asks the host for random numbers, which the filter forbids.
        let _ = std::hash::RandomState::new();
        Filter::EventLoop.install().map_err(cannot_start)?;
        self.executors.release();
        Ok(())
    }

    /// Ends the sandbox, with all its processes.
    fn stop(self) {
        if let Some(machine) = self.executors.machine() {
            self.log.information(format_args!("vm exits: {}", machine.exit_counts()));
            let deepest: Vec<_> = machine.deepest_stacks().collect();
            self.log.information(format_args!("deepest stacks of vCPUs, in bytes: {deepest:?}"));
        }
        self.executors.stop();
        drop(self.gofer);
    }
}

/// Allows this process and the gofer as many open files as the host lets them have: the gofer has
/// one for each that the container uses. The container's own limit is in its plan already.
fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    // With the lower limit the sandbox still runs, and says so when it is reached.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::new(
        format_args!("cannot start the sandbox: {error}"),
        "check the limits on memory, processes and open files (ulimit -a)",
    )
}

fn start_gofer(devices: &[Device], trees: &Trees) -> Result<StartingGofer> {
    let mounts = trees
        .devices()
        .filter_map(|(index, tree)| Some(devices.get(usize::from(index))?.gofer_mount(tree)))
        .collect::<io::Result<Vec<_>>>()
        .map_err(cannot_start)?;
    gofer::spawn(&mounts)
}

fn start_ptrace(
    devices: &[Device],
    settings: &Settings,
    trusts_tsc: bool,
) -> Result<Arc<PtracePlatform>> {
    let config = ptrace_config(devices, settings, trusts_tsc).map_err(cannot_start)?;
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            format_args!("cannot use the ptrace platform: {error}"),
            "see `sandbox-vmm platforms`",
        )
    };
    let platform = PtracePlatform::new(config).map_err(|error| failed(&error))?;
    match platform.on_keeper(|| Filter::Keeper.install()) {
        Some(Ok(())) => Ok(platform),
        Some(Err(error)) => Err(failed(&error)),
        None => Err(failed(&"its keeper has ended")),
    }
}

fn ptrace_config(devices: &[Device], settings: &Settings, trusts_tsc: bool) -> io::Result<Config> {
    let mut config = Config {
        memory: create_sandbox_memory(settings.memory_bytes)?,
        memory_size: settings.memory_bytes,
        windows: Vec::new(),
        executors: settings.executors,
        trusts_tsc,
        hands_over_calls: true,
        kicks: Vec::new(),
        calls: Vec::new(),
    };
    for device in devices {
        config.windows.push(device.platform_window()?);
        config.kicks.extend(device.kicks()?);
        config.calls.push(device.call()?);
    }
    Ok(config)
}

fn boot_info(plan: LaunchPlan, devices: &[Device], settings: &Settings) -> Result<BootInfo> {
    let mut random_seed = [0; 32];
    rustix::rand::getrandom(&mut random_seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| cannot_start(error.into()))?;
    Ok(BootInfo {
        abi_version: ABI_VERSION,
        ram_size: settings.memory_bytes,
        ram_free_start: 0,
        executors: settings.executors,
        random_seed,
        devices: devices.iter().map(|device| device.descriptor.clone()).collect(),
        container: plan.container,
        strace: settings.strace,
    })
}

/// The back ends of the console and of the control device.
fn serve_streams(
    devices: &[Device],
    host: HostStreams,
    log: Arc<Log>,
    ending: &Ending,
) -> io::Result<Streams> {
    let [input, output, error] = queues(devices, CONSOLE_DEVICE)?;
    let [from_host, to_host] = queues(devices, CONTROL_DEVICE)?;
    Ok(Streams {
        input: Input::new(input, host.input),
        output: Output::new(output, host.output),
        error: Output::new(error, host.error),
        control: Control::new(from_host, to_host, log, ending.clone()),
    })
}

/// The queues of the device at `index`, which has `N`.
fn queues<const N: usize>(devices: &[Device], index: u16) -> io::Result<[DeviceQueue; N]> {
    let device = devices.get(usize::from(index));
    let queues = device.ok_or_else(|| io::Error::other("no such device"))?.serve()?;
    queues.try_into().map_err(|_| io::Error::other("wrong number of queues"))
}

/// The parts of the sandbox that must not end before it does.
fn watched(gofer: &GoferProcess, executors: &Executors) -> io::Result<Vec<Watched>> {
    Ok(vec![
        Watched::new(gofer, "the gofer process ended")?,
        Watched::new(executors.ended(), "the sentry stopped unexpectedly")?,
    ])
}

/// The status to exit with, or the line that says why there is none.
fn exit_status(end: End) -> Result<u8> {
    match end {
        End::Exited(status) => Ok(status.shell_code()),
        End::StartFailed { cause, errno } => Err(start_failure(&cause, errno)),
        End::Broken(cause) => {
            Err(Failure::new(cause, "run it with --debug to see more, and please report it"))
        }
    }
}

/// The failure to start the container's program, with the status a shell would give. Container
/// engines match the system's words for the error.
fn start_failure(cause: &str, errno: u16) -> Failure {
    let words = error_words(errno);
    let has_words = cause.contains(&words) || cause.ends_with("not found in $PATH");
    let cause = if has_words { cause.to_owned() } else { format!("{cause}: {words}") };
    match errno.into() {
        libc::ENOENT | libc::ENOTDIR => {
            Failure::new(cause, "check the program, its interpreter, the directory, and PATH")
                .with_status(STATUS_NOT_FOUND)
        }
        libc::EACCES | libc::EPERM => {
            Failure::new(cause, "make it executable for the user (chmod +x)")
                .with_status(STATUS_NOT_EXECUTABLE)
        }
        libc::ENOEXEC | libc::EISDIR => {
            Failure::new(cause, "name an x86-64 ELF program or a script that starts with #!")
                .with_status(STATUS_NOT_EXECUTABLE)
        }
        _ => Failure::new(cause, "run it with --debug to see more"),
    }
}

/// What strerror(3) says, as Go programs write it: in lower case.
fn error_words(errno: u16) -> String {
    let text = io::Error::from_raw_os_error(errno.into()).to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    words.to_lowercase()
}

#[cfg(test)]
mod tests {
    use guest_abi::control::ExitStatus;

    use super::*;

    #[test]
    fn statuses_are_those_of_a_shell() {
        assert_eq!(exit_status(End::Exited(ExitStatus::Code(3))), Ok(3));
        assert_eq!(exit_status(End::Exited(ExitStatus::Signal(9))), Ok(137));
        let status = |errno| {
            let end = End::StartFailed { cause: "x".to_owned(), errno };
            exit_status(end).unwrap_err().status()
        };
        let words = start_failure("exec: \"/x\"", 13).to_string();
        assert!(words.starts_with("exec: \"/x\": permission denied; "), "{words}");
        assert_eq!([status(2), status(13), status(8), status(12)], [127, 126, 126, 125]);
        assert_eq!(exit_status(End::Broken("x".to_owned())).unwrap_err().status(), 125);
    }
}
