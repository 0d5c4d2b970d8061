//! /proc/PID (proc_pid(5)).

mod descriptors;
mod maps;
mod mounts;
mod namespaces;
mod numbers;
mod out_of_memory;
mod status;
mod strings;
mod user_namespace;

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;

use crate::{
    errno::{Errno, Result},
    fs::pseudo::{Child, Children, Entry, Node, Subject},
    kernel::{Kernel, Process, Resource, Task},
    mm::Mm,
    vfs::{Caller, FsContext, Inode, Path},
};

/// A process, and the thread that stands for it.
#[derive(Clone)]
pub(super) struct ProcessSubject {
    process: Arc<Process>,
    /// `None` for a zombie.
    task: Option<Arc<Task>>,
}

impl ProcessSubject {
    /// The process as a whole, for which its oldest thread stands.
    pub fn of(process: Arc<Process>) -> Self {
        let task = process.first_thread();
        Self { process, task }
    }

    /// The thread that stands for it.
    ///
    /// # Errors
    /// ESRCH for a zombie.
    fn task(&self) -> Result<&Arc<Task>> {
        self.task.as_ref().ok_or(Errno::ESRCH)
    }

    /// Its address space.
    ///
    /// # Errors
    /// ESRCH for a zombie.
    fn mm(&self) -> Result<Arc<Mm>> {
        self.task()?.mm().ok_or(Errno::ESRCH)
    }

    /// Its root and working directory.
    ///
    /// # Errors
    /// ENOENT for a zombie.
    fn fs(&self) -> Result<Arc<FsContext>> {
        self.task.as_ref().and_then(|task| task.fs()).ok_or(Errno::ENOENT)
    }
}

impl Subject for ProcessSubject {
    fn owner(&self) -> (u32, u32) {
        let Some(task) = self.task.as_ref().filter(|_| self.process.is_dumpable()) else {
            return (0, 0);
        };
        let credentials = task.credentials();
        (credentials.effective_uid, credentials.effective_gid)
    }

    fn check_access(&self, caller: Caller<'_>) -> Result<()> {
        let own = caller.task.is_some_and(|task| Arc::ptr_eq(&task.process, &self.process));
        let ids = (caller.credentials.fs_uid, caller.credentials.fs_gid);
        if own || self.process.is_open_to(caller.credentials, ids) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }
}

/// /proc/PID.
pub(super) const PROCESS: Entry<ProcessSubject> = Entry::growing_directory(
    "",
    FILES,
    // Only /proc/PID itself has threads, not /proc/PID/task/TID.
    Children {
        list: |_, _| {
            alloc::vec![Child {
                key: 0,
                name: b"task".to_vec(),
                kind: crate::vfs::FileKind::Directory,
            }]
        },
        find: |node, name| match name {
            b"task" => Ok(node.child(name, node.subject().clone(), &THREADS)),
            _ => Err(Errno::ENOENT),
        },
    },
);

const THREADS: Entry<ProcessSubject> =
    Entry::growing_directory("task", &[], Children { list: threads, find: find_thread });

const THREAD: Entry<ProcessSubject> = Entry::directory("", FILES);

fn threads(subject: &ProcessSubject, _kernel: &Arc<Kernel>) -> Vec<Child> {
    subject.process.threads().iter().map(|task| super::directory(task.tid())).collect()
}

fn find_thread(node: &Node<ProcessSubject>, name: &[u8]) -> Result<Arc<dyn Inode>> {
    let tid = super::number(name)?;
    let process = &node.subject().process;
    let task = process.threads().into_iter().find(|task| task.tid() == tid);
    let task = Some(task.ok_or(Errno::ENOENT)?);
    Ok(node.child(name, ProcessSubject { process: process.clone(), task }, &THREAD))
}

const FILES: &[Entry<ProcessSubject>] = &[
    Entry::<ProcessSubject>::late_file("auxv", strings::auxiliary_vector)
        .with_permissions(0o400)
        .private(),
    Entry::text("cgroup", "0::/\n"),
    Entry::late_file("cmdline", strings::command_line),
    Entry::writable(
        "comm",
        |subject, _| comm(subject),
        |subject, _, _, name| rename(subject, name),
    ),
    Entry::<ProcessSubject>::magic_link(
        "cwd",
        |subject, caller| name_of(&subject.fs()?.working_directory(), caller),
        |subject, _| Ok(subject.fs()?.working_directory()),
    )
    .private(),
    Entry::late_file("environ", strings::environment).with_permissions(0o400).private(),
    Entry::<ProcessSubject>::magic_link(
        "exe",
        |subject, caller| name_of(&executable(subject)?, caller),
        |subject, _| executable(subject),
    )
    .private(),
    descriptors::DIRECTORY,
    descriptors::INFORMATION,
    user_namespace::GROUPS,
    Entry::<ProcessSubject>::file("io", |subject, kernel| Ok(numbers::io(subject, kernel)))
        .with_permissions(0o400)
        .private(),
    Entry::file("limits", |subject, _| Ok(limits(subject))),
    Entry::<ProcessSubject>::file("maps", |subject, _| maps::maps(subject)).private(),
    Entry::file("mountinfo", |subject, _| mounts::mountinfo(subject)),
    Entry::file("mounts", |subject, _| mounts::mounts(subject)),
    super::network::DIRECTORY,
    namespaces::DIRECTORY,
    Entry::file("oom_score", |subject, kernel| Ok(out_of_memory::score(subject, kernel))),
    Entry::writable(
        "oom_score_adj",
        |subject, _| Ok(out_of_memory::adjustment(subject)),
        out_of_memory::adjust,
    ),
    Entry::<ProcessSubject>::file("personality", |subject, _| Ok(personality(subject)))
        .with_permissions(0o400)
        .private(),
    Entry::text("projid_map", IDENTITY_MAP),
    Entry::<ProcessSubject>::magic_link(
        "root",
        |subject, caller| name_of(&subject.fs()?.root(), caller),
        |subject, _| Ok(subject.fs()?.root()),
    )
    .private(),
    user_namespace::SETGROUPS,
    Entry::<ProcessSubject>::file("smaps", |subject, _| maps::smaps(subject)).private(),
    Entry::<ProcessSubject>::file("smaps_rollup", |subject, _| maps::smaps_rollup(subject))
        .private(),
    Entry::file("stat", |subject, kernel| Ok(numbers::stat(subject, kernel))),
    Entry::file("statm", |subject, _| Ok(numbers::statm(subject))),
    Entry::seen_file("status", |subject, kernel, reader| {
        Ok(status::status(subject, kernel, reader))
    }),
    Entry::<ProcessSubject>::file("timerslack_ns", |subject, _| timer_slack(subject)).private(),
    user_namespace::USERS,
    Entry::text("wchan", "0"),
];

/// How project ids map: not at all.
const IDENTITY_MAP: &str = "         0          0 4294967295\n";

/// /proc/PID/personality.
fn personality(subject: &ProcessSubject) -> Vec<u8> {
    format!("{:08x}\n", subject.process.personality.load(Ordering::Relaxed)).into_bytes()
}

/// /proc/PID/timerslack_ns.
fn timer_slack(subject: &ProcessSubject) -> Result<Vec<u8>> {
    Ok(format!("{}\n", subject.task()?.scheduling.lock().timer_slack).into_bytes())
}

/// The name of a place as the caller sees it.
fn name_of(path: &Path, caller: Caller<'_>) -> Result<Vec<u8>> {
    let fs = caller.task.and_then(|task| task.fs()).ok_or(Errno::ENOENT)?;
    // What is not below the caller's root is shown from the root of its own tree, as Linux does.
    let name = path.name_from(&fs.root(), true);
    Ok(name.unwrap_or_else(|| path.name_from(&path.root_of_tree(), true).unwrap_or_default()))
}

fn executable(subject: &ProcessSubject) -> Result<Path> {
    subject.process.executable().ok_or(Errno::ENOENT)
}

/// The name of the thread, without its padding.
fn task_name(subject: &ProcessSubject) -> Vec<u8> {
    let padded = subject.task.as_ref().map(|task| task.name()).unwrap_or_default();
    padded.iter().copied().take_while(|byte| *byte != 0).collect()
}

fn comm(subject: &ProcessSubject) -> Result<Vec<u8>> {
    let mut name = task_name(subject);
    name.push(b'\n');
    Ok(name)
}

fn rename(subject: &ProcessSubject, name: &[u8]) -> Result<()> {
    let name = name.strip_suffix(b"\n").unwrap_or(name);
    subject.task()?.set_name(name);
    Ok(())
}

/// Names and units of the limits, in the order of their numbers.
const LIMITS: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

fn limits(subject: &ProcessSubject) -> Vec<u8> {
    let all = subject.process.limits();
    let show = |value: u64| match value {
        u64::MAX => String::from("unlimited"),
        value => format!("{value}"),
    };
    let mut text =
        format!("{:<26}{:<21}{:<21}{:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (number, (name, unit)) in (0..).zip(LIMITS) {
        if let Ok(resource) = Resource::from_number(number) {
            let limit = all.get(resource);
            let (soft, hard) = (show(limit.soft), show(limit.hard));
            text += &format!("{name:<26}{soft:<21}{hard:<21}{unit:<10}\n");
        }
    }
    text.into_bytes()
}
