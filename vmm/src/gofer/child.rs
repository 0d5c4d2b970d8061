//! The gofer's side: from its start to its end.

use std::{
    ffi::OsStr,
    fmt::Display,
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    process::ExitCode,
    sync::mpsc::channel,
};

use guest_abi::device::{DeviceDescriptor, DeviceKind};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::Mode,
    io::retry_on_intr,
    process::{Resource, Rlimit, getrlimit, setrlimit, setsid, umask},
};

use super::{
    channel::{Channel, Request, Response, Source},
    jail::{self, Root},
    server::{Limits, Options, Server, serve, spin_time},
};
use crate::{
    jail::landlock,
    seccomp::Filter,
    threads,
    virtqueue::{DeviceQueue, Doorbell, Window},
};

/// More open files than this are not asked for; the kernel's default ceiling (fs.nr_open).
const MAX_OPEN_FILES: u64 = 1 << 20;

/// What cannot be served, in words.
type Result<T> = std::result::Result<T, String>;

/// A device that waits to be served.
struct Service {
    name: String,
    queue: DeviceQueue,
    root: Root,
    read_only: bool,
}

/// Runs the gofer: standard input is its channel to the sandbox process. Returns when that ends.
pub fn main() -> ExitCode {
    jail::die_with_parent();
    // Out of the terminal's foreground group: its interrupt key is for the container.
    let _ = setsid();
    umask(Mode::empty());
    let channel = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(socket) => Channel::from(socket),
        Err(error) => return fail(error),
    };
    let started = receive_services(&channel).and_then(start);
    let response = match &started {
        Ok(()) => Response::Ready,
        Err(cause) => Response::Failed { cause: cause.clone() },
    };
    if let Err(error) = channel.send(&response, &[]) {
        return fail(format_args!("it is started by the sandbox only: {error}"));
    }
    if started.is_err() {
        return ExitCode::FAILURE;
    }
    await_hang_up(&channel);
    ExitCode::SUCCESS
}

fn fail(cause: impl Display) -> ExitCode {
    report("", cause);
    ExitCode::FAILURE
}

/// Writes one line to standard error, which is the sandbox's; if it is gone, nobody reads it.
fn report(device: &str, cause: impl Display) {
    let _ = writeln!(io::stderr(), "sandbox-vmm: gofer{device}: {cause}");
}

/// Receives what is to be served, and only then opens it: a socket that is closed with messages
/// unread drops those it has sent (unix(7)), and with them the reason.
fn receive_services(channel: &Channel) -> Result<Vec<Service>> {
    let mut requests = Vec::new();
    loop {
        let (request, descriptors) =
            channel.receive::<Request>().map_err(|error| format!("no configuration: {error}"))?;
        match request {
            Request::Serve { source, device } => requests.push((source, device, descriptors)),
            Request::Start => break,
        }
    }
    let open =
        |(source, device, descriptors): (Source, _, _)| open_service(&source, &device, descriptors);
    requests.into_iter().map(open).collect()
}

fn open_service(
    source: &Source,
    device: &DeviceDescriptor,
    descriptors: Vec<OwnedFd>,
) -> Result<Service> {
    let &Source { read_only, submounts, .. } = source;
    let path = Path::new(OsStr::from_bytes(&source.path));
    let name = path.display().to_string();
    let say = |error: &dyn Display| format!("{name}: {error}");
    let [window, kick, call] = <[OwnedFd; 3]>::try_from(descriptors)
        .map_err(|_| say(&"its window and doorbells are missing"))?;
    let layout = match (device.kind, device.queues.as_slice()) {
        (DeviceKind::FileSystem, [layout]) => layout,
        _ => return Err(say(&"its device is not a file system")),
    };
    let root = jail::open_root(path, read_only, submounts).map_err(|error| say(&error))?;
    let window = Window::map(window, device).map_err(|error| say(&error))?;
    let (kick, call) = (Doorbell::from(kick), Doorbell::from(call));
    let queue = DeviceQueue::new(window, layout, kick, call).map_err(|error| say(&error))?;
    Ok(Service { name, queue, root, read_only })
}

/// Closes the jail and starts a thread for each device.
fn start(services: Vec<Service>) -> Result<()> {
    let limits = Limits::for_process(raise_open_files(), services.len());
    let detached = services.iter().all(|service| service.root.detached);
    let fd_paths = jail::enter(detached);
    for service in services {
        let options = Options { read_only: service.read_only, limits, fd_paths };
        start_thread(service, options)?;
    }
    // This thread only waits. Where there is no Landlock the other walls stand.
    let _ = landlock::deny_all();
    Filter::GoferMain.install().map_err(|error| error.to_string())
}

fn start_thread(service: Service, options: Options) -> Result<()> {
    let Service { name, mut queue, root, read_only } = service;
    let say = |error: &dyn Display| format!("{name}: {error}");
    let beneath = root.descriptor.try_clone().map_err(|error| say(&error))?;
    let mut server = Server::new(root.descriptor, options).map_err(|error| say(&error))?;
    let device = format!(" of {name}");
    let (confined, report_of_thread) = channel();
    let spin = spin_time();
    let run = move || {
        let _ = landlock::deny_all_but(&beneath, read_only);
        drop(beneath);
        // The starter waits for the report.
        let _ = confined.send(Filter::GoferFileSystem.install());
        drop(confined);
        if let Err(error) = serve(&mut queue, &mut server, spin) {
            report(&device, error);
        }
    };
    let thread = threads::named("file-system".to_owned()).spawn(run);
    thread.map_err(|error| say(&error))?;
    match report_of_thread.recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(say(&error)),
        Err(error) => Err(say(&error)),
    }
}

/// Raises the limit on open files as far as it goes; answers it.
fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(MAX_OPEN_FILES).min(MAX_OPEN_FILES);
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    let in_force = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(_) => limit.current.unwrap_or(wanted),
    };
    usize::try_from(in_force).unwrap_or(usize::MAX)
}

/// Waits until the sandbox process has closed its end.
fn await_hang_up(channel: &Channel) {
    let mut polled = [PollFd::new(channel, PollFlags::IN | PollFlags::RDHUP)];
    // Only a failure of poll(2) itself ends this early; serving without a sandbox is no use.
    let _ = retry_on_intr(|| poll(&mut polled, None::<&Timespec>));
}
