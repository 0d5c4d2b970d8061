//! A process that no process of the container forks: the first one, and those that the host starts
//! later.

use alloc::{format, string::String, sync::Arc, vec, vec::Vec};

use guest_abi::container::ProcessSpec;

use super::{StartFailure, environment};
use crate::{
    drivers::Console,
    errno::Errno,
    kernel::{
        Container, Credentials, Current, Kernel, Limit, Limits, Resource, WaitStatus,
        clone::{self, FirstTask},
        exit,
    },
    loader,
    mm::Mm,
    platform::UserContext,
    seccomp::{Filter, Filters, Instruction, Program},
    tty::{self, WindowSize},
    vfs::{
        Caller, FdTable, File, FsContext, Namespace, OpenFile, OpenFlags, Path, WalkContext,
        WalkFlags, operations, walk,
    },
};

type Result<T> = core::result::Result<T, StartFailure>;

/// Umask of a container that does not say.
const DEFAULT_UMASK: u32 = 0o022;

/// A new process, about to execute its first instruction.
pub struct NewProcess {
    /// Its only task.
    pub current: Current,
    /// Its terminal, if it has one.
    pub terminal: Option<Arc<tty::Terminal>>,
}

/// Mounts the file systems of `container` and makes its first process.
pub async fn first(
    kernel: &Arc<Kernel>,
    container: &Arc<Container>,
    console: &Arc<Console>,
) -> Result<NewProcess> {
    load_call_filter(container)?;
    let namespace = crate::vfs::boot::mount(kernel, container).await?;
    container.set_mounts(Some(namespace.clone()));
    let place = Place { container, namespace, register: clone::first_task, makes_directory: true };
    let first = make(kernel, place, &container.spec.process, console).await?;
    if let Some(terminal) = &first.terminal {
        container.terminals.console.call_once(|| terminal.clone());
    }
    Ok(first)
}

/// Where a process belongs.
struct Place<'a> {
    container: &'a Arc<Container>,
    namespace: Arc<Namespace>,
    /// Puts its first task into the table.
    register: fn(&Arc<Kernel>, FirstTask) -> crate::errno::Result<Current>,
    /// Whether a missing working directory is made, as for the first process of a container.
    makes_directory: bool,
}

/// Loads the filter of system calls that every process from outside gets.
fn load_call_filter(container: &Container) -> Result<()> {
    let Some(spec) = &container.spec.seccomp else { return Ok(()) };
    let failed = |errno| StartFailure::new("cannot load the seccomp filter", errno);
    let code: Vec<_> = spec.program.iter().copied().map(Instruction::from_bits).collect();
    let program = Program::new(&code).map_err(failed)?;
    let filter = Filter { program, logs: spec.logs };
    let filters = Arc::new(Filters::default().with(filter).map_err(failed)?);
    container.call_filters.call_once(|| filters);
    Ok(())
}

/// Makes a process beside those that `container` has.
pub async fn joining(
    kernel: &Arc<Kernel>,
    container: &Arc<Container>,
    spec: &ProcessSpec,
    console: &Arc<Console>,
) -> Result<NewProcess> {
    let namespace = container
        .mounts()
        .ok_or_else(|| StartFailure::new("the container is not prepared yet", Errno::ESRCH))?;
    let place =
        Place { container, namespace, register: clone::joining_task, makes_directory: false };
    make(kernel, place, spec, console).await
}

async fn make(
    kernel: &Arc<Kernel>,
    place: Place<'_>,
    spec: &ProcessSpec,
    console: &Arc<Console>,
) -> Result<NewProcess> {
    let Place { container, namespace, register, makes_directory } = place;
    let fs = fs_context(kernel, namespace, spec, makes_directory).await?;
    let mm = Mm::new(kernel.platform.clone(), kernel.frames.clone(), kernel.random.next_u64())
        .map_err(|errno| StartFailure::new("cannot make an address space", errno))?;
    let first = FirstTask {
        container: container.clone(),
        mm,
        files: FdTable::new(),
        fs,
        context: UserContext::new(kernel.platform.extended_state_size()),
        credentials: Arc::new(credentials(spec)),
        limits: limits(spec)?,
        call_filters: container.call_filters.get().cloned(),
    };
    let current = register(kernel, first)
        .map_err(|errno| StartFailure::new("cannot make the process", errno))?;
    schedule(&current, spec);
    let mut new = NewProcess { current, terminal: None };
    match complete(&mut new, spec, console).await {
        Ok(()) => Ok(new),
        Err(failure) if !kernel.ends_with(new.current.process()) => {
            new.current.ending = Some(WaitStatus::exited(0));
            exit::exit(new.current).await;
            Err(failure)
        }
        // Without a first process there is no container whose end would have to be seen.
        Err(failure) => Err(failure),
    }
}

/// Gives `new` its streams and its program.
async fn complete(new: &mut NewProcess, spec: &ProcessSpec, console: &Arc<Console>) -> Result<()> {
    new.terminal = open_standard_streams(&new.current, spec, console).await?;
    execute(&mut new.current, spec).await
}

fn credentials(spec: &ProcessSpec) -> Credentials {
    let mut credentials =
        Credentials::new(spec.uid, spec.gid, &spec.additional_gids, spec.capabilities);
    credentials.no_new_privileges = spec.no_new_privileges;
    credentials
}

/// Gives the process the scheduling it asks for, and what it is worth when memory runs out.
fn schedule(current: &Current, spec: &ProcessSpec) {
    if let Some(adjustment) = spec.oom_adjustment {
        // The VMM has checked the range.
        let _ = current.process().oom.set(adjustment, true);
    }
    let mut scheduling = current.task.scheduling.lock();
    if let Some(priority) = spec.io_priority {
        scheduling.io_priority = priority;
    }
    if let Some(wanted) = spec.scheduling {
        scheduling.policy = wanted.policy;
        scheduling.priority = wanted.priority;
        scheduling.nice = wanted.nice;
        scheduling.reset_on_fork = wanted.reset_on_fork;
    }
}

fn limits(spec: &ProcessSpec) -> Result<Limits> {
    let mut limits = Limits::default();
    for limit in &spec.rlimits {
        let resource = Resource::from_number(limit.resource)
            .map_err(|errno| StartFailure::new("unknown resource limit", errno))?;
        limits.set(resource, Limit { soft: limit.soft, hard: limit.hard });
    }
    Ok(limits)
}

/// Root and working directory; if `makes_directory`, the latter is made if it is missing.
async fn fs_context(
    kernel: &Arc<Kernel>,
    namespace: Arc<Namespace>,
    spec: &ProcessSpec,
    makes_directory: bool,
) -> Result<Arc<FsContext>> {
    let umask = u16::try_from(spec.umask.unwrap_or(DEFAULT_UMASK) & 0o777).unwrap_or(0);
    let fs = FsContext::new(namespace, umask);
    let name = spec.working_directory.as_bytes();
    if !name.is_empty() {
        let found = working_directory(kernel, &fs, name, makes_directory).await;
        let directory = found.map_err(|errno| {
            let name = &spec.working_directory;
            StartFailure::new(format!("chdir to cwd (\"{name}\")"), errno)
        })?;
        fs.set_working_directory(directory);
    }
    Ok(fs)
}

async fn working_directory(
    kernel: &Arc<Kernel>,
    fs: &FsContext,
    name: &[u8],
    is_made: bool,
) -> crate::errno::Result<Path> {
    let credentials = Credentials::kernel();
    let root = fs.root();
    let context = WalkContext::of_kernel(kernel, &credentials, &root);
    let flags = WalkFlags::FOLLOW | WalkFlags::DIRECTORY;
    if !is_made {
        return walk(&context, &root, name, flags).await;
    }
    for (end, _) in name.iter().enumerate().filter(|(_, byte)| **byte == b'/').skip(1) {
        let parent = name.get(..end).unwrap_or_default();
        ignore_existing(operations::make_directory(&context, &root, parent, 0o755).await)?;
    }
    if walk(&context, &root, name, flags).await == Err(Errno::ENOENT) {
        operations::make_directory(&context, &root, name, 0o755).await?;
    }
    walk(&context, &root, name, flags).await
}

fn ignore_existing<T>(outcome: crate::errno::Result<T>) -> crate::errno::Result<()> {
    match outcome {
        Ok(_) | Err(Errno::EEXIST | Errno::EROFS | Errno::EISDIR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Opens descriptors 0, 1 and 2: the terminal, which becomes the controlling one, or the console's
/// byte streams.
async fn open_standard_streams(
    current: &Current,
    spec: &ProcessSpec,
    console: &Arc<Console>,
) -> Result<Option<Arc<tty::Terminal>>> {
    let failed = |errno| StartFailure::new("cannot open the standard streams", errno);
    let mut terminal = None;
    let streams: [Arc<OpenFile>; 3] = if spec.terminal {
        let (rows, columns) = spec.terminal_size.unwrap_or_default();
        let window = WindowSize { rows, columns, ..WindowSize::default() };
        let ptys = &current.container().terminals.ptys;
        let attached = tty::console::attach(&current.kernel, ptys, console, window, spec.uid);
        let own = attached.map_err(failed)?;
        let file = open_terminal(current, &own).await.map_err(failed)?;
        terminal = Some(own.terminal);
        [file.clone(), file.clone(), file]
    } else {
        let open = |file: Arc<dyn File>, flags| OpenFile::new(file, None, flags);
        [
            open(console.input().clone(), OpenFlags::empty()),
            open(console.output().clone(), OpenFlags::WRITE_ONLY),
            open(console.error().clone(), OpenFlags::WRITE_ONLY),
        ]
    };
    let limit = current.process().limit(Resource::OpenFiles).soft;
    for stream in streams {
        current.files.install(stream, false, limit).map_err(failed)?;
    }
    Ok(terminal)
}

async fn open_terminal(
    current: &Current,
    own: &tty::console::Attached,
) -> crate::errno::Result<Arc<OpenFile>> {
    let credentials = current.credentials();
    let caller =
        Caller { kernel: &current.kernel, task: Some(&current.task), credentials: &credentials };
    let file = tty::TerminalFile::open(own.terminal.clone(), caller, OpenFlags::READ_WRITE)?;
    let root = current.fs.root();
    let credentials = Credentials::kernel();
    let context = WalkContext::of_kernel(&current.kernel, &credentials, &root);
    // A container without /dev/pts has no name for its terminal.
    let name = format!("/dev/pts/{}", own.number);
    let path = walk(&context, &root, name.as_bytes(), WalkFlags::FOLLOW).await.ok();
    Ok(OpenFile::new(file, path, OpenFlags::READ_WRITE))
}

/// Finds the program and loads it.
async fn execute(current: &mut Current, spec: &ProcessSpec) -> Result<()> {
    let program = spec.program.as_ref().or(spec.arguments.first()).map_or("", String::as_str);
    let failed = |errno| StartFailure::new(format!("exec: \"{program}\""), errno);
    let environment = complete_environment(current, spec).await;
    let (file, name) = find_program(current, &environment, program).await?;
    let bytes = |list: &[String]| -> Vec<Vec<u8>> {
        list.iter().map(|string| string.as_bytes().to_vec()).collect()
    };
    let (arguments, environment) = (bytes(&spec.arguments), bytes(&environment));
    current.execute(file, name.into_bytes(), arguments, environment).await.map_err(failed)
}

/// Opens the first candidate that is a program. As execvp(3), a file that may not be executed does
/// not end the search, but is what the search fails with.
async fn find_program(
    current: &Current,
    environment: &[String],
    program: &str,
) -> Result<(Arc<OpenFile>, String)> {
    let credentials = current.credentials();
    let (root, directory) = (current.fs.root(), current.fs.working_directory());
    let context = WalkContext {
        caller: Caller {
            kernel: &current.kernel,
            task: Some(&current.task),
            credentials: &credentials,
        },
        root: &root,
        umask: 0,
    };
    let mut error = Errno::ENOENT;
    for candidate in environment::candidates(environment, program) {
        match loader::open_program(&context, &directory, candidate.as_bytes()).await {
            Ok(file) => return Ok((file, candidate)),
            Err(Errno::ENOENT | Errno::ENOTDIR) if !program.contains('/') => {}
            Err(errno) => error = errno,
        }
    }
    let cause = if error == Errno::ENOENT && !program.contains('/') {
        format!("exec: \"{program}\": executable file not found in $PATH")
    } else {
        format!("exec: \"{program}\"")
    };
    Err(StartFailure::new(cause, error))
}

/// The environment of the specification, with HOME as the user table says if it is missing.
async fn complete_environment(current: &Current, spec: &ProcessSpec) -> Vec<String> {
    let mut complete = spec.environment.clone();
    if environment::value(&complete, "HOME").is_none() {
        let passwd = read_user_table(current).await.unwrap_or_default();
        let home = environment::home_directory(&passwd, spec.uid).unwrap_or("/");
        complete.push(format!("HOME={home}"));
    }
    complete
}

async fn read_user_table(current: &Current) -> crate::errno::Result<String> {
    const MAX_SIZE: usize = 1 << 20;
    let credentials = Credentials::kernel();
    let root = current.fs.root();
    let context = WalkContext::of_kernel(&current.kernel, &credentials, &root);
    let flags = OpenFlags::empty();
    let file = operations::open_regular(&context, &root, b"/etc/passwd", flags).await?;
    let mut bytes = vec![0; MAX_SIZE];
    let length = loader::read_file(&current.kernel, &file, 0, &mut bytes).await?;
    bytes.truncate(length);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
