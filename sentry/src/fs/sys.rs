//! sysfs (sysfs(5)): the processors, and empty directories where programs look for devices.

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::ops::Range;

use super::pseudo::{Child, Children, Entry, Node, PseudoFileSystem, Subject, Tree};
use crate::{
    errno::{Errno, Result},
    kernel::Kernel,
    vfs::{FileKind, FileSystem, Inode},
};

/// SYSFS_MAGIC.
const MAGIC: u64 = 0x6265_6572;

/// A sysfs of `kernel`.
pub fn new(kernel: &Arc<Kernel>) -> Arc<dyn FileSystem> {
    let device = kernel.vfs.allocate_device();
    let tree = Tree { kernel: kernel.clone(), device, volatile: false };
    PseudoFileSystem::new("sysfs", MAGIC, tree, ((), &ROOT))
}

const ROOT: Entry<()> = Entry::directory(
    "",
    &[
        Entry::directory("block", &[]),
        Entry::directory("bus", &[]),
        Entry::directory("class", &[Entry::directory("net", &[])]),
        Entry::directory("dev", &[]),
        Entry::directory("devices", &[Entry::directory("system", SYSTEM)]),
        Entry::directory("firmware", &[]),
        Entry::directory("fs", &[Entry::directory("cgroup", &[])]),
        Entry::directory(
            "kernel",
            &[Entry::directory(
                "mm",
                &[Entry::directory(
                    "transparent_hugepage",
                    &[
                        Entry::text("enabled", "always madvise [never]\n"),
                        Entry::text("hpage_pmd_size", "2097152\n"),
                    ],
                )],
            )],
        ),
        Entry::directory("module", &[]),
        Entry::directory("power", &[]),
    ],
);

const SYSTEM: &[Entry<()>] = &[
    Entry::growing_directory(
        "cpu",
        &[
            Entry::file("online", |(), kernel| Ok(processors(kernel))),
            Entry::file("possible", |(), kernel| Ok(processors(kernel))),
            Entry::file("present", |(), kernel| Ok(processors(kernel))),
        ],
        Children { list: |(), kernel| list_processors(kernel), find: find_processor },
    ),
    Entry::directory(
        "node",
        &[
            Entry::text("online", "0\n"),
            Entry::text("possible", "0\n"),
            Entry::directory(
                "node0",
                &[
                    Entry::file("cpulist", |(), kernel| Ok(processors(kernel))),
                    Entry::file("cpumap", |(), kernel| Ok(mask(0..count(kernel)))),
                ],
            ),
        ],
    ),
];

/// A processor by its number. Each is a core of its own in one package.
#[derive(Clone, Copy)]
struct Processor(usize);

impl Subject for Processor {}

const PROCESSOR: Entry<Processor> = Entry::directory(
    "",
    &[
        Entry::text("online", "1\n"),
        Entry::directory(
            "topology",
            &[
                Entry::file("core_cpus", |one, _| Ok(mask(one.0..one.0 + 1))),
                Entry::file("core_cpus_list", |one, _| Ok(line(one.0))),
                Entry::file("core_id", |one, _| Ok(line(one.0))),
                Entry::file("core_siblings", |_, kernel| Ok(mask(0..count(kernel)))),
                Entry::file("core_siblings_list", |_, kernel| Ok(processors(kernel))),
                Entry::text("physical_package_id", "0\n"),
                Entry::file("thread_siblings", |one, _| Ok(mask(one.0..one.0 + 1))),
                Entry::file("thread_siblings_list", |one, _| Ok(line(one.0))),
            ],
        ),
    ],
);

fn list_processors(kernel: &Arc<Kernel>) -> Vec<Child> {
    let child = |(key, number): (u32, usize)| Child {
        key,
        name: format!("cpu{number}").into_bytes(),
        kind: FileKind::Directory,
    };
    (1..).zip(0..count(kernel)).map(child).collect()
}

fn find_processor(node: &Node<()>, name: &[u8]) -> Result<Arc<dyn Inode>> {
    let number =
        (0..count(&node.tree().kernel)).find(|number| name == format!("cpu{number}").as_bytes());
    Ok(node.child(name, Processor(number.ok_or(Errno::ENOENT)?), &PROCESSOR))
}

fn count(kernel: &Kernel) -> usize {
    kernel.platform.executor_count().into()
}

fn line(number: usize) -> Vec<u8> {
    format!("{number}\n").into_bytes()
}

/// Processors as sysfs writes a mask: words of 32 bits in hexadecimal, the highest first.
fn mask(processors: Range<usize>) -> Vec<u8> {
    let word = |index: usize| {
        let is_set = |bit: &usize| processors.contains(&(index * 32 + bit));
        (0..32).filter(is_set).fold(0_u32, |word, bit| word | 1 << bit)
    };
    let words = processors.end.div_ceil(32).max(1);
    let mut text = String::new();
    for index in (0..words).rev() {
        let separator = if index + 1 == words { "" } else { "," };
        text += &format!("{separator}{:08x}", word(index));
    }
    text += "\n";
    text.into_bytes()
}

/// The processors as a list.
fn processors(kernel: &Arc<Kernel>) -> Vec<u8> {
    match kernel.platform.executor_count() {
        0 | 1 => b"0\n".to_vec(),
        count => format!("0-{}\n", count - 1).into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_words_from_the_highest_down() {
        let text = |processors| String::from_utf8(mask(processors)).unwrap();
        assert_eq!(text(0..2), "00000003\n");
        assert_eq!(text(33..34), "00000002,00000000\n");
        assert_eq!(text(0..33), "00000001,ffffffff\n");
    }
}
