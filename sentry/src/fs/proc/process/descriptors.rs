//! fd and fdinfo.

use alloc::{format, string::ToString, sync::Arc, vec::Vec};

use super::{ProcessSubject, name_of};
use crate::{
    errno::{Errno, Result},
    fs::{
        epoll::Epoll,
        event_fd::EventFd,
        pid_fd::PidFd,
        pseudo::{Child, Children, Entry, Node, Subject},
        signal_fd::SignalFd,
    },
    kernel::Kernel,
    syscalls::FileDescriptor,
    vfs::{Caller, FdTable, FileKind, Inode, OpenFile, Path, place_of_open_file},
};

/// One descriptor of a process.
#[derive(Clone)]
struct DescriptorSubject {
    process: ProcessSubject,
    descriptor: FileDescriptor,
}

impl Subject for DescriptorSubject {
    fn owner(&self) -> (u32, u32) {
        self.process.owner()
    }

    fn check_access(&self, caller: Caller<'_>) -> Result<()> {
        self.process.check_access(caller)
    }
}

impl DescriptorSubject {
    fn open(&self) -> Result<Arc<OpenFile>> {
        files(&self.process)?.get_any(self.descriptor).map_err(|_| Errno::ENOENT)
    }
}

fn files(subject: &ProcessSubject) -> Result<Arc<FdTable>> {
    subject.task()?.files().ok_or(Errno::ESRCH)
}

/// /proc/PID/fd.
pub(super) const DIRECTORY: Entry<ProcessSubject> = Entry::<ProcessSubject>::growing_directory(
    "fd",
    &[],
    Children {
        list: |subject, _| list(subject, FileKind::SymbolicLink),
        find: |node, name| find(node, name, &LINK),
    },
)
.with_permissions(0o500)
.private();

/// /proc/PID/fdinfo.
pub(super) const INFORMATION: Entry<ProcessSubject> = Entry::<ProcessSubject>::growing_directory(
    "fdinfo",
    &[],
    Children {
        list: |subject, _| list(subject, FileKind::Regular),
        find: |node, name| find(node, name, &FACTS),
    },
)
.with_permissions(0o500)
.private();

const LINK: Entry<DescriptorSubject> = Entry::magic_link("", target, follow).private();

const FACTS: Entry<DescriptorSubject> = Entry::file("", facts).private();

fn list(subject: &ProcessSubject, kind: FileKind) -> Vec<Child> {
    let descriptors = files(subject).map(|files| files.descriptors()).unwrap_or_default();
    let child = |descriptor: FileDescriptor| {
        let key = descriptor.0.unsigned_abs();
        Child { key, name: key.to_string().into_bytes(), kind }
    };
    descriptors.into_iter().map(child).collect()
}

fn find(
    node: &Node<ProcessSubject>,
    name: &[u8],
    entry: &'static Entry<DescriptorSubject>,
) -> Result<Arc<dyn Inode>> {
    let number = crate::fs::proc::number(name)?;
    let descriptor = FileDescriptor(i32::try_from(number).map_err(|_| Errno::ENOENT)?);
    let subject = DescriptorSubject { process: node.subject().clone(), descriptor };
    subject.open()?;
    Ok(node.child(name, subject, entry))
}

fn target(subject: &DescriptorSubject, caller: Caller<'_>) -> Result<Vec<u8>> {
    let open = subject.open()?;
    match &open.path {
        Some(path) => name_of(path, caller),
        None => Ok(open.file.anonymous().link().into_bytes()),
    }
}

fn follow(subject: &DescriptorSubject, caller: Caller<'_>) -> Result<Path> {
    Ok(place_of_open_file(caller.kernel, &subject.open()?))
}

/// /proc/PID/fdinfo/N (proc_pid_fdinfo(5)).
fn facts(subject: &DescriptorSubject, _kernel: &Arc<Kernel>) -> Result<Vec<u8>> {
    let open = subject.open()?;
    let position = *open.offset().lock();
    let mount = open.path.as_ref().map_or(0, |path| path.mount.id);
    let flags = open.flags().bits();
    let mut text = format!("pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\n");
    if let Some(event) = open.downcast::<EventFd>() {
        text += &format!("eventfd-count: {:16x}\n", event.count());
    }
    if let Some(signals) = open.downcast::<SignalFd>() {
        text += &format!("sigmask:\t{:016x}\n", signals.signals().0);
    }
    if let Some(file) = open.downcast::<PidFd>() {
        let process = file.process();
        let known = process.table().process(process.pid());
        let is_known = known.is_some_and(|known| Arc::ptr_eq(&known, process));
        let pid = if is_known { i64::from(process.pid()) } else { -1 };
        text += &format!("Pid:\t{pid}\nNSpid:\t{pid}\n");
    }
    for (descriptor, event) in open.downcast::<Epoll>().map(Epoll::watched).unwrap_or_default() {
        let (number, events, data) = (descriptor.0, event.events, event.data);
        text += &format!("tfd: {number:8} events: {events:8x} data: {data:16x}\n");
    }
    Ok(text.into_bytes())
}
