//! `create`: a container, ready to be started.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::Child,
    time::SystemTime,
};

use guest_abi::container::RootWrites;
use oci_spec::runtime::LinuxResources;

use super::{
    Launch,
    join::{self, Sandbox},
    namespaces, own_user, start_hooks,
    state::state_json,
    write_pid_file,
};
use crate::{
    bundle::{Bundle, BundleOptions, PodRole, Spec},
    cgroups::Cgroup,
    channel::Channel,
    console_socket::offer_terminal,
    control_socket,
    error::{Failure, Result},
    gofer, hooks,
    sandbox::{plan::LaunchPlan, service, settings::Settings},
    stand_in::{self, Order, Role, StandIn, Streams},
    state::{Container, ProcessIdentity, Record, Status},
    terminal,
    time::rfc3339,
};

/// Period of a processor quota that does not say, in microseconds (cpu.cfs_period_us).
const DEFAULT_PERIOD_MICROSECONDS: u64 = 100_000;

/// What to create.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory with config.json.
    pub bundle: PathBuf,
    /// The container's id.
    pub id: String,
    /// Where the terminal's master end goes.
    pub console_socket: Option<PathBuf>,
    /// Where the container's pid goes.
    pub pid_file: Option<PathBuf>,
    /// Keep writes to the root in memory.
    pub overlay: bool,
    /// Whether the caller's own terminal may be the container's.
    pub in_foreground: bool,
}

/// A container that was just created.
#[derive(Debug)]
pub struct Created {
    /// Its state directory, locked.
    pub container: Container,
    /// What is remembered of it.
    pub record: Record,
    /// Its stand-in, a child of this process.
    pub stand_in: Child,
    /// Whether its terminal is the caller's.
    pub has_callers_terminal: bool,
}

/// Creates the container.
///
/// # Errors
/// Why it cannot be; nothing of it remains then.
pub fn create(launch: &Launch<'_>, options: &Options) -> Result<Created> {
    let context = launch.context;
    let bundle = Bundle::load(&options.bundle)?;
    let bundle_options = BundleOptions { overlay: options.overlay, waits_for_start: true };
    let mut plan = bundle.plan(options.id.clone(), bundle_options)?;
    let sandbox = match bundle.pod_role()? {
        PodRole::Container(id) => Some(join::find(context, &id)?),
        PodRole::Sandbox | PodRole::None => None,
    };
    match &sandbox {
        None => namespaces::check(bundle.spec())?,
        Some(sandbox) => {
            namespaces::check_shared(bundle.spec(), sandbox.record.stand_in.pid)?;
            join::check(&plan)?;
        }
    }
    own_user::map(&mut plan.container);
    for name in bundle.ignored() {
        context.log.information(format_args!("config.json: {name} has no effect"));
    }
    check_terminal(&plan, options)?;
    let container = context.root.create(&options.id)?;
    let made = make(launch, options, (&bundle, sandbox.as_ref()), &mut plan, &container);
    match made {
        Ok((record, stand_in, has_callers_terminal)) => {
            Ok(Created { container, record, stand_in: stand_in.into_child(), has_callers_terminal })
        }
        Err(failure) => {
            // What cannot be removed now can be deleted later.
            let _ = container.remove();
            Err(failure)
        }
    }
}

/// The command.
///
/// # Errors
/// As [`create`].
pub fn run(launch: &Launch<'_>, options: &Options) -> Result<()> {
    create(launch, options).map(|_| ())
}

fn check_terminal(plan: &LaunchPlan, options: &Options) -> Result<()> {
    let has_terminal = plan.container.process.terminal;
    let problem = match (&options.console_socket, has_terminal) {
        (Some(_), false) => "cannot use console socket if the container has no terminal",
        (None, true) if !options.in_foreground => {
            "cannot allocate tty if it will detach without setting console socket"
        }
        (None, true) if !terminal::is_interactive() => {
            "config.json: process.terminal is true but there is no terminal"
        }
        _ => return Ok(()),
    };
    Err(Failure::new(problem, "run it from a terminal, or set process.terminal to false"))
}

fn make(
    launch: &Launch<'_>,
    options: &Options,
    (bundle, sandbox): (&Bundle, Option<&Sandbox>),
    plan: &mut LaunchPlan,
    container: &Container,
) -> Result<(Record, StandIn, bool)> {
    let process = &mut plan.container.process;
    let has_callers_terminal = process.terminal && options.console_socket.is_none();
    if has_callers_terminal {
        process.terminal_size = process.terminal_size.or_else(terminal::size);
    }
    let streams = streams(process.terminal, process.terminal_size, options)?;
    let place = match sandbox {
        None => Place::Own,
        Some(sandbox) => Place::Sandbox(sandbox, join::own_streams(&streams.descriptors)?),
    };
    let stand_in = stand_in::spawn(Role::Container, &options.id, streams)?;
    let completed = complete(launch, options, (bundle, &place), plan, container, &stand_in);
    drop(place);
    match completed {
        Ok(record) => Ok((record, stand_in, has_callers_terminal)),
        Err(failure) => {
            stand_in.kill();
            if let Some(cgroup) = cgroup(bundle.spec(), launch, &options.id) {
                // The failure that is told is the first one.
                let _ = cgroup.remove();
            }
            Err(failure)
        }
    }
}

/// Where a container is made.
enum Place<'a> {
    /// In a sandbox of its own.
    Own,
    /// In another container's, with these standard streams.
    Sandbox(&'a Sandbox, [OwnedFd; 3]),
}

/// From a stand-in to a container.
fn complete(
    launch: &Launch<'_>,
    options: &Options,
    (bundle, place): (&Bundle, &Place<'_>),
    plan: &LaunchPlan,
    container: &Container,
    stand_in: &StandIn,
) -> Result<Record> {
    let mut record = record(launch, bundle, options, stand_in)?;
    record.process = start_hooks::process_of(&plan.container, record.hooks.as_ref());
    // From now on a killed command leaves something that can be deleted.
    container.write_record(&record)?;
    if let Some(failure) = record
        .cgroup
        .as_ref()
        .and_then(|cgroup| enter_cgroup(cgroup, resources(bundle.spec()), stand_in).err())
    {
        if !launch.is_rootless {
            return Err(failure);
        }
        launch.context.log.warning(format_args!("no control group for the container: {failure}"));
        record.cgroup = None;
    }
    namespaces::enter_network(launch, bundle.spec(), stand_in)?;
    if let Some(all) = &bundle.spec().hooks {
        // They put something into the network.
        stand_in.answers()?;
        let state = state_json(&record, Status::Creating).to_string();
        // Deprecated, but what Docker uses.
        #[allow(deprecated, reason = "the specification keeps it for such users")]
        hooks::run("prestart", all.prestart().as_ref(), &state)?;
        hooks::run("createRuntime", all.create_runtime().as_ref(), &state)?;
        hooks::run("createContainer", all.create_container().as_ref(), &state)?;
    }
    tell_root(bundle, plan, stand_in);
    match place {
        Place::Own => {
            boot(launch, plan, container, stand_in, resources(bundle.spec()))?;
            namespaces::tell_network(launch, bundle.spec(), stand_in.id());
        }
        Place::Sandbox(sandbox, streams) => sandbox.join(plan, container, stand_in, streams)?,
    }
    record.is_created = true;
    container.write_record(&record)?;
    if let Some(path) = &options.pid_file {
        write_pid_file(path, stand_in.id())?;
    }
    Ok(record)
}

/// Tells the stand-in which tree of the host is the container's root.
fn tell_root(bundle: &Bundle, plan: &LaunchPlan, stand_in: &StandIn) {
    let read_only = plan.container.root.writes != RootWrites::Through;
    if let Ok(root) = gofer::open_root(&bundle.root_path(), read_only, true)
        && root.detached
    {
        // One that has ended does not take the next order either, which tells.
        let _ = stand_in.channel().send(&Order::Root, &[root.descriptor.as_fd()]);
    }
}

fn enter_cgroup(
    cgroup: &Cgroup,
    resources: Option<&LinuxResources>,
    stand_in: &StandIn,
) -> Result<()> {
    cgroup.add(stand_in.id())?;
    resources.map_or(Ok(()), |resources| cgroup.limit(resources))
}

/// Has the stand-in start the sandbox process and that make the container.
fn boot(
    launch: &Launch<'_>,
    plan: &LaunchPlan,
    container: &Container,
    stand_in: &StandIn,
    resources: Option<&LinuxResources>,
) -> Result<()> {
    let failed = |error: rustix::io::Errno| {
        Failure::new(
            format_args!("cannot make the control socket: {error}"),
            "check the limit of open files (ulimit -n) and the state directory",
        )
    };
    let listener = control_socket::bind(container.directory()).map_err(failed)?;
    let (channel, remote) = Channel::pair().map_err(failed)?;
    stand_in.order(&Order::StartSandbox, &[remote.as_fd()])?;
    drop(remote);
    let log = &launch.context.log;
    let settings = sized(launch, resources);
    // It finds all that it needs when it starts.
    let told = service::instruct(&channel, plan.clone(), &settings, log, listener.as_fd());
    stand_in.answers()?;
    told?;
    service::await_created(&channel)
}

/// The sandbox's size: if flags do not say how many executors, the container's limit does, so that
/// it can be seen inside.
fn sized(launch: &Launch<'_>, resources: Option<&LinuxResources>) -> Settings {
    let mut settings = launch.settings;
    let processor = resources.and_then(|all| all.cpu().as_ref());
    let quota = processor.and_then(|cpu| u64::try_from(cpu.quota()?).ok()).filter(|&it| it > 0);
    let period = processor.and_then(|cpu| cpu.period()).filter(|&period| period > 0);
    if let Some(quota) = quota
        && !launch.has_executors
    {
        let processors = quota.div_ceil(period.unwrap_or(DEFAULT_PERIOD_MICROSECONDS));
        let processors = u16::try_from(processors).unwrap_or(u16::MAX).max(1);
        settings.executors = settings.executors.min(processors);
    }
    settings
}

fn streams(has_terminal: bool, size: Option<(u16, u16)>, options: &Options) -> Result<Streams> {
    let failed =
        |error: io::Error| Failure::new(error, "check the limit of open files (ulimit -n)");
    if let Some(socket) = &options.console_socket {
        let terminal = offer_terminal(socket, size)?;
        let copy = || terminal.try_clone().map_err(failed);
        let descriptors = [copy()?, copy()?, copy()?];
        return Ok(Streams { descriptors, has_terminal, controls: true });
    }
    let own = || -> io::Result<[OwnedFd; 3]> {
        Ok([
            io::stdin().as_fd().try_clone_to_owned()?,
            io::stdout().as_fd().try_clone_to_owned()?,
            io::stderr().as_fd().try_clone_to_owned()?,
        ])
    };
    Ok(Streams { descriptors: own().map_err(failed)?, has_terminal, controls: false })
}

fn record(
    launch: &Launch<'_>,
    bundle: &Bundle,
    options: &Options,
    stand_in: &StandIn,
) -> Result<Record> {
    let stand_in = ProcessIdentity::of(stand_in.id()).ok_or_else(|| {
        Failure::new("the container's process ended at once", "see the host's log")
    })?;
    Ok(Record {
        id: options.id.clone(),
        bundle: bundle.directory().to_owned(),
        rootfs: bundle.root_path(),
        stand_in,
        is_created: false,
        created: rfc3339(SystemTime::now()),
        owner: owner(),
        annotations: bundle.spec().annotations.clone().unwrap_or_default(),
        hooks: bundle.spec().hooks.clone(),
        process: None,
        cgroup: cgroup(bundle.spec(), launch, &options.id),
    })
}

/// The control group that config.json names.
fn cgroup(spec: &Spec, launch: &Launch<'_>, id: &str) -> Option<Cgroup> {
    let path = spec.linux.as_ref()?.cgroups_path().as_ref()?;
    Some(Cgroup::new(path, launch.systemd_cgroup, id))
}

fn resources(spec: &Spec) -> Option<&LinuxResources> {
    spec.linux.as_ref()?.resources().as_ref()
}

/// The user's name in /etc/passwd, else the number.
fn owner() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or(uid)
}
