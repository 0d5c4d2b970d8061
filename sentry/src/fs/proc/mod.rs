//! proc (proc(5)). See README.md.

mod cpuinfo;
mod ipc;
pub mod memory;
mod network;
mod process;
mod settings;
mod sysctl;
mod system;

use alloc::{string::ToString, sync::Arc, vec::Vec};

use crate::{
    errno::{Errno, Result},
    fs::pseudo::{Child, Children, Entry, Node, PseudoFileSystem, Subject, Tree},
    kernel::{Container, Kernel},
    vfs::{Caller, FileKind, FileSystem, Inode},
};
use process::{PROCESS, ProcessSubject};
pub use settings::set as set_setting;

/// PROC_SUPER_MAGIC.
const MAGIC: u64 = 0x9fa0;

/// A container, as its proc file systems show it.
#[derive(Clone)]
pub(super) struct Shown(Arc<Container>);

impl Subject for Shown {}

/// A proc file system that shows the namespaces of `container`.
pub fn new(kernel: &Arc<Kernel>, container: &Arc<Container>) -> Arc<dyn FileSystem> {
    let device = kernel.vfs.allocate_device();
    let tree = Tree { kernel: kernel.clone(), device, volatile: true };
    PseudoFileSystem::new("proc", MAGIC, tree, (Shown(container.clone()), &ROOT))
}

const ROOT: Entry<Shown> = Entry::growing_directory(
    "",
    &[
        Entry::link("self", |_, caller| own_directory(caller)),
        Entry::link("thread-self", |_, caller| own_task_directory(caller)),
        Entry::link("mounts", |_, _| Ok(b"self/mounts".to_vec())),
        Entry::link("net", |_, _| Ok(b"self/net".to_vec())),
        Entry::text("cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"),
        Entry::text("cmdline", "\n"),
        Entry::file("cpuinfo", |_, kernel| Ok(cpuinfo::cpuinfo(kernel))),
        Entry::text("devices", system::DEVICES),
        Entry::text("filesystems", system::FILE_SYSTEMS),
        Entry::file("loadavg", |shown, kernel| Ok(system::loadavg(shown, kernel))),
        Entry::file("meminfo", |_, kernel| Ok(memory::meminfo(kernel))),
        Entry::text("partitions", "major minor  #blocks  name\n\n"),
        Entry::file("stat", |shown, kernel| Ok(system::stat(shown, kernel))),
        Entry::text("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
        sysctl::DIRECTORY,
        ipc::DIRECTORY,
        Entry::file("uptime", |_, kernel| Ok(system::uptime(kernel))),
        Entry::file("version", |_, _| Ok(system::version())),
        Entry::file("vmstat", |_, kernel| Ok(memory::vmstat(kernel))),
    ],
    Children { list: processes, find: find_process },
);

fn own_directory(caller: Caller<'_>) -> Result<Vec<u8>> {
    let task = caller.task.ok_or(Errno::ENOENT)?;
    Ok(task.process.pid().to_string().into_bytes())
}

fn own_task_directory(caller: Caller<'_>) -> Result<Vec<u8>> {
    let task = caller.task.ok_or(Errno::ENOENT)?;
    Ok(alloc::format!("{}/task/{}", task.process.pid(), task.tid()).into_bytes())
}

fn processes(Shown(container): &Shown, _kernel: &Arc<Kernel>) -> Vec<Child> {
    let all = container.processes.processes();
    all.iter().map(|process| directory(process.pid())).collect()
}

fn directory(id: u32) -> Child {
    Child { key: id, name: id.to_string().into_bytes(), kind: FileKind::Directory }
}

/// /proc/PID; also that of a thread which is not listed, as in Linux.
fn find_process(node: &Node<Shown>, name: &[u8]) -> Result<Arc<dyn Inode>> {
    let id = number(name)?;
    let Shown(container) = node.subject();
    let processes = &container.processes;
    let process = processes.process(id);
    let subject = match process {
        Some(process) => ProcessSubject::of(process),
        None => ProcessSubject::of(processes.task(id).ok_or(Errno::ENOENT)?.process.clone()),
    };
    Ok(node.child(name, subject, &PROCESS))
}

/// The number that `name` is the canonical spelling of.
///
/// # Errors
/// ENOENT if it is none.
fn number(name: &[u8]) -> Result<u32> {
    let name = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
    let number: u32 = name.parse().map_err(|_| Errno::ENOENT)?;
    if number.to_string() == name { Ok(number) } else { Err(Errno::ENOENT) }
}

#[cfg(test)]
mod tests;
