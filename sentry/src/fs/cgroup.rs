//! The control group of a container (cgroups(7), version 2), as programs look at it to size themselves:
//! its limits, what it uses, its processes. It is the root of all that the container sees, and without
//! children. The host enforces the limits, all but the number of tasks; so they are read-only here.
//!
//! Memory belongs to the sandbox: containers of a pod see all that is used.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use super::{
    proc::memory::Mapped,
    pseudo::{Entry, PseudoFileSystem, Subject, Tree},
};
use crate::{
    kernel::{Container, Kernel, Usage},
    memory::PAGE_SIZE,
    vfs::FileSystem,
};

/// CGROUP2_SUPER_MAGIC.
const MAGIC: u64 = 0x6367_7270;

/// The control group of `container`.
pub fn new(kernel: &Arc<Kernel>, container: &Arc<Container>) -> Arc<dyn FileSystem> {
    let device = kernel.vfs.allocate_device();
    let tree = Tree { kernel: kernel.clone(), device, volatile: false };
    PseudoFileSystem::new("cgroup2", MAGIC, tree, (Group(container.clone()), &ROOT))
}

#[derive(Clone)]
struct Group(Arc<Container>);

impl Subject for Group {}

const ROOT: Entry<Group> = Entry::directory(
    "",
    &[
        Entry::text("cgroup.controllers", "cpu memory pids\n"),
        Entry::file("cgroup.events", |group, _| Ok(events(group))),
        Entry::text("cgroup.max.depth", "max\n"),
        Entry::text("cgroup.max.descendants", "max\n"),
        Entry::file("cgroup.procs", |group, _| Ok(processes(group))),
        Entry::text("cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0\n"),
        Entry::text("cgroup.subtree_control", ""),
        Entry::file("cgroup.threads", |group, _| Ok(threads(group))),
        Entry::text("cgroup.type", "domain\n"),
        Entry::file("cpu.max", |group, _| Ok(processor_limit(group))),
        Entry::file("cpu.stat", |group, kernel| Ok(processor_use(group, kernel))),
        Entry::file("cpu.weight", |Group(group), _| Ok(number(group.limits.processor_weight()))),
        Entry::file("memory.current", |_, kernel| Ok(number(memory_bytes(kernel)))),
        Entry::text("memory.high", "max\n"),
        Entry::text("memory.low", "0\n"),
        Entry::file("memory.max", |Group(group), _| Ok(limit(group.limits.memory_bytes()))),
        Entry::text("memory.min", "0\n"),
        Entry::file("memory.stat", |_, kernel| Ok(memory_use(kernel))),
        Entry::text("memory.swap.current", "0\n"),
        Entry::text("memory.swap.max", "0\n"),
        Entry::file("pids.current", |Group(group), _| Ok(number(group.task_count() as u64))),
        Entry::file("pids.max", |Group(group), _| Ok(limit(group.limits.tasks()))),
    ],
);

fn number(value: u64) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

fn limit_text(value: u64) -> String {
    if value == u64::MAX { "max".to_string() } else { value.to_string() }
}

fn limit(value: u64) -> Vec<u8> {
    format!("{}\n", limit_text(value)).into_bytes()
}

fn events(Group(group): &Group) -> Vec<u8> {
    let populated = u8::from(group.task_count() > 0);
    let frozen = u8::from(group.freezer.is_frozen());
    format!("populated {populated}\nfrozen {frozen}\n").into_bytes()
}

fn lines(ids: impl Iterator<Item = u32>) -> Vec<u8> {
    ids.map(|id| format!("{id}\n")).collect::<String>().into_bytes()
}

fn processes(Group(group): &Group) -> Vec<u8> {
    lines(group.members().iter().map(|process| process.pid()))
}

fn threads(Group(group): &Group) -> Vec<u8> {
    let members = group.members();
    lines(members.iter().flat_map(|process| process.threads()).map(|task| task.tid()))
}

fn processor_limit(Group(group): &Group) -> Vec<u8> {
    let (quota, period) = group.limits.processor_microseconds();
    format!("{} {period}\n", limit_text(quota)).into_bytes()
}

/// What waited-for children used is with their parents, so each process counts once.
fn processor_use(Group(group): &Group, kernel: &Kernel) -> Vec<u8> {
    const MICROSECOND: u64 = 1000;
    let now = kernel.platform.monotonic_nanoseconds();
    let mut used = Usage::default();
    for process in group.members() {
        used.add(&process.usage(now));
        used.add(&process.children_usage());
    }
    let (user, system) =
        (used.user_nanoseconds / MICROSECOND, used.system_nanoseconds / MICROSECOND);
    format!("usage_usec {}\nuser_usec {user}\nsystem_usec {system}\n", user + system).into_bytes()
}

fn bytes(pages: u64) -> u64 {
    pages * PAGE_SIZE as u64
}

fn memory_bytes(kernel: &Kernel) -> u64 {
    let frames = &kernel.frames;
    bytes(frames.total_frames().saturating_sub(frames.free_frames()) as u64)
}

/// Pages of files that nobody needs are what Linux calls inactive: tools subtract them.
fn memory_use(kernel: &Kernel) -> Vec<u8> {
    let mapped = Mapped::new(kernel);
    let cached = bytes(kernel.frames.reclaimable_frames() as u64);
    format!(
        "anon {}\nfile {cached}\npagetables {}\nfile_mapped {}\ninactive_file {cached}\n",
        bytes(mapped.private),
        bytes(mapped.tables),
        bytes(mapped.file),
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use guest_abi::container::Limits;

    use super::*;
    use crate::{
        fs::testing::{Sink, kernel, poll_once},
        kernel::Credentials,
        vfs::{Caller, OpenFlags},
    };

    fn read(kernel: &Arc<Kernel>, name: &str) -> String {
        let root = new(kernel, &kernel.containers.sandbox).root();
        let inode = poll_once(root.lookup(name.as_bytes())).unwrap().unwrap();
        let credentials = Credentials::kernel();
        let caller = Caller { kernel, task: None, credentials: &credentials };
        let file = poll_once(inode.open(caller, OpenFlags::empty())).unwrap().unwrap();
        let mut sink = Sink::new(4096);
        file.try_read(0, &mut sink).unwrap();
        String::from_utf8(sink.bytes).unwrap()
    }

    #[test]
    fn limits_are_shown_and_change() {
        let (kernel, _) = kernel();
        let read = |name| read(&kernel, name);
        assert_eq!(read("memory.max") + &read("pids.max"), "max\nmax\n");
        assert_eq!(read("cpu.max") + &read("cpu.weight"), "max 100000\n100\n");
        let limits = &kernel.containers.sandbox.limits;
        limits.change(&Limits {
            tasks: Some(7),
            memory_bytes: Some(1 << 20),
            processor_quota_microseconds: Some(50_000),
            ..Limits::default()
        });
        limits.change(&Limits { tasks: Some(u64::MAX), ..Limits::default() });
        assert_eq!(read("memory.max") + &read("pids.max"), "1048576\nmax\n");
        assert_eq!(read("cpu.max"), "50000 100000\n");
    }

    #[test]
    fn use_is_shown() {
        let (kernel, _) = kernel();
        assert_eq!(read(&kernel, "cgroup.procs"), "");
        assert_eq!(read(&kernel, "cgroup.events"), "populated 0\nfrozen 0\n");
        assert_eq!(read(&kernel, "cpu.stat"), "usage_usec 0\nuser_usec 0\nsystem_usec 0\n");
        assert!(read(&kernel, "memory.stat").contains("\ninactive_file 0\n"));
        assert_eq!(read(&kernel, "pids.current"), "0\n");
    }
}
